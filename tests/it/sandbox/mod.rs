//! What the process gives up at its start: files, ports and system calls, and the user that it was.

mod fixture;
mod in_force;
mod inside;
mod privileges;
pub mod processors;
