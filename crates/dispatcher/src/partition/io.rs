//! What a partition does to the world: each a future that ends in a [`Done`], tried again until it works or the
//! ownership ends (which drops it).

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::attempt::{AttemptRecord, Next};
use spectrum_webhook_core::classify::{Verdict, classify};
use spectrum_webhook_core::delivery::{DeliveryKey, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence};
use spectrum_webhook_core::lane::{AttemptId, Attempted, Class, Ticket};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::partition::LaneId;
use spectrum_webhook_core::ports::{Acks, Committed, Lease, Mark, PortError, Tag, Unreadable};
use spectrum_webhook_core::retry::{Policy, Schedule};
use spectrum_webhook_core::time::{Millis, Mono};
use spectrum_webhook_core::traceparent::TraceContext;
use spectrum_webhook_core::webhook::Registry;
use tokio::time::Instant;

use super::outbox::LaneWrite;
use super::targets::Cell;
use super::tell;
use crate::Shared;
use crate::holding::Holding;
use crate::metrics::Way;
use crate::post::AttemptRequest;
use crate::trace::{self, AttemptTrace};

/// Bytes of bodies that one read of a backlog brings, but for its first row: what a lane that flows on after an outage
/// keeps in memory. Many may at once, and the byte budget does not count it.
const READ_BYTES: usize = 64 << 10;

/// What came of a future.
pub(crate) enum Done {
    Registry {
        project: ProjectId,
        registry: Registry,
    },
    LookedUp {
        number: u64,
        settled: Vec<DeliveryKey>,
    },
    Attempted {
        lane: LaneId,
        attempt: AttemptId,
        result: Attempted,
        /// `None`: nothing was started.
        made: Option<Box<Made>>,
    },
    Read {
        lane: LaneId,
        ticket: Ticket,
        rows: Vec<HeldDelivery>,
        more: bool,
    },
    Written {
        writes: Vec<LaneWrite>,
        committed: Committed,
    },
    Settled,
    /// Projects whose webhooks changed.
    News(Vec<(ProjectId, RegistryVersion)>),
    /// A check is made and written down.
    Checked {
        message: EventId,
        lane: LaneId,
    },
    Renewed(bool),
    /// It is done, and nothing follows from it.
    Nothing,
    Quarantined(Tag),
    /// The ownership cannot go on.
    Lost(PortError),
}

/// An attempt that was made: for the delivery log, once it is decided what comes next.
pub(crate) struct Made {
    pub(crate) record: AttemptRecord,
    /// The event's trace, recorded here or not.
    pub(crate) trace: Option<TraceContext>,
    pub(crate) span: Option<AttemptTrace>,
}

/// What the futures of one ownership share.
pub(crate) struct Io {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lease: Lease,
    pub(crate) holding: Arc<Holding>,
}

impl Io {
    pub(crate) async fn load_registry(self: Arc<Self>, project: ProjectId) -> Done {
        // A start with many resting lanes asks for many at once.
        let _slot = self.shared.reads.acquire().await;
        match self.persist("load a registry", || self.shared.ports.store.registry(project)).await {
            Ok(registry) => Done::Registry { project, registry },
            Err(error) => Done::Lost(error),
        }
    }

    /// Waits for news of the registry. In a task, so that however busy the partition is, the wait goes on.
    pub(crate) async fn news(self: Arc<Self>) -> Done {
        let announcements = &self.shared.ports.announcements;
        let news = self.persist("read news of the registry", || async {
            announcements.news(&self.lease).await?;
            announcements.changed(&self.lease).await
        });
        match news.await {
            Ok(changed) => Done::News(changed),
            Err(error) => Done::Lost(error),
        }
    }

    pub(crate) async fn confirm(self: Arc<Self>, project: ProjectId, version: RegistryVersion) -> Done {
        let confirm = || self.shared.ports.announcements.confirm(&self.lease, project, version);
        match self.persist("confirm a version", confirm).await {
            Ok(()) => Done::Nothing,
            Err(error) => Done::Lost(error),
        }
    }

