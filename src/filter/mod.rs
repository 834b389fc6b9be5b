//! Answers rewritten as they stream: what a listener's policy redacts is taken out of the engine's JSON.

mod items;
pub mod json;
mod plan;
pub mod redact;
