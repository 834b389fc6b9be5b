//! TLS on listeners and towards the engine, and the certificates for both.

mod certs;
mod chains;
mod docker;
mod listener;
mod memory;
mod rotation;
mod tunnel;
mod upstream;