    pub(crate) async fn look_up(self: Arc<Self>, number: u64, keys: Vec<DeliveryKey>) -> Done {
        let ports = &self.shared.ports;
        let found = async {
            let mut settled = self.persist("look up marks", || ports.lock.look_up(&self.lease, &keys)).await?;
            settled.extend(self.persist("look up rows", || ports.store.find(&keys)).await?);
            Ok(settled)
        };
        match found.await {
            Ok(settled) => Done::LookedUp { number, settled },
            Err(error) => Done::Lost(error),
        }
    }

    pub(crate) async fn read(self: Arc<Self>, lane: LaneId, ticket: Ticket, reading: Box<Reading>) -> Done {
        let _slot = self.shared.reads.acquire().await;
        let read = || self.shared.ports.store.read_backlog(lane.webhook, &reading, READ_BYTES);
        match self.persist("read a backlog", read).await {
            Ok(backlog) => Done::Read { lane, ticket, rows: backlog.deliveries, more: backlog.more },
            Err(error) => Done::Lost(error),
        }
    }

    pub(crate) async fn write(self: Arc<Self>, writes: Vec<LaneWrite>) -> Done {
        let changes: Vec<_> = writes.iter().flat_map(|write| write.changes.iter().cloned()).collect();
        let commit = || self.shared.ports.store.commit(&self.lease, &changes);
        match self.persist("commit", commit).await {
            Ok(committed) => {
                tell::committed(&writes, &committed);
                for (project, version) in &committed.disabled {
                    let announced =
                        self.shared.ports.announcements.announce(self.lease.partition, *project, *version).await;
                    if let Err(error) = announced {
                        tracing::warn!(%project, %error, "a disabled webhook could not be announced");
                    }
                }
                Done::Written { writes, committed }
            }
            Err(error) => Done::Lost(error),
        }
    }

    pub(crate) async fn settle(self: Arc<Self>, acks: Arc<dyn Acks>, marks: Vec<Mark>, tags: Vec<Tag>) -> Done {
        if !marks.is_empty()
            && let Err(error) = self.shared.ports.lock.settle(&self.lease, &marks).await
        {
            // Without its mark a delivery is at worst made twice.
            tracing::warn!(partition = %self.lease.partition, %error, "settled deliveries could not be marked");
        }
        if !tags.is_empty()
            && let Err(error) = self.persist("acknowledge", || acks.ack(&tags)).await
        {
            return Done::Lost(error);
        }
        tell::settled(&marks);
        Done::Settled
    }

    pub(crate) async fn renew(self: Arc<Self>) -> Done {
        let sent: Mono = self.shared.clock.mono();
        match self.shared.ports.lock.renew(&self.lease).await {
            Ok(true) => {
                self.holding.renewed(sent);
                Done::Renewed(true)
            }
            Ok(false) => Done::Renewed(false),
            Err(error) => {
                tracing::warn!(partition = %self.lease.partition, %error, "a lease could not be renewed");
                Done::Renewed(true)
            }
        }
    }

    pub(crate) async fn quarantine(self: Arc<Self>, tag: Tag, unreadable: Box<Unreadable>) -> Done {
        let at = self.shared.clock.now().wall;
        let keep = || self.shared.ports.store.quarantine(&self.lease, &unreadable, at);
        match self.persist("quarantine a message", keep).await {
            Ok(()) => Done::Quarantined(tag),
            Err(error) => Done::Lost(error),
        }
    }

