//! Promise: what a view hides is nowhere in what a client gets from a real engine, and the rest is there.

mod answers;
mod docker_gen;
pub mod filled;
pub mod oracle;
pub mod secrets;
mod tenants;
