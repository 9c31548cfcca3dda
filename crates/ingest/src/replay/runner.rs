//! Sends the events of replays, in their order, each as a message of its own to the one webhook: through the queue,
//! behind what waits in the lane.
//!
//! A replay is run by one job at a time, which holds it for a while and goes on holding it with each step. A process that
//! ends unheard leaves at most one step that is sent again, under the same ids, by which a copy is recognised. A job learns
//! with its next step that its replay was paused, and gives it back then.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::delivery::{Directed, Purpose};
use spectrum_webhook_core::ids::{EventId, OwnerId, ReplayId, Sequence};
use spectrum_webhook_core::ports::{
    DirectoryError, PortError, Project, Replay, ReplayItem, ReplayState, ReplayStep, What,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::identity::custom_id;
use crate::problem::Problem;
use crate::state::Shared;
use crate::steer::Extra;

/// How often it is looked for replays that nobody runs.
const LOOK: Duration = Duration::from_secs(1);
/// Replays that this process runs at once.
const AT_ONCE: usize = 4;
/// For how long a replay is held without a step.
const HOLD: Duration = Duration::from_secs(30);
/// Events of one step, and bytes of their bodies.
const STEP: (u32, usize) = (50, 4 << 20);
/// The wait after a step that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs replays until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, process: OwnerId, stop: CancellationToken) {
    let mut running = JoinSet::new();
    let mut jobs = 0_u64;
    loop {
        while running.len() < AT_ONCE {
            let now = shared.now();
            // A job whose hold ran out is not the one that this process begins for the same replay.
            jobs += 1;
            let runner = job_id(process, jobs);
            match shared.ports.replays.claim(runner, now, until(now)).await {
                Ok(Some(replay)) => {
                    let job = Job { shared: Arc::clone(&shared), runner, stop: stop.clone(), replay };
                    running.spawn(job.run());
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "replays could not be looked for");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(LOOK) => {}
            Some(ended) = running.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a replay's task ended without an outcome");
            },
        }
    }
    while running.join_next().await.is_some() {}
}

fn until(now: Millis) -> Millis {
    Millis(now.0.saturating_add(i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX)))
}

/// One replay, as long as this process runs it.
struct Job {
    shared: Arc<Shared>,
    runner: OwnerId,
    stop: CancellationToken,
    replay: Replay,
}

/// Why a step did not go on.
enum Halt {
    /// It ended, or is run by someone else.
    Over,
    /// It may work later.
    Later(String),
}

impl From<PortError> for Halt {
    fn from(error: PortError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Later(problem.code().to_owned())
    }
}

impl Job {
    async fn run(mut self) {
        let id = self.replay.id;
        let mut next = Instant::now();
        while self.stop.run_until_cancelled(sleep_until(next)).await.is_some() {
            let begun = Instant::now();
            match self.step().await {
                // Evenly spaced, so that the rate holds over every second.
                Ok(sent) => next = begun + self.pause(sent),
                Err(Halt::Over) => break,
                Err(Halt::Later(why)) => {
                    tracing::warn!(replay = %id, why, "a replay waits");
                    // It is held meanwhile, or someone else takes it.
                    next = begun + AGAIN;
                }
            }
        }
        if let Err(error) = self.shared.ports.replays.release(id, self.runner).await {
            tracing::debug!(replay = %id, %error, "a replay was not given back: it is taken when its time is over");
        }
    }

    fn pause(&self, sent: u64) -> Duration {
        let rate = self.replay.rate.map_or(f64::INFINITY, f64::from);
        Duration::from_secs_f64(sent as f64 / rate)
    }

