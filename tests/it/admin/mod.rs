//! Promises of the operator's listener: what it tells, and that nobody else is told or held up by it.

mod figures;
mod health;
mod prometheus;
mod series;
