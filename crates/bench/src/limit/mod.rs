//! The limit: a bare process of the same libraries that does the same work and leaves out all else: credentials, checks,
//! retries, time-outs, ownership, log. What it reaches on a machine, the product can reach at best; it is started as a
//! process of its own and gets the same load.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `front` | events in, over HTTP |
//! | `cluster` | a Redis script, a quorum queue with confirms, consumers with batched acknowledgements |
//! | `embedded` | a SQLite file with group commits |
//! | `lanes` | events out: one after the other at each URL |
//! | `sign` | both signatures |
//! | `stages` | each of these alone |

mod acks;
mod cluster;
mod embedded;
mod front;
mod lanes;
mod sign;
pub(crate) mod stages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;

use cluster::Cluster;
use embedded::Embedded;
use lanes::Lanes;

/// What it is told.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where events are taken.
    #[arg(long)]
    listen: SocketAddr,
    /// Where they are delivered to.
    #[arg(long)]
    receiver: SocketAddr,
    #[arg(long)]
    projects: usize,
    /// URLs of each project.
    #[arg(long)]
    urls: usize,
    /// Where the file of the embedded form is made; without it the environment names the services of a cluster.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    tuning: Tuning,
}

/// What makes it faster or slower; the defaults are what was fastest.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Deliveries in flight at most.
    #[arg(long, env = "LIMIT_IN_FLIGHT", default_value_t = 64)]
    in_flight: usize,
    /// Queues that projects share.
    #[arg(long, env = "LIMIT_QUEUES", default_value_t = 4)]
    queues: usize,
    /// Channels that are published on.
    #[arg(long, env = "LIMIT_CHANNELS", default_value_t = 4)]
    channels: usize,
}

/// Where events go to.
enum Door {
    Cluster(Box<Cluster>),
    Embedded(Embedded),
}

impl Door {
    /// Takes events of one project, in their order; returns when they are durable.
    async fn take(&self, project: usize, bodies: Vec<Bytes>) -> Result<()> {
        match self {
            Self::Cluster(cluster) => cluster.take(project, bodies).await,
            Self::Embedded(embedded) => embedded.take(project, bodies).await,
        }
    }
}

/// Serves until it is killed.
pub(crate) async fn serve(serve: Serve) -> Result<()> {
    let lanes = Arc::new(Lanes::start(serve.receiver, serve.projects, serve.urls, serve.tuning.in_flight)?);
    let door = match &serve.folder {
        Some(folder) => Door::Embedded(Embedded::open(folder, lanes)?),
        None => Door::Cluster(Box::new(Cluster::connect(lanes, serve.tuning).await?)),
    };
    front::serve(serve.listen, door).await
}
