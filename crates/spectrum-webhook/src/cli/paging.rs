//! How much of a list is printed.

use clap::Args;

/// How much of a list is printed.
#[derive(Args)]
pub(crate) struct Paging {
    /// Print so many rows at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Print all of them.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}
