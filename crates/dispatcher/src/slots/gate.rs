//! The slots, to wait at.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::lane::Class;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{SlotSettings, SlotTicket, Slots};

/// An attempt that has run for so long gives its healthy slot back.
const HEALTHY_FOR: Duration = Duration::from_secs(1);
/// One that has run for so long gives it back if others wait for it. Most receivers answer sooner.
const QUICK_FOR: Duration = Duration::from_millis(100);

/// Where attempts wait for a slot. Clones are the same gate.
#[derive(Clone)]
pub struct SlotGate(Arc<Mutex<State>>);

struct State {
    slots: Slots,
    waiting: HashMap<SlotTicket, oneshot::Sender<()>>,
    last: u64,
}

impl SlotGate {
    /// A gate with these slots.
    pub fn new(settings: SlotSettings) -> Self {
        let state = State { slots: Slots::new(settings), waiting: HashMap::new(), last: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a slot. Dropping the future withdraws the request.
    pub async fn enter(&self, webhook: WebhookId, class: Class) -> Permit {
        let (mut permit, granted) = {
            let mut state = self.0.lock();
            state.last += 1;
            let ticket = SlotTicket(state.last);
            let (grant, granted) = oneshot::channel();
            state.waiting.insert(ticket, grant);
            state.slots.request(ticket, webhook, class);
            state.let_in();
            (Permit { gate: self.clone(), ticket, since: None }, granted)
        };
        // The sender stays in the map until it is used, and this permit keeps the map.
        let _ = granted.await;
        permit.since = Some(Instant::now());
        permit
    }

    /// Attempts of a class under way.
    pub fn running(&self, class: Class) -> usize {
        self.0.lock().slots.running(class)
    }

    /// Slots of a class.
    pub(crate) fn cap(&self, class: Class) -> usize {
        self.0.lock().slots.cap(class)
    }

    /// Attempts of a class that wait for a slot.
    pub fn waiting(&self, class: Class) -> usize {
        self.0.lock().slots.waiting(class)
    }
}

impl State {
    fn let_in(&mut self) {
        while let Some(ticket) = self.slots.start_next() {
            if let Some(grant) = self.waiting.remove(&ticket) {
                // Whoever is gone gives the slot back when its permit drops.
                let _ = grant.send(());
            }
        }
    }
}

/// A slot. Dropping it gives the slot back.
pub struct Permit {
    gate: SlotGate,
    ticket: SlotTicket,
    since: Option<Instant>,
}

impl Permit {
    /// Runs the attempt. After 100 ms it gives a healthy slot back if others wait, and after 1 s in any case; then it
    /// goes on in the failing part.
    pub async fn run<F: Future>(&self, attempt: F) -> F::Output {
        let mut attempt = pin!(attempt);
        let mut has_slot = true;
        for _ in 0..HEALTHY_FOR.as_millis() / QUICK_FOR.as_millis() {
            if let Ok(output) = timeout(QUICK_FOR, &mut attempt).await {
                return output;
            }
            has_slot = has_slot && !self.step_aside();
        }
        self.demote();
        attempt.await
    }

    fn step_aside(&self) -> bool {
        let mut state = self.gate.0.lock();
        let freed = state.slots.step_aside(self.ticket);
        if freed {
            state.let_in();
        }
        freed
    }

    /// Gives a healthy slot back, and goes on in the failing part.
    pub fn demote(&self) {
        let mut state = self.gate.0.lock();
        if state.slots.demote(self.ticket) {
            state.let_in();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let used = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let mut state = self.gate.0.lock();
        state.waiting.remove(&self.ticket);
        state.slots.finished(self.ticket, u64::try_from(used.as_millis()).unwrap_or(u64::MAX));
        state.let_in();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn lane(number: u128) -> WebhookId {
        WebhookId(Uuid::from_u128(number))
    }

    fn small() -> SlotGate {
        SlotGate::new(SlotSettings { healthy: 1, failing: 1, outage: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_attempt_gives_its_healthy_slot_back_after_a_second() {
        let gate = small();
        let first = gate.enter(lane(1), Class::Healthy).await;
        let hanging = tokio::spawn(async move { first.run(std::future::pending::<()>()).await });
        tokio::time::sleep(Duration::from_millis(999)).await;
        assert_eq!((gate.running(Class::Healthy), gate.running(Class::Failing)), (1, 0));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!((gate.running(Class::Healthy), gate.running(Class::Failing)), (0, 1));
        let second = gate.enter(lane(2), Class::Healthy).await;
        hanging.abort();
        assert!(hanging.await.is_err());
        assert_eq!(gate.running(Class::Failing), 0);
        drop(second);
        assert_eq!(gate.running(Class::Healthy), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_gives_its_slot_to_those_that_wait_and_not_many_do() {
        let gate = small();
        let start = Instant::now();
        let slow = |number| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let permit = gate.enter(lane(number), Class::Healthy).await;
                let begun = start.elapsed().as_millis();
                permit.run(tokio::time::sleep(Duration::from_millis(900))).await;
                begun
            })
        };
        let all: Vec<_> = (1..=7).map(slow).collect();
        let mut begun = Vec::new();
        for attempt in all {
            begun.push(attempt.await.expect("no panic"));
        }
        // Four beside the one slot; the sixth waits until the first has ended.
        assert_eq!(begun, [0, 100, 200, 300, 400, 900, 1_000]);
        assert_eq!(gate.running(Class::Healthy), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_keeps_its_slot_while_nobody_waits() {
        let gate = small();
        let permit = gate.enter(lane(1), Class::Healthy).await;
        permit.run(tokio::time::sleep(Duration::from_millis(900))).await;
        let mut second = pin!(gate.enter(lane(2), Class::Healthy));
        assert!(futures::poll!(&mut second).is_pending());
        drop(permit);
        second.await;
    }

    #[tokio::test]
    async fn a_slot_passes_on_when_its_permit_drops() {
        let gate = small();
        let first = gate.enter(lane(1), Class::Failing).await;
        let mut second = pin!(gate.enter(lane(2), Class::Failing));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await;
        assert_eq!(second.run(async { 7 }).await, 7);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_takes_no_slot() {
        let gate = small();
        let first = gate.enter(lane(1), Class::Healthy).await;
        {
            let mut gone = pin!(gate.enter(lane(2), Class::Healthy));
            assert!(futures::poll!(&mut gone).is_pending());
        }
        assert_eq!(gate.waiting(Class::Healthy), 0);
        let mut granted = Box::pin(gate.enter(lane(3), Class::Healthy));
        assert!(futures::poll!(&mut granted).is_pending());
        drop(first);
        // It holds the slot already, and goes without having looked.
        drop(granted);
        assert_eq!(gate.running(Class::Healthy), 0);
    }
}
