//! One ownership of one partition: drives the pure state machine with the queue's messages, the clock and the ends of
//! what it asked for, until the lease is lost or the process stops.

mod check;
mod counting;
mod io;
mod outbox;
mod pace;
mod take_over;
mod targets;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::lane::{self, Broken};
use spectrum_webhook_core::partition::{Action, Census, Counts, Input, LaneId, Partition};
use spectrum_webhook_core::ports::{Acks, Lease, PortError, Subscription, Taken};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::holding::Holding;
use crate::memory::Share;
use crate::trace::Processing;
use io::{Attempt, Done, Io, Made};
use outbox::{LaneWrite, Outbox};
use targets::Targets;

/// Messages that are taken at once, so that timers and ends are looked at in between.
const TAKE: usize = 64;
/// Bytes of bodies that are taken at once.
const TAKE_BYTES: usize = 4 << 20;
/// Renewals for which the budget must be used up, without a moment of room, before the largest partition gives way:
/// holding lanes makes room well before, as long as the store works.
const STUCK: u32 = 2;
/// How long closing a channel may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an ownership ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("the lease was lost")]
    Lease,
    #[error("the lease was not renewed in time")]
    Expired,
    #[error("the memory budget was used up, and this partition used most of it")]
    Memory,
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("a part of it panicked")]
    Panicked,
}

/// Owns the partition until `stop` is cancelled (then drains for at most the grace period) or the ownership is lost.
/// The lease is released in either case.
pub(crate) async fn own(
    shared: Arc<Shared>,
    lease: Lease,
    holding: Arc<Holding>,
    stop: CancellationToken,
) -> Result<(), Lost> {
    let ended = own_lease(&shared, lease, &holding, stop).await;
    holding.end();
    if let Err(error) = shared.ports.lock.release(&lease).await {
        tracing::warn!(partition = %lease.partition, %error, "a lease could not be released");
    }
    ended
}

async fn own_lease(
    shared: &Arc<Shared>,
    lease: Lease,
    holding: &Arc<Holding>,
    stop: CancellationToken,
) -> Result<(), Lost> {
    let taking = take_over::take_over(shared, &lease, holding);
    // A store that hangs does not hold up a stop.
    let Some(taken) = stop.run_until_cancelled(taking).await else { return Ok(()) };
    let (takeover, subscription) = taken?;

    let mut actions = Vec::new();
    let machine = Partition::new(&lease, &takeover, shared.settings.partition.clone(), &mut actions);
    let mut owner = Owner {
        io: Arc::new(Io { shared: Arc::clone(shared), lease, holding: Arc::clone(holding) }),
        machine,
        acks: subscription.acks(),
        targets: Targets::default(),
        outbox: Outbox::default(),
        processing: Processing::new(shared.spans.clone(), lease.partition),
        tasks: JoinSet::new(),
        attempts: 0,
        writing: false,
        settling: false,
        draining: false,
        chance: shared.chance(),
        share: Share::new(Arc::clone(&shared.memory)),
        buffered: 0,
        counted: Counts::default(),
        census: Census::default(),
    };
    tracing::debug!(partition = %lease.partition, epoch = %lease.epoch, lanes = takeover.lanes.len(), "took over");
    shared.metrics.partitions_held.inc();
    shared.metrics.takeovers.inc();
    owner.perform(actions);
    let mut subscription = subscription;
    let ended = owner.run(subscription.as_mut(), stop).await;
    // No attempt and no write of this ownership goes on beyond it.
    holding.end();
    owner.tasks.shutdown().await;
    owner.count();
    drop(owner);
    match timeout(CLOSE_TIMEOUT, subscription.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(partition = %lease.partition, %error, "closing the channel"),
        Err(_) => tracing::warn!(partition = %lease.partition, "the channel did not close in time"),
    }
    ended
}

struct Owner {
    io: Arc<Io>,
    machine: Partition,
    acks: Arc<dyn Acks>,
    targets: Targets,
    outbox: Outbox,
    processing: Processing,
    tasks: JoinSet<Done>,
    attempts: usize,
    writing: bool,
    settling: bool,
    draining: bool,
    chance: Seeded,
    share: Share,
    /// Bytes that the queue has sent and that are not taken yet.
    buffered: usize,
    counted: Counts,
    census: Census,
}

