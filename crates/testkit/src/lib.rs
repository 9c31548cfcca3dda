//! stub

pub mod conformance;
pub mod process;
