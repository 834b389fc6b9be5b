//! What the program promises, tried from outside: a module a promise, its tests as sentences.
//!
//! One test by name, without an engine and without root, takes seconds once it is built:
//!
//! ```sh
//! cargo test --test it pipelined_requests
//! ```
//!
//! A module's name selects the tests of that module: `cargo test --test it framing::`. Tests that need an
//! engine, root or a tool of Debian's are ignored unless `tests/run` runs them; it takes the same words:
//! `tests/run --test it clients::`. What the tests share is in `support`.

mod support;

// Where `fuzz/bodies.rs` looks for them.
use support::routes;

// What is allowed, decided without a socket.
mod allocations;
mod catalog;
mod fuzz_bodies;
mod properties;
mod redaction;

// What travels, and what does not.
mod answers;
mod differential;
mod forwarding;
mod framing;
mod paths;
mod queries;
mod raw_queries;
mod refusals;
mod upgrades;
mod views;
mod visibility;

// Who waits, who leaves, who takes too much, and what breaks.
mod clients;
mod descriptors;
mod event_loop;
mod exhaustion;
mod faults;
mod memory;
mod pace;
mod passed_descriptors;
mod requests;
#[cfg(feature = "tls")]
mod soak;

// One file for many listeners and clients.
mod client_rules;
mod config_file;
mod reload;

// The program as it is started, watched and stopped.
mod access_log;
mod admin;
mod command_line;
mod healthcheck;
mod learn;
mod log_lines;
mod log_style;
mod log_under_load;
mod sandbox;
mod socket_file;
mod start_and_stop;
mod systemd;

// The program for another processor.
#[cfg(feature = "tls")]
mod aarch64;

// TLS, towards clients and towards the engine.
#[cfg(feature = "tls")]
mod tls;

// What its users run, and what the pages say.
mod consumers;
mod docker_cli;
mod engines;
mod finding_the_engine;
#[cfg(feature = "tls")]
mod from_another_machine;
mod image;
mod layering;
mod promises;
#[cfg(feature = "tls")]
mod stack;
