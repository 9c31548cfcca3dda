//! So many and no more: sign-ins that fail, and live streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The time over which sign-ins that fail are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Sign-ins of one name that may fail in it. A secret has 256 random bits and is not found by trying: this keeps the
/// store from being asked as fast as someone can type.
const OF_A_NAME: u32 = 10;
/// Sign-ins of all names.
const OF_ALL: u32 = 300;

/// Sign-ins that failed lately, in this process.
#[derive(Default)]
pub(crate) struct SignIns(Mutex<Failures>);

#[derive(Default)]
struct Failures {
    since: Option<Instant>,
    all: u32,
    by_name: HashMap<String, u32>,
}

impl SignIns {
    /// Whether someone with this name may try; if not, how long to wait.
    pub(crate) fn may_try(&self, name: &str, now: Instant) -> Result<(), Duration> {
        let mut failures = self.0.lock();
        let Some(since) = failures.since else { return Ok(()) };
        let left = WINDOW.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            *failures = Failures::default();
            return Ok(());
        }
        let of_name = failures.by_name.get(name).copied().unwrap_or(0);
        if of_name < OF_A_NAME && failures.all < OF_ALL { Ok(()) } else { Err(left) }
    }

    /// One failed. No more names are kept than may fail.
    pub(crate) fn failed(&self, name: &str, now: Instant) {
        let mut failures = self.0.lock();
        failures.since.get_or_insert(now);
        failures.all = failures.all.saturating_add(1);
        *failures.by_name.entry(name.to_owned()).or_default() += 1;
    }
}

/// Live streams of this process.
const STREAMS: usize = 256;
/// Live streams of one session.
const OF_A_SESSION: usize = 8;

/// The live streams of this process.
pub(crate) struct Streams {
    all: Arc<Semaphore>,
    by_session: Arc<Mutex<HashMap<[u8; 16], usize>>>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(STREAMS)), by_session: Arc::default() }
    }
}

/// The right to one stream, until it is dropped.
pub(crate) struct Stream {
    _permit: OwnedSemaphorePermit,
    session: [u8; 16],
    by_session: Arc<Mutex<HashMap<[u8; 16], usize>>>,
}

impl Streams {
    /// One more, unless there are too many.
    pub(crate) fn open(&self, session: [u8; 16]) -> Option<Stream> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut by_session = self.by_session.lock();
        let open = by_session.entry(session).or_default();
        if *open >= OF_A_SESSION {
            return None;
        }
        *open += 1;
        Some(Stream { _permit: permit, session, by_session: Arc::clone(&self.by_session) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut by_session = self.by_session.lock();
        let left = by_session.get(&self.session).map_or(0, |open| open.saturating_sub(1));
        if left == 0 {
            by_session.remove(&self.session);
        } else {
            by_session.insert(self.session, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fails_too_often_waits_and_others_do_not() {
        let (sign_ins, now) = (SignIns::default(), Instant::now());
        for _ in 0..OF_A_NAME {
            assert_eq!(sign_ins.may_try("a", now), Ok(()));
            sign_ins.failed("a", now);
        }
        assert_eq!((sign_ins.may_try("a", now), sign_ins.may_try("b", now)), (Err(WINDOW), Ok(())));
        assert_eq!(sign_ins.may_try("a", now + WINDOW), Ok(()));
    }

    #[test]
    fn all_names_together_have_a_limit() {
        let (sign_ins, now) = (SignIns::default(), Instant::now());
        for number in 0..OF_ALL {
            sign_ins.failed(&number.to_string(), now);
        }
        assert_eq!(sign_ins.may_try("new", now), Err(WINDOW));
    }

    #[test]
    fn streams_are_bounded_for_a_session_and_in_all() {
        let streams = Streams::default();
        let mut open: Vec<Stream> = (0..OF_A_SESSION).filter_map(|_| streams.open([1; 16])).collect();
        assert_eq!(open.len(), OF_A_SESSION);
        assert!(streams.open([1; 16]).is_none() && streams.open([2; 16]).is_some());
        open.pop();
        assert!(streams.open([1; 16]).is_some());
        drop(open);
        assert!(streams.by_session.lock().is_empty());
        let sessions = (0..=u8::MAX).flat_map(|session| [[session; 16]; 2]);
        let open: Vec<Stream> = sessions.filter_map(|session| streams.open(session)).collect();
        assert_eq!(open.len(), STREAMS);
    }
}
