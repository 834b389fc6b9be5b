//! Answers rewritten as they stream: what a listener's policy redacts is taken out of the engine's JSON.
//!
//! [`response`] decides on a head what is done with its body, [`body`] does it piece by piece, and [`redact`] is
//! the pass over the bytes. Whether an object is visible is found out by [`lookup`].

pub mod body;
pub mod events;
mod items;
pub mod json;
pub mod lookup;
pub mod memo;
mod plan;
pub mod redact;
pub mod response;
pub mod stats;
mod table;
