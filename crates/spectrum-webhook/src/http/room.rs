//! Places for connections. When all are taken, those that ask for nothing make way for new ones: whoever opens
//! thousands of connections and is silent on them keeps nobody out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// One in so many connections is told to go when there is no place: looking for those that have rested longest is not
/// done anew for each newcomer.
const SHARE: usize = 64;
/// How soon it is looked for again when all are busy.
const AGAIN: Duration = Duration::from_millis(50);

/// So many places.
#[derive(Clone)]
pub(super) struct Room(Arc<Shared>);

struct Shared {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    opened: Instant,
}

/// A place, until it is dropped.
pub(super) struct Place {
    room: Room,
    number: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        let free = Arc::new(Semaphore::new(places));
        Self(Arc::new(Shared { free, taken: Mutex::default(), next: AtomicU64::new(0), opened: Instant::now() }))
    }

    /// The next place. Safe to cancel.
    pub(super) async fn place(&self) -> Place {
        let permit = loop {
            match Arc::clone(&self.0.free).try_acquire_owned() {
                Ok(permit) => break permit,
                Err(_) => self.make_way(),
            }
            // One that ends by itself does as well.
            if let Ok(Ok(permit)) = timeout(AGAIN, Arc::clone(&self.0.free).acquire_owned()).await {
                break permit;
            }
        };
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::new(self.0.opened));
        self.0.taken.lock().insert(number, Arc::clone(&activity));
        Place { room: self.clone(), number, activity, _permit: permit }
    }

    /// Tells those to go that have had no request for longest.
    fn make_way(&self) {
        let mut resting: Vec<_> = {
            let taken = self.0.taken.lock();
            taken.values().filter(|activity| activity.rests()).map(|one| (one.since(), Arc::clone(one))).collect()
        };
        let count = resting.len().min(self.0.taken.lock().len().div_ceil(SHARE));
        if count > 0 {
            resting.select_nth_unstable_by_key(count - 1, |(since, _)| *since);
        }
        for (_, activity) in &resting[..count] {
            activity.go.notify_one();
        }
    }
}

impl Place {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.taken.lock().remove(&self.number);
    }
}

/// What a connection's requests do. The time-outs of the protocols leave gaps: a client that sends nothing or part of
/// the HTTP/2 preface, that asks and never reads the answers, or that only keeps an HTTP/2 connection alive would keep
/// its place for ever, and a few thousand of them would keep everybody else out.
pub(super) struct Activity {
    /// What `since` counts from.
    opened: Instant,
    /// Requests whose answer is not made yet.
    under_way: AtomicUsize,
    /// When one began or ended last, or else the connection did, in microseconds.
    since: AtomicU64,
    /// Another one needs the place.
    go: Notify,
}

impl Activity {
    fn new(opened: Instant) -> Self {
        let activity = Self { opened, under_way: AtomicUsize::new(0), since: AtomicU64::new(0), go: Notify::new() };
        activity.note();
        activity
    }

    fn note(&self) {
        let micros = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(micros, Ordering::Release);
    }

    fn since(&self) -> u64 {
        self.since.load(Ordering::Acquire)
    }

    fn rests(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }

    /// Returns when no request was under way for `span`; at the latest after another one.
    pub(super) async fn rest(&self, span: Duration) {
        loop {
            let before = self.since();
            sleep(span).await;
            if self.rests() && self.since() == before {
                return;
            }
        }
    }

    /// Returns when another one needs the place, unless a request began meanwhile.
    pub(super) async fn told_to_go(&self) {
        loop {
            self.go.notified().await;
            if self.rests() {
                return;
            }
        }
    }
}

/// A request, until its answer is made or its client has gone.
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        activity.note();
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.note();
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
