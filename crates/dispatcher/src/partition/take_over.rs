//! The time between a lease and its first delivery: the store and the queue may be slow, and the lease stays held.

use std::time::Duration;

use spectrum_webhook_core::ports::{Lease, SequenceLock, Subscription, Takeover};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::Lost;
use crate::Shared;
use crate::clock::Clock;
use crate::holding::Holding;

/// Takes a partition over: what rests, and a subscription. The lease is held meanwhile.
pub(super) async fn take_over(
    shared: &Shared,
    lease: &Lease,
    holding: &Holding,
) -> Result<(Takeover, Box<dyn Subscription>), Lost> {
    // The store's epoch first, then the lease once more: no older owner writes, and no newer one has begun.
    let taking = async {
        let takeover = shared.ports.store.take_over(lease).await?;
        let sent = shared.clock.mono();
        if !shared.ports.lock.renew(lease).await? {
            return Err(Lost::Lease);
        }
        holding.renewed(sent);
        let subscription = shared.ports.queue.subscribe(lease, shared.settings.partition.window).await?;
        Ok((takeover, subscription))
    };
    held(shared.ports.lock.as_ref(), lease, (holding, shared.clock, shared.settings.renew_every), taking).await
}

/// Renews the lease beside what takes the partition over. That is dropped when the lease turns out to be lost, or was
/// not renewed in time.
async fn held<T>(
    lock: &dyn SequenceLock,
    lease: &Lease,
    (holding, clock, renew_every): (&Holding, Clock, Duration),
    taking: impl Future<Output = Result<T, Lost>>,
) -> Result<T, Lost> {
    let renewing = async {
        let mut renewals = interval_at(Instant::now() + renew_every, renew_every);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            renewals.tick().await;
            let sent = clock.mono();
            match lock.renew(lease).await {
                Ok(true) => holding.renewed(sent),
                Ok(false) => return Lost::Lease,
                Err(error) => {
                    tracing::warn!(partition = %lease.partition, %error, "a lease could not be renewed");
                }
            }
        }
    };
    let expiring = async {
        while !holding.is_expired() {
            sleep_until(clock.instant(holding.expires())).await;
        }
    };
    tokio::select! {
        // What is refused or too late counts before what was taken at the same moment.
        biased;
        lost = renewing => Err(lost),
        () = expiring => Err(Lost::Expired),
        taken = taking => taken,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use spectrum_webhook_core::delivery::DeliveryKey;
    use spectrum_webhook_core::ids::{Epoch, OwnerId, PartitionId};
    use spectrum_webhook_core::ports::{Mark, PortError};
    use tokio::time::sleep;
    use uuid::Uuid;

    use super::*;

    /// A renewal takes half a second; so many succeed.
    struct Lock {
        renewals: AtomicUsize,
        beyond: fn() -> Result<bool, PortError>,
    }

    #[async_trait]
    impl SequenceLock for Lock {
        async fn renew(&self, _: &Lease) -> Result<bool, PortError> {
            sleep(Duration::from_millis(500)).await;
            let left = self.renewals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() { Ok(true) } else { (self.beyond)() }
        }

        async fn acquire(&self, _: PartitionId, _: OwnerId, _: Epoch) -> Result<Option<Lease>, PortError> {
            Ok(None)
        }

        async fn release(&self, _: &Lease) -> Result<(), PortError> {
            Ok(())
        }

        async fn settle(&self, _: &Lease, _: &[Mark]) -> Result<(), PortError> {
            Ok(())
        }

        async fn look_up(&self, _: &Lease, _: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
            Ok(Vec::new())
        }

        async fn heartbeat(&self, _: OwnerId) -> Result<usize, PortError> {
            Ok(1)
        }

        async fn leave(&self, _: OwnerId) -> Result<(), PortError> {
            Ok(())
        }
    }

    /// Takes over for 9 s with a lease of 3 s; returns when that ended, and whether the lease is still good.
    async fn take_nine_seconds(
        renewals: usize,
        beyond: fn() -> Result<bool, PortError>,
    ) -> (Result<(), Lost>, u64, bool) {
        let (clock, lock) = (Clock::default(), Lock { renewals: AtomicUsize::new(renewals), beyond });
        let holding = Holding::new(clock, clock.mono(), 2_400);
        let lease = Lease { partition: PartitionId(0), owner: OwnerId(Uuid::from_u128(1)), epoch: Epoch(1) };
        let taking = async {
            sleep(Duration::from_secs(9)).await;
            Ok(())
        };
        let taken = held(&lock, &lease, (&holding, clock, Duration::from_secs(1)), taking).await;
        (taken, clock.mono().0, holding.is_good())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_outlives_a_broker_that_is_slower_than_it() {
        let (taken, at, is_good) = take_nine_seconds(usize::MAX, || Ok(true)).await;
        assert!(taken.is_ok() && is_good, "{taken:?} at {at}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_is_refused_ends_the_taking_over() {
        let (taken, at, _) = take_nine_seconds(2, || Ok(false)).await;
        assert!(matches!(taken, Err(Lost::Lease)) && at < 5_000, "{taken:?} at {at}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_cannot_be_renewed_ends_it_when_it_is_over_counted_from_when_the_last_was_sent() {
        let unavailable =
            || Err(PortError::Unavailable { port: "lock", operation: "renew", detail: "gone".to_owned() });
        let (taken, at, is_good) = take_nine_seconds(1, unavailable).await;
        assert!(matches!(taken, Err(Lost::Expired)) && !is_good, "{taken:?}");
        assert!((3_400..3_500).contains(&at), "sent at 1 s, good for 2.4 s: {at}");
    }
}
