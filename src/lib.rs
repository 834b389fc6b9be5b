//! docker-proxy-acl: a read-only, allow-listed socket in front of the Docker engine's own.
//!
//! A request flows one way through these rooms, and whoever reads them in this order has read the
//! program: [`cli`] -> [`config`] -> [`listener`] -> [`acl`] -> [`proxy`], with [`server`] tying them
//! together, [`tls`] around the connections of both sides, and [`command`] holding what the program does
//! besides. [`sandbox`] and [`descriptors`] see to the process itself, [`announce`], [`log`] and [`shutdown`]
//! to its beginning, its words and its end.

pub mod acl;
pub mod address;
pub mod announce;
pub mod cli;
pub mod command;
pub mod config;
pub mod descriptors;
pub mod listener;
pub mod log;
pub mod proxy;
pub mod sandbox;
pub mod server;
pub mod shutdown;
pub mod tls;
