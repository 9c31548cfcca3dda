//! The HTTP API over in-memory ports.

#![allow(clippy::expect_used, reason = "a helper of a test fails like the test itself")]

mod accepted;
mod batch;
mod described;
mod idempotency;
mod letters;
mod manage;
mod refused;
mod see;
mod sockets;
mod steer;
mod world;
