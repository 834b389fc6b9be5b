//! Promise: what a class of redaction names is nowhere in an answer, and the rest is there byte for byte.

#[path = "../../../fuzz/json_bodies.rs"]
mod json_bodies;

mod answers;
pub mod fields;
mod fuzz;
mod memo;
mod properties;
mod speed;
