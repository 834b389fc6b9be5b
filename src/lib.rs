//! docker-proxy-acl: a read-only, allow-listed socket in front of the Docker engine's own.
//!
//! A request flows one way through these rooms, and whoever reads them in this order has read the
//! program: [`inbound`] -> [`policy`] -> [`upstream`] -> [`filter`] -> client, with [`proxy`] taking it along. [`cli`] and
//! [`config`] say what is to be done, [`server`] does it, and the others are what they stand on.
//! `docs/architecture.md` says who may know whom; a test reads the `use` lines and holds the program to it.

pub mod admin;
pub mod cli;
pub mod config;
pub mod filter;
pub mod http1;
pub mod inbound;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod sandbox;
pub mod server;
pub mod system;
pub mod telemetry;
pub mod tls;
pub mod upstream;
