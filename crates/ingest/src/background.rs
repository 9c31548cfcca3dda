//! What ingest does beside its requests: it runs replays, and posts notices.

use std::sync::Arc;

use parking_lot::Mutex;
use spectrum_webhook_core::ids::OwnerId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::identity::uuid_at;
use crate::state::Ingest;
use crate::{notices, replay};

/// Work in the background. Dropping it ends it at once; [`Background::stop`] in order.
pub struct Background {
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Background {
    /// Starts it.
    pub fn start(ingest: &Ingest) -> Self {
        let (stop, shared) = (CancellationToken::new(), ingest.shared());
        let runner = OwnerId(uuid_at(shared.now()));
        let mut tasks = JoinSet::new();
        tasks.spawn(replay::run(Arc::clone(shared), runner, stop.clone()));
        tasks.spawn(notices::run(Arc::clone(shared), runner, stop.clone()));
        Self { stop, tasks: Mutex::new(tasks) }
    }

    /// Ends after the publishes in flight, and gives back what this process has for itself.
    pub async fn stop(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "work in the background did not end in order");
            }
        }
    }
}