    /// Tries until it works; ends with an error that no repetition mends.
    pub(super) async fn persist<T, F>(
        &self,
        what: &'static str,
        mut operation: impl FnMut() -> F,
    ) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let schedule = Schedule::new(&STORE_RETRIES);
        let mut failed = 0_u32;
        loop {
            match operation().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_retriable() => {
                    failed = failed.saturating_add(1);
                    if failed.is_power_of_two() {
                        tracing::warn!(partition = %self.lease.partition, what, why = %error, failed, "trying again");
                    }
                    let wait = schedule.wait(failed, None, &mut self.shared.chance());
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The cap is what a partition waits in vain once the store is back; a store that is down is asked so often by each.
const STORE_RETRIES: Policy =
    Policy { initial: Duration::from_millis(50), factor: 2.0, cap: Duration::from_secs(1), attempts: u32::MAX };

/// One attempt that a lane asked for.
pub(crate) struct Attempt {
    pub(crate) lane: LaneId,
    pub(crate) attempt: AttemptId,
    pub(crate) number: u32,
    pub(crate) event: EventId,
    pub(crate) sequence: Sequence,
    pub(crate) class: Class,
    pub(crate) held: bool,
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) cell: Option<Arc<Cell>>,
}

impl Io {
    pub(crate) async fn attempt(self: Arc<Self>, wanted: Attempt) -> Done {
        let (lane, attempt) = (wanted.lane, wanted.attempt);
        let made = self.try_attempt(wanted).await;
        let result = made.as_ref().map_or(Attempted::NotStarted, |made| Attempted::Ended(made.record.ended));
        Done::Attempted { lane, attempt, result, made }
    }

    async fn try_attempt(&self, wanted: Attempt) -> Option<Box<Made>> {
        let shared = &self.shared;
        let webhook = wanted.lane.webhook;
        let cell = wanted.cell?;
        // Before the slot, so that none is held meanwhile.
        let limit = cell.target().and_then(|target| target.shape.rate_limit);
        let turn = cell.pace.turn(limit).await;
        let due = Instant::now();
        let permit = shared.gate.enter(webhook, wanted.class).await;
        shared.metrics.slot_wait.observe(due.elapsed().as_secs_f64());
        let message = match wanted.message {
            Some(message) => message,
            None => {
                // A store that hangs must not keep the slots of lanes that need none.
                let read = shared.ports.store.read_message(DeliveryKey { event: wanted.event, webhook });
                Arc::new(permit.run(read).await.ok()??)
            }
        };
        // Last, with nothing awaited in between: does the lease still stand, and does the webhook still want it?
        if !self.holding.is_good() {
            return None;
        }
        let target = cell.target()?;
        turn.started();
        let now = shared.clock.now().wall;
        let request = AttemptRequest {
            endpoint: &target.endpoint,
            event: message.event(),
            resend: message.resend(),
            event_type: &message.event_type,
            sequence: wanted.sequence,
            number: wanted.number,
            keys: &target.keys,
            shape: &target.shape,
            body: message.body.clone(),
        };
        let is_straight = wanted.class == Class::Healthy && wanted.number == 1 && !wanted.held;
        // A resend or a test has another start than its event.
        let way = (message.purpose == Purpose::Event).then_some(Way { accepted_at: message.accepted_at, is_straight });
        if let Some(way) = way {
            shared.metrics.started(way, now);
        }
        let span = AttemptTrace::begin(shared.spans.as_ref(), &message, &target.endpoint);
        let posted = permit.run(shared.poster.attempt(request, now)).await;
        let span = span.map(AttemptTrace::ended);
        if let Some(way) = way
            && classify(posted.ended) == Verdict::Delivered
        {
            shared.metrics.arrived(way, Millis(now.0.saturating_add(i64::from(posted.total_ms))));
        }
        let record = AttemptRecord {
            key: DeliveryKey { event: message.event(), webhook },
            resend: message.resend(),
            project: wanted.lane.project,
            event_type: message.event_type.clone(),
            sequence: wanted.sequence,
            number: wanted.number,
            started_at: now,
            connect_ms: posted.connect_ms,
            first_byte_ms: posted.first_byte_ms,
            total_ms: posted.total_ms,
            ended: posted.ended,
            address: posted.address,
            snippet: posted.snippet,
            next: Next::Undecided,
        };
        Some(Box::new(Made { record, trace: trace::context_of(&message), span }))
    }
}
