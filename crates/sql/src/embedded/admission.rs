//! Admission of the embedded mode. What is pending is in memory; what is durable has a record beside its event, written
//! in the same transaction, so that the two can never disagree.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId};
use spectrum_webhook_core::ports::{Admission, Admitted, IdempotencyKey, PortError, Verdict};
use spectrum_webhook_core::time::Millis;
use tokio::sync::watch;

use super::lookups::{Known, LookUps};
use crate::database::Database;
use crate::error::Fault;

const PORT: &str = "admission";
/// How long a repeat waits for the outcome of the post before it.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this many milliseconds a pending post counts as gone: its client hung up, say. The next one publishes again
/// under its id.
const PENDING: i64 = 30_000;
/// Outcomes that are not known are kept so long: by then the queue has written the event, or never will.
const UNKNOWN: i64 = 120_000;
/// Entries beyond which old ones are looked for.
const CROWDED: usize = 4_096;

/// Admission over memory and the SQLite file.
pub struct EmbeddedAdmission {
    look_ups: LookUps,
    entries: Mutex<Entries>,
    /// Rises when an outcome is known.
    outcomes: watch::Sender<u64>,
    patience: Duration,
}

type Key = (ProjectId, [u8; 32]);

#[derive(Default)]
struct Entries {
    posts: HashMap<Key, Post>,
    /// At how many entries old ones are looked for next, so that the search stays rare.
    sweep_at: usize,
}

/// A post whose outcome is not known to be durable.
#[derive(Clone, Copy)]
struct Post {
    id: EventId,
    body: [u8; 32],
    since: Millis,
    /// It is being published; otherwise that failed, or was given up.
    pending: bool,
}

impl Post {
    fn is_pending(&self, now: Millis) -> bool {
        self.pending && now.0.saturating_sub(self.since.0) < PENDING
    }

    fn is_old(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.since.0) >= UNKNOWN
    }
}

/// What memory says of a post.
enum Found {
    /// The same one is being published.
    Pending(EventId),
    /// An earlier one may have been published.
    Unknown(EventId),
    Nothing,
    Mismatch,
}

impl EmbeddedAdmission {
    pub(super) fn new(database: Database) -> Self {
        Self {
            look_ups: LookUps::new(database),
            entries: Mutex::default(),
            outcomes: watch::Sender::new(0),
            patience: PATIENCE,
        }
    }

    fn look(&self, key: &Key, body: &[u8; 32], now: Millis) -> Found {
        match self.entries.lock().posts.get(key) {
            Some(post) if post.is_old(now) => Found::Nothing,
            Some(post) if post.body != *body => Found::Mismatch,
            Some(post) if post.is_pending(now) => Found::Pending(post.id),
            Some(post) => Found::Unknown(post.id),
            None => Found::Nothing,
        }
    }

    /// Notes the post as pending, unless one with another id has become so meanwhile (or any, if `beside` is false).
    fn note(&self, key: Key, post: Post, beside: bool, now: Millis) -> bool {
        let mut entries = self.entries.lock();
        let pending = entries.posts.get(&key).filter(|other| other.is_pending(now));
        if pending.is_some_and(|other| !beside || other.id != post.id) {
            return false;
        }
        entries.posts.insert(key, post);
        if entries.posts.len() >= entries.sweep_at.max(CROWDED) {
            entries.posts.retain(|_, post| !post.is_old(now));
            entries.sweep_at = entries.posts.len() * 2;
        }
        true
    }
}

#[async_trait]
impl Admission for EmbeddedAdmission {
    async fn begin(
        &self,
        _partition: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
        now: Millis,
    ) -> Result<Admitted, PortError> {
        let failed = |fault: Fault| fault.at(PORT, "begin");
        let Some(key) = key else {
            let known = self.look_ups.ask(project, None, now).await.map_err(failed)?;
            let verdict = Verdict::Publish { id: proposed, again: false };
            return Ok(Admitted { verdict, registry: known.registry });
        };
        let place = (project, key.key);
        let mut outcomes = self.outcomes.subscribe();
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            outcomes.borrow_and_update();
            let mut found = self.look(&place, &key.body, now);
            let mut beside = false;
            if let Found::Pending(id) = found {
                if tokio::time::timeout_at(deadline, outcomes.changed()).await.is_ok() {
                    continue;
                }
                // It takes long. A copy under its id is the same event; one under an id of its own would not be.
                found = Found::Unknown(id);
                beside = true;
            }
            let Known { registry, record } = self.look_ups.ask(project, Some(key.key), now).await.map_err(failed)?;
            let verdict = match (record, found) {
                (Some((_, body)), _) if body != key.body => Verdict::Mismatch,
                (Some((id, _)), _) => Verdict::Duplicate(id),
                (None, Found::Mismatch) => Verdict::Mismatch,
                (None, Found::Unknown(id)) => Verdict::Publish { id, again: true },
                (None, _) => Verdict::Publish { id: proposed, again: false },
            };
            if let Verdict::Publish { id, .. } = verdict
                && !self.note(place, Post { id, body: key.body, since: now, pending: true }, beside, now)
            {
                continue;
            }
            return Ok(Admitted { verdict, registry });
        }
    }

    async fn end(
        &self,
        _partition: PartitionId,
        project: ProjectId,
        id: EventId,
        key: &IdempotencyKey,
        durable: bool,
    ) -> Result<(), PortError> {
        {
            let mut entries = self.entries.lock();
            let place = (project, key.key);
            if let Some(post) = entries.posts.get_mut(&place)
                && post.id == id
            {
                // Its record is there by now when it is durable; when that is not known, the id is kept.
                post.pending = false;
                if durable {
                    entries.posts.remove(&place);
                }
            }
        }
        self.outcomes.send_modify(|outcomes| *outcomes += 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::database::Options;
    use crate::secrets::MasterKey;

    #[tokio::test]
    async fn a_repeat_of_a_post_that_stays_pending_is_published_under_its_id() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = Options { synchronous_off: true, ..Options::new(dir.path()) };
        let database = Database::open(options, MasterKey::from_bytes([1; 32])).await.expect("open");
        let admission = EmbeddedAdmission { patience: Duration::ZERO, ..EmbeddedAdmission::new(database) };
        let (project, now) = (ProjectId(Uuid::now_v7()), Millis(1_000_000));
        let key = IdempotencyKey { key: [1; 32], body: [2; 32], expires_at: Millis(2_000_000) };
        let first = EventId(Uuid::now_v7());
        for again in [false, true, true] {
            let proposed = if again { EventId(Uuid::now_v7()) } else { first };
            let admitted = admission.begin(PartitionId(0), project, proposed, Some(&key), now).await.expect("begin");
            assert_eq!(admitted.verdict, Verdict::Publish { id: first, again });
        }
    }
}
