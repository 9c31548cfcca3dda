//! The HTTP API over in-memory ports.

mod accepted;
mod batch;
mod idempotency;
mod manage;
mod refused;
mod sockets;
mod world;
