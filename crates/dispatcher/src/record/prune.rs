//! Removes what is past its time, in small steps.

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::ports::{Pruning, Store};
use spectrum_webhook_core::time::Millis;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// What is pruned, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PruneSettings {
    /// How long attempts stay in the delivery log, closed dead letters, and steerings.
    pub keep_attempts: Duration,
    /// How often it looks.
    pub every: Duration,
    /// Rows of a kind in one step.
    pub limit: u32,
    /// Between two steps, so that deliveries come in between.
    pub pause: Duration,
}

impl Default for PruneSettings {
    fn default() -> Self {
        Self {
            keep_attempts: Duration::from_secs(30 * 24 * 60 * 60),
            every: Duration::from_secs(60),
            limit: 1_000,
            pause: Duration::from_millis(100),
        }
    }
}

/// One step may take so long.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// The task that prunes; dropping it ends it. A step that is cut off commits or not, as a whole.
pub struct Pruner {
    _task: AbortOnDropHandle<()>,
}

impl Pruner {
    /// Starts it; `now` reads the wall clock.
    pub fn start(
        store: Arc<dyn Store>,
        settings: PruneSettings,
        now: impl Fn() -> Millis + Send + Sync + 'static,
    ) -> Self {
        Self { _task: AbortOnDropHandle::new(tokio::spawn(run(store, settings, now))) }
    }
}

async fn run(store: Arc<dyn Store>, settings: PruneSettings, now: impl Fn() -> Millis + Send + Sync) {
    let keep = i64::try_from(settings.keep_attempts.as_millis()).unwrap_or(i64::MAX);
    loop {
        sleep(settings.every).await;
        let now = now();
        let attempts_before = Millis(now.0.saturating_sub(keep));
        let pruning = Pruning { attempts_before, now, limit: settings.limit };
        loop {
            match timeout(STEP_TIMEOUT, store.prune(pruning)).await {
                Ok(Ok(true)) => sleep(settings.pause).await,
                Ok(Ok(false)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "old rows could not be pruned");
                    break;
                }
                Err(_) => {
                    tracing::warn!("pruning old rows took too long");
                    break;
                }
            }
        }
    }
}
