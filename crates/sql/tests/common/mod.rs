//! A data folder, and what opens it.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]
#![allow(clippy::expect_used, reason = "the helpers of tests are tests")]

use spectrum_webhook_sql::{Embedded, MasterKey, Options};
use tempfile::TempDir;

pub const KEY: [u8; 32] = [7; 32];

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub fn options(dir: &TempDir) -> Options {
    Options { synchronous_off: true, readers: 2, ..Options::new(dir.path()) }
}

pub fn key() -> MasterKey {
    MasterKey::from_bytes(KEY)
}

pub async fn open(dir: &TempDir) -> Embedded {
    Embedded::open(options(dir), key()).await.expect("open")
}
