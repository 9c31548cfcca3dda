//! What whoever is on call looks at: metrics as they are documented, alerts that fire when they should, a dashboard whose
//! panels show something.

mod alerts;
mod dashboard;
mod draw;
mod exposition;
mod metrics;

use std::path::{Path, PathBuf};

/// A file of this repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
