//! What an ownership adds to the process's metrics and takes from its byte budget.

use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::lane::Standing;
use spectrum_webhook_core::partition::Census;

use super::Owner;

impl Owner {
    /// A message was taken. One that comes again has waited for something else than its turn.
    pub(super) fn count_taken(&self, redelivered: bool, message: &Message) {
        if !redelivered && message.purpose == Purpose::Event {
            let shared = &self.io.shared;
            shared.metrics.taken(message.accepted_at, shared.clock.now().wall);
        }
    }

    /// Carries what changed in the machine's counts over to the process's metrics and budget.
    pub(super) fn count(&mut self) {
        let (before, now) = (self.counted, self.machine.counts());
        let metrics = &self.io.shared.metrics;
        if before != now {
            metrics.recovered.inc_by(now.recovered - before.recovered);
            metrics.fanned_out.inc_by(now.fanned_out - before.fanned_out);
            metrics.delivered.inc_by(now.delivered - before.delivered);
            metrics.dead.inc_by(now.dead - before.dead);
            metrics.dropped.inc_by(now.dropped - before.dropped);
            let difference = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            metrics.pending.add(difference(now.pending()) - difference(before.pending()));
            self.counted = now;
        }
        self.count_lanes(self.machine.census());
        if self.share.set(self.machine.bytes() + self.buffered) && self.io.shared.memory.has_room() {
            self.io.shared.memory_freed.notify_waiters();
        }
    }

    fn count_lanes(&mut self, now: Census) {
        let before = std::mem::replace(&mut self.census, now);
        if before == now {
            return;
        }
        let metrics = &self.io.shared.metrics;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (standing, gauge) in Standing::ALL.into_iter().zip(&metrics.lanes) {
            let difference = number(now.of(standing)) - number(before.of(standing));
            // All partitions of the process share them, and most steps change none.
            if difference != 0 {
                gauge.add(difference);
            }
        }
        metrics.in_memory.add(number(now.unsettled) - number(before.unsettled));
    }
}

/// Also when the partition panics: readiness goes by these numbers.
impl Drop for Owner {
    fn drop(&mut self) {
        let metrics = &self.io.shared.metrics;
        let pending = self.counted.pending();
        metrics.released.inc_by(pending);
        metrics.pending.sub(i64::try_from(pending).unwrap_or(i64::MAX));
        metrics.partitions_held.dec();
        self.count_lanes(Census::default());
        if self.share.set(0) && self.io.shared.memory.has_room() {
            self.io.shared.memory_freed.notify_waiters();
        }
    }
}
