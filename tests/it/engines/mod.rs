//! What only some engines say or do. `tests/engines` runs each part against its engines, `tests/run` that of Docker.

mod docker;