impl Owner {
    async fn run(&mut self, subscription: &mut dyn Subscription, stop: CancellationToken) -> Result<(), Lost> {
        let shared = Arc::clone(&self.io.shared);
        let lease = self.io.lease;
        let mut renewals = interval(shared.settings.renew_every);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewals.reset();
        // The last one may have been on its way when the partition was taken over.
        self.tasks.spawn(Arc::clone(&self.io).renew());
        self.tasks.spawn(Arc::clone(&self.io).news());
        let mut drain_until: Option<Instant> = None;
        let mut stuck = 0;
        loop {
            if self.draining && self.is_drained() {
                return Ok(());
            }
            if self.io.holding.is_expired() {
                return Err(Lost::Expired);
            }
            let wake = self.machine.deadline().map(|due| shared.clock.instant(due));
            let expires = shared.clock.instant(self.io.holding.expires());
            // Made before it is asked whether there is room: what is freed from here on is not missed.
            let freed = shared.memory_freed.notified();
            // What the queue has sent already takes no more room when it is taken.
            self.buffered = subscription.buffered();
            let has_room = shared.memory.has_room();
            let may_take = !self.draining && (has_room || self.buffered > 0);
            if has_room {
                stuck = 0;
            }
            tokio::select! {
                () = stop.cancelled(), if !self.draining => {
                    self.draining = true;
                    drain_until = Some(Instant::now() + shared.settings.grace);
                    // What waits for a slot must not start any more.
                    self.io.holding.end();
                }
                () = sleep_until(drain_until.unwrap_or(expires)), if drain_until.is_some() => {
                    tracing::warn!(partition = %lease.partition, attempts = self.attempts,
                        "the grace period is over: attempts in flight are aborted");
                    return Ok(());
                }
                () = sleep_until(expires), if drain_until.is_none() => {}
                Some(done) = self.tasks.join_next() => self.done(done.map_err(|_| Lost::Panicked)?)?,
                _ = renewals.tick() => {
                    self.tasks.spawn(Arc::clone(&self.io).renew());
                    self.count();
                    if self.share.should_relieve() {
                        self.feed(Input::Relieve)?;
                    }
                    stuck += 1;
                    if (stuck > STUCK || shared.memory.is_overrun()) && self.share.is_largest_without_room() {
                        return Err(Lost::Memory);
                    }
                }
                () = sleep_until(wake.unwrap_or(expires)), if wake.is_some() && !self.draining => {
                    self.feed(Input::Wake)?;
                }
                ready = subscription.ready(), if may_take => {
                    ready?;
                    for taken in subscription.take(TAKE, TAKE_BYTES).await? {
                        self.took(taken)?;
                    }
                    if self.share.should_relieve() {
                        self.feed(Input::Relieve)?;
                    }
                }
                () = freed, if !may_take && !self.draining => {}
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.attempts == 0 && !self.writing && !self.settling && self.outbox.is_empty()
    }

    fn took(&mut self, taken: Taken) -> Result<(), Lost> {
        let Taken { tag, redelivered, message } = taken;
        match message {
            Ok(message) => {
                let message = Arc::new(message);
                self.processing.took(tag, redelivered, &message);
                self.count_taken(redelivered, &message);
                self.feed(Input::Took { tag, redelivered, message })
            }
            Err(unreadable) => {
                tracing::error!(detail = %unreadable.detail, "a message cannot be read: it goes to quarantine");
                self.tasks.spawn(Arc::clone(&self.io).quarantine(tag, unreadable));
                Ok(())
            }
        }
    }

    fn done(&mut self, done: Done) -> Result<(), Lost> {
        match done {
            Done::Registry { project, registry } => {
                // Before the machine confirms the version to whoever changed it.
                self.targets.set(project, &registry);
                let webhooks = registry.webhooks.into_iter().map(|(webhook, _)| webhook).collect();
                self.feed(Input::Registry { project, version: registry.version, webhooks })
            }
            Done::LookedUp { number, settled } => self.feed(Input::LookedUp { number, settled }),
            Done::Attempted { lane, attempt, result, made } => {
                self.attempts -= 1;
                let fed = self.feed(Input::Lane(lane, lane::Input::Attempted { attempt, result }));
                if let Some(made) = made {
                    self.log(lane, *made);
                }
                fed
            }
            Done::Read { lane, ticket, rows, more } => {
                self.feed(Input::Lane(lane, lane::Input::Rows { ticket, rows, more }))
            }
            Done::Written { writes, committed } => {
                self.writing = false;
                let mut committed = committed;
                for LaneWrite { lane, ticket, .. } in writes {
                    // Rows are moved by a rule only in a write that stands alone.
                    let buried = std::mem::take(&mut committed.buried);
                    let dropped = std::mem::take(&mut committed.dropped);
                    let more = std::mem::take(&mut committed.more);
                    let written = lane::Input::Written { ticket, buried, dropped, more };
                    self.feed(Input::Lane(lane, written))?;
                }
                self.flush();
                Ok(())
            }
            Done::Settled => {
                self.settling = false;
                self.flush();
                Ok(())
            }
            Done::News(changed) => {
                self.tasks.spawn(Arc::clone(&self.io).news());
                for (project, version) in changed {
                    self.feed(Input::RegistryChanged { project, version })?;
                }
                Ok(())
            }
            Done::Quarantined(tag) => {
                self.outbox.ack(vec![tag]);
                self.flush();
                Ok(())
            }
            Done::Checked { message, lane } => self.feed(Input::Checked { message, lane }),
            Done::Renewed(true) | Done::Nothing => Ok(()),
            Done::Renewed(false) => Err(Lost::Lease),
            Done::Lost(error) => Err(error.into()),
        }
    }

    /// Logs an attempt, with what the lane made of its end.
    fn log(&self, lane: LaneId, Made { record, trace, span }: Made) {
        let shared = &self.io.shared;
        let message = record.resend.unwrap_or(record.key.event);
        let next = self.machine.outlook(shared.clock.now(), lane, message, record.ended);
        let record = AttemptRecord { next, ..record };
        if let (Some(span), Some(spans)) = (span, &shared.spans) {
            span.end(&**spans, &record);
        }
        shared.recorder.record(record, trace);
    }

    fn feed(&mut self, input: Input) -> Result<(), Lost> {
        let mut actions = Vec::new();
        self.machine.step(self.io.shared.clock.now(), input, &mut self.chance, &mut actions)?;
        self.perform(actions);
        self.count();
        Ok(())
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            let io = Arc::clone(&self.io);
            match action {
                Action::LoadRegistry { project } => {
                    self.tasks.spawn(io.load_registry(project));
                }
                Action::ForgetProject { project } => self.targets.forget(project),
                Action::Confirm { project, version } => {
                    self.tasks.spawn(io.confirm(project, version));
                }
                Action::LookUp { number, keys } => {
                    self.tasks.spawn(io.look_up(number, keys));
                }
                Action::Check { lane, sequence, message } => {
                    let cell = self.targets.cell(lane.project, lane.webhook);
                    self.tasks.spawn(io.check(lane, sequence, message, cell));
                }
                Action::Archive { sequence, message } => {
                    io.shared.archive.keep(sequence, message, io.shared.clock.now().wall);
                }
                Action::Mark(mark) => self.outbox.mark(mark),
                Action::Ack(tags) => {
                    self.processing.settled(&tags);
                    self.outbox.ack(tags);
                }
                Action::Lane(lane, lane::Action::Write { ticket, changes }) => {
                    self.outbox.write(LaneWrite { lane, ticket, changes });
                }
                Action::Lane(lane, lane::Action::Fetch { ticket, reading }) => {
                    self.tasks.spawn(io.read(lane, ticket, reading));
                }
                Action::Lane(
                    lane,
                    lane::Action::Attempt { attempt, number, event, sequence, class, held, message },
                ) => {
                    // A draining partition starts nothing: the lane ends with it.
                    if !self.draining {
                        let cell = self.targets.cell(lane.project, lane.webhook);
                        let wanted = Attempt { lane, attempt, number, event, sequence, class, held, message, cell };
                        self.tasks.spawn(io.attempt(wanted));
                        self.attempts += 1;
                    }
                }
                // The machine performs these itself.
                Action::Lane(_, lane::Action::Settle { .. } | lane::Action::Count { .. }) => {}
            }
        }
        self.flush();
    }

    /// Sends what waits, one transaction and one acknowledgement at a time: what comes meanwhile goes together.
    fn flush(&mut self) {
        if !self.writing {
            let writes = self.outbox.take_writes();
            if !writes.is_empty() {
                self.writing = true;
                self.tasks.spawn(Arc::clone(&self.io).write(writes));
            }
        }
        if !self.settling && self.outbox.has_settled() {
            self.settling = true;
            let (marks, tags) = self.outbox.take_settled();
            self.tasks.spawn(Arc::clone(&self.io).settle(Arc::clone(&self.acks), marks, tags));
        }
    }
}
