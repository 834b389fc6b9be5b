//! A request's way: the verdict, the engine's answer or one made here, the access-log entry.

pub mod body;
pub mod limits;
pub mod rules;
pub mod service;
pub mod state;
