//! Stages.
use clap::Args;
#[derive(Args, Debug)]
pub(crate) struct Stage {}
pub(crate) async fn run(_: Stage) -> anyhow::Result<()> {
    Ok(())
}
