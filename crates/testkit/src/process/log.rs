//! What a process printed, line by line.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Lines that are kept; a server logs one for each attempt.
const KEPT: usize = 50_000;
/// Lines that are printed when a test fails.
const SHOWN: usize = 120;

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    /// Lines ever added: the newest one's place.
    added: u64,
}

impl Lines {
    fn since(&self, place: u64) -> impl Iterator<Item = &String> {
        let newer = usize::try_from(self.added - place).unwrap_or(usize::MAX);
        self.kept.iter().skip(self.kept.len().saturating_sub(newer))
    }
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Notify,
}

/// The lines of all starts of one server, both streams together, oldest first.
#[derive(Clone, Default)]
pub struct Log(Arc<Shared>);

impl Log {
    /// Reads a stream to its end, on a thread of its own: what a process says while the test's runtime is already
    /// ending must not be lost.
    pub(super) fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                log.add(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        })
    }

    /// Adds a line and returns its place.
    pub(super) fn add(&self, line: String) -> u64 {
        let mut lines = self.0.lines.lock();
        lines.added += 1;
        let place = lines.added;
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
        drop(lines);
        self.0.changed.notify_waiters();
        place
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.lock().kept.iter().cloned().collect()
    }

    /// The first thing that `find` sees in a line, those printed already included; `None` when none comes in time.
    pub async fn wait_for<T>(&self, find: impl FnMut(&str) -> Option<T>, patience: Duration) -> Option<T> {
        self.wait_for_since(0, find, patience).await
    }

    /// The same among the lines behind a place.
    pub(super) async fn wait_for_since<T>(
        &self,
        place: u64,
        mut find: impl FnMut(&str) -> Option<T>,
        patience: Duration,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // From here on no line is missed, so that looking now and waiting then leaves no gap.
            changed.as_mut().enable();
            if let Some(found) = self.0.lines.lock().since(place).find_map(|line| find(line)) {
                return Some(found);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return None;
            }
        }
    }

    /// The last lines, one below the other.
    pub fn tail(&self) -> String {
        let lines = self.0.lines.lock();
        let shown = lines.kept.iter().skip(lines.kept.len().saturating_sub(SHOWN));
        shown.map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