    /// Sends the next events; returns how many.
    async fn step(&mut self) -> Result<u64, Halt> {
        // Whoever paused it meanwhile sees nothing more of it.
        self.note(0, None).await?;
        let (ports, project) = (&self.shared.ports, self.replay.project);
        let project = match ports.directory.project(project).await {
            Ok(project) => project,
            Err(DirectoryError::Port(error)) => return Err(error.into()),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => return self.end(ReplayState::Cancelled).await,
        };
        let webhooks = match ports.directory.list(project.id).await {
            Ok(webhooks) => webhooks,
            Err(DirectoryError::Port(error)) => return Err(error.into()),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => Vec::new(),
        };
        let Some(webhook) = webhooks.into_iter().find(|webhook| webhook.id == self.replay.webhook) else {
            return self.end(ReplayState::Cancelled).await;
        };
        let limit = self.replay.rate.map_or(STEP.0, |rate| rate.min(STEP.0));
        let (items, cursor) = ports.replays.items(&self.replay, &webhook, limit, STEP.1).await?;
        let Some(cursor) = cursor else { return self.end(ReplayState::Done).await };
        let mut sent = 0;
        for item in items {
            if self.stop.is_cancelled() {
                break;
            }
            let place = (item.sequence, item.message.id);
            let taken = self.send(&project, &webhook, item).await;
            // What was sent is noted, also before one that was not.
            if taken.is_err() {
                self.note(sent, self.replay.cursor).await?;
            }
            sent += taken?;
            self.replay.cursor = Some(place);
        }
        if !self.stop.is_cancelled() {
            self.replay.cursor = Some(cursor);
        }
        self.note(sent, self.replay.cursor).await?;
        Ok(sent)
    }

    async fn note(&self, sent: u64, cursor: Option<(Sequence, EventId)>) -> Result<(), Halt> {
        let now = self.shared.now();
        let step = ReplayStep { sent, cursor };
        let mine = self.shared.ports.replays.progress(self.replay.id, self.runner, step, now, until(now)).await?;
        if mine { Ok(()) } else { Err(Halt::Over) }
    }

    async fn end(&self, state: ReplayState) -> Result<u64, Halt> {
        let Replay { id, project, .. } = self.replay;
        let running = [ReplayState::Running];
        self.shared.ports.replays.turn(project, id, &running, state, self.shared.now()).await?;
        tracing::info!(%project, replay = %id, state = state.code(), "a replay has ended");
        Err(Halt::Over)
    }

    /// Sends one event; 0 when it is to be sent no more.
    async fn send(&self, project: &Project, webhook: &Webhook, item: ReplayItem) -> Result<u64, Halt> {
        let message = item.message;
        if self.replay.selection.what == What::Dead {
            return match self.shared.send_again(project, webhook.id, message.id).await {
                Ok(_) => Ok(1),
                Err(problem) if problem.is_passing() => Err(problem.into()),
                // Closed by someone else meanwhile.
                Err(_) => Ok(0),
            };
        }
        let extra = Extra {
            id: resend_id(self.replay.id, message.id),
            purpose: Purpose::Directed(Directed { webhook: webhook.id, event: message.event() }),
            event_type: message.event_type,
            traceparent: message.traceparent,
            body: message.body,
            // Whoever ran it before may have sent it, and may still be sending what its last step has left.
            again: true,
        };
        self.shared.publish_extra(project, extra).await?;
        Ok(1)
    }
}

/// A job of a process: no two have the same.
fn job_id(process: OwnerId, job: u64) -> OwnerId {
    let mut hash = Sha256::new();
    hash.update(b"spectrum-webhook replay job 1");
    hash.update(process.0.as_bytes());
    hash.update(job.to_be_bytes());
    OwnerId(custom_id(hash))
}

/// The id of an event's resend by a replay: always the same one, so that a copy is recognised.
fn resend_id(replay: ReplayId, event: EventId) -> EventId {
    let mut hash = Sha256::new();
    hash.update(b"spectrum-webhook replay 1");
    hash.update(replay.0.as_bytes());
    hash.update(event.0.as_bytes());
    EventId(custom_id(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_resend_has_one_id_for_each_replay() {
        let (replay, event) = (uuid::Uuid::from_u128, uuid::Uuid::from_u128);
        let id = |one, two| resend_id(ReplayId(replay(one)), EventId(event(two)));
        assert_eq!(id(1, 2), id(1, 2));
        assert!(id(1, 2) != id(2, 1) && id(1, 2) != id(1, 3));
    }

    #[test]
    fn no_two_jobs_are_the_same_runner() {
        let process = |id| OwnerId(uuid::Uuid::from_u128(id));
        assert!(job_id(process(1), 1) != job_id(process(1), 2) && job_id(process(1), 1) != job_id(process(2), 1));
    }
}
