//! What only engines of one kind say or have. `tests/engines` runs each part against its own, `tests/run` that of
//! Docker.

mod docker;
mod podman;
