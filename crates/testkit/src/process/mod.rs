//! The real binary as a process of its own: started on free ports with a folder of its own, killed, stopped, thawed,
//! started again on the same folder and ports; its log is kept and printed when a test fails.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `binary` | where the program is; it is built once for each run of the tests |
//! | `settings` | the environment of a server under test |
//! | `log` | what it printed |
//! | `server` | [`Server`]: `serve`, from start to end; [`run`]: any other command |
//! | `client` | management and ingest over HTTP |
//! | `disk` | a small file system that can be full or read-only |
//!
//! Everything here fails by panicking: a test has nothing better to do with such an error.

mod binary;
mod client;
mod disk;
mod log;
mod server;
mod settings;

pub use binary::binary;
pub use client::{Answer, Client, Hook, Project};
pub use disk::Disk;
pub use log::Log;
pub use server::{Done, Server, run, run_and_kill};
pub use settings::Settings;
