//! The benchmark: a release build of the product beside the limit, a bare process of the same libraries that does the
//! same work and leaves out all else. Both get their events from the same load and deliver to the same receiver.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `args` | the command line |
//! | [`limit`] | the bare process, and its stages alone |
//! | [`system`] | what is measured, running: the product or the limit, the services, projects, processes |
//! | [`load`] | the clients that post |
//! | [`receiver`] | takes deliveries and checks that each came once and in order |
//! | [`event`], [`http1`] | what is posted, and as much of HTTP as load and receiver need |
//! | [`suite`] | the measures, in rounds |
//! | [`once`] | one go, as a quick look |
//! | [`report`] | figures, page, pictures, two reports side by side |
//! | `perf` | profiles, recorded beside a go |
//! | `progress` | what is said meanwhile |

mod args;
mod event;
mod http1;
mod limit;
mod load;
mod once;
mod perf;
mod progress;
mod receiver;
mod report;
mod suite;
mod system;

use anyhow::{Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use args::{Cli, Command};
use report::{Report, compare};

#[tokio::main]
async fn main() -> Result<()> {
    // Another provider may come with a dependency: the choice is made here, once. A second one changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    more_descriptors();
    let command = Cli::parse().command;
    tokio::select! {
        done = run(command) => done,
        // What runs ends here, and its processes with it.
        stopped = stopped() => stopped.and_then(|()| bail!("it was told to stop")),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Suite(suite) => suite::run(suite).await,
        Command::Once(once) => once::run(once).await,
        Command::Compare { old, new } => {
            progress::say(&compare::reports(&Report::read(&old)?, &Report::read(&new)?));
            Ok(())
        }
        Command::LimitServe(serve) => limit::serve(serve).await,
        Command::LimitStage(stage) => limit::stages::run(stage).await,
    }
}

async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Each connection is one; as many as this process may have. Without them the default has to do.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
