//! All requests, counted. It keeps the newest up to a bound; counts of what it forgot go with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::recorded::Recorded;

/// What is counted for one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathCount {
    /// Requests.
    pub requests: u64,
    /// Different events.
    pub events: u64,
    /// Different events that were answered with a 2xx at least once.
    pub taken: u64,
}

#[derive(Default)]
struct EventCount {
    requests: u64,
    taken: bool,
}

/// The requests so far.
pub struct Memory {
    capacity: usize,
    total: u64,
    broken: u64,
    requests: VecDeque<Arc<Recorded>>,
    paths: HashMap<String, PathCount>,
    events: HashMap<(String, String), EventCount>,
}

impl Memory {
    /// A memory of at most `capacity` requests.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            total: 0,
            broken: 0,
            requests: VecDeque::new(),
            paths: HashMap::new(),
            events: HashMap::new(),
        }
    }

    /// The requests that are remembered, oldest first.
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &Arc<Recorded>> + ExactSizeIterator {
        self.requests.iter()
    }

    /// Those to one path (and query).
    pub fn at<'a>(&'a self, path: &'a str) -> impl DoubleEndedIterator<Item = &'a Arc<Recorded>> {
        self.requests.iter().filter(move |request| request.path == path)
    }

    /// Requests since the start, forgotten ones included.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Requests whose body did not come in full, or was too large.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// What is counted for a path.
    pub fn count(&self, path: &str) -> PathCount {
        self.paths.get(path).copied().unwrap_or_default()
    }

    pub(crate) fn add_broken(&mut self) {
        self.broken += 1;
    }

    /// Numbers a request, lets `answer` decide on its status, and keeps it.
    pub(crate) fn add<T>(&mut self, mut request: Recorded, answer: impl FnOnce(&Recorded) -> (Option<u16>, T)) -> T {
        self.total += 1;
        let path = self.paths.entry(request.path.clone()).or_default();
        path.requests += 1;
        request.nth = self.total;
        request.nth_for_path = path.requests;
        let name = (request.path.clone(), request.event_id().unwrap_or_default().to_owned());
        let event = self.events.entry(name).or_default();
        event.requests += 1;
        request.nth_for_event = event.requests;
        let (status, answered) = answer(&request);
        request.status = status;
        if event.requests == 1 {
            path.events += 1;
        }
        if request.taken() && !event.taken {
            event.taken = true;
            path.taken += 1;
        }
        self.requests.push_back(Arc::new(request));
        while self.requests.len() > self.capacity {
            self.forget_oldest();
        }
        answered
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.requests.pop_front() else { return };
        // The last remembered request of an event, or of a path, takes its counts along: they stay bounded too.
        let name = (oldest.path.clone(), oldest.event_id().unwrap_or_default().to_owned());
        if self.events.get(&name).is_some_and(|event| event.requests == oldest.nth_for_event) {
            self.events.remove(&name);
        }
        if self.paths.get(&oldest.path).is_some_and(|path| path.requests == oldest.nth_for_path) {
            self.paths.remove(&oldest.path);
        }
    }
}
