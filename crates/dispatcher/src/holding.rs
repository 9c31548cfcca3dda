//! Whether a partition's lease is still good by this process's own clock.
//!
//! A lease expires on its server 15 s after its last renewal took place there. The holder counts from when it *sent*
//! the renewal, and stops at 12 s: whatever the network did with the request, the server's time had not begun earlier.
//! Every attempt asks again right before it starts, so that a process that was frozen starts none when it thaws.

use std::sync::atomic::{AtomicU64, Ordering};

use spectrum_webhook_core::time::Mono;

use crate::clock::Clock;

/// The age of one lease's last renewal.
#[derive(Debug)]
pub(crate) struct Holding {
    clock: Clock,
    renewed: AtomicU64,
    limit: u64,
    ended: std::sync::atomic::AtomicBool,
}

impl Holding {
    /// A lease that was asked for at `sent`, good for `limit` milliseconds after each renewal.
    pub(crate) fn new(clock: Clock, sent: Mono, limit: u64) -> Self {
        Self { clock, renewed: AtomicU64::new(sent.0), limit, ended: std::sync::atomic::AtomicBool::new(false) }
    }

    /// A renewal that was sent then has succeeded.
    pub(crate) fn renewed(&self, sent: Mono) {
        self.renewed.fetch_max(sent.0, Ordering::AcqRel);
    }

    /// No attempt may start from here on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether an attempt may start.
    pub(crate) fn is_good(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && !self.is_expired()
    }

    /// Whether it is too long since it was renewed.
    pub(crate) fn is_expired(&self) -> bool {
        self.clock.mono() >= self.expires()
    }

    /// When it will be too long, unless it is renewed.
    pub(crate) fn expires(&self) -> Mono {
        Mono(self.renewed.load(Ordering::Acquire)).plus(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_counts_from_when_its_renewal_was_sent() {
        let clock = Clock::default();
        let holding = Holding::new(clock, clock.mono(), 12_000);
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        let sent = clock.mono();
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        holding.renewed(sent);
        assert!(holding.is_good());
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        assert!(!holding.is_good(), "12 s after it was sent, 6 s after its answer");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_after_the_end() {
        let clock = Clock::default();
        let holding = Holding::new(clock, clock.mono(), 12_000);
        holding.end();
        assert!(!holding.is_good());
    }
}
