//! The archive: events as they were accepted, kept for a while for whoever asks what became of them. Written in the
//! background like the delivery log: a delivery never waits for it, and what cannot be written in time is dropped, and
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{IntCounter, Registry};
use spectrum_webhook_core::delivery::Message;
use spectrum_webhook_core::ids::Sequence;
use spectrum_webhook_core::ports::{Archived, Store};
use spectrum_webhook_core::time::Millis;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How events are archived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveSettings {
    /// How long an event stays, from when it was accepted; zero: none is archived.
    pub keep: Duration,
    /// Events that may wait to be written.
    pub queue: usize,
    /// Bytes of bodies that may wait to be written; the process's budget does not count them.
    pub queue_bytes: usize,
    /// Events in one write, at most.
    pub batch: usize,
    /// Bytes of bodies after which a write takes no more.
    pub batch_bytes: usize,
    /// How long a batch gathers.
    pub gather: Duration,
    /// One write may take so long.
    pub write_timeout: Duration,
    /// A batch that the store has not taken by then is dropped.
    pub give_up_after: Duration,
    /// How long the last writes may take at the end.
    pub flush_timeout: Duration,
}

impl Default for ArchiveSettings {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(3 * 24 * 60 * 60),
            queue: 10_000,
            queue_bytes: 16 << 20,
            batch: 1_000,
            batch_bytes: 2 << 20,
            gather: Duration::from_millis(500),
            write_timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(30),
            flush_timeout: Duration::from_secs(5),
        }
    }
}

/// The wait after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes events, and writes them in batches.
pub struct Archive {
    keep: i64,
    queue_bytes: usize,
    flush_timeout: Duration,
    queue: Mutex<Option<mpsc::Sender<Archived>>>,
    writer: Mutex<Option<AbortOnDropHandle<()>>>,
    waiting: Arc<AtomicUsize>,
    unarchived: IntCounter,
}

impl Archive {
    /// Starts the writer, which ends with `shutdown` or when the archive is dropped.
    ///
    /// # Errors
    /// When the registry has a metric of its name.
    pub fn start(store: Arc<dyn Store>, registry: &Registry, settings: ArchiveSettings) -> prometheus::Result<Self> {
        let unarchived = IntCounter::new(
            "spectrum_webhook_events_unarchived_total",
            "Events that the archive does not have: too many waited, or the store was down.",
        )?;
        registry.register(Box::new(unarchived.clone()))?;
        let waiting = Arc::new(AtomicUsize::new(0));
        let (mut queue, mut task) = (None, None);
        if !settings.keep.is_zero() {
            let (sender, receiver) = mpsc::channel(settings.queue.max(1));
            let (waiting, unarchived) = (Arc::clone(&waiting), unarchived.clone());
            let writer = Writer { store, settings, waiting, unarchived };
            queue = Some(sender);
            task = Some(AbortOnDropHandle::new(tokio::spawn(writer.run(receiver))));
        }
        Ok(Self {
            keep: i64::try_from(settings.keep.as_millis()).unwrap_or(i64::MAX),
            queue_bytes: settings.queue_bytes,
            flush_timeout: settings.flush_timeout,
            queue: Mutex::new(queue),
            writer: Mutex::new(task),
            waiting,
            unarchived,
        })
    }

    /// Queues an event to be archived, unless its time is over already. It never waits.
    pub(crate) fn keep(&self, sequence: Sequence, message: Arc<Message>, now: Millis) {
        let keep_until = Millis(message.accepted_at.0.saturating_add(self.keep));
        if keep_until <= now {
            return;
        }
        let queue = self.queue.lock();
        let Some(queue) = queue.as_ref() else { return };
        let bytes = message.body.len();
        let fits = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.queue_bytes;
        if !fits || queue.try_send(Archived { sequence, message, keep_until }).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.unarchived.inc();
        }
    }

    /// Takes no more, and writes what waits, for as long as the settings give it.
    pub(crate) async fn shutdown(&self) {
        self.queue.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && timeout(self.flush_timeout, writer).await.is_err()
        {
            tracing::warn!("the archive was not written to its end in time");
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    settings: ArchiveSettings,
    /// Bytes of bodies that are queued or being written.
    waiting: Arc<AtomicUsize>,
    unarchived: IntCounter,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Archived>) {
        while let Some(first) = queue.recv().await {
            let mut batch =
                Batch { writer: &self, bytes: first.message.body.len(), events: vec![first], written: false };
            let full = sleep_until(Instant::now() + self.settings.gather);
            tokio::pin!(full);
            while batch.events.len() < self.settings.batch && batch.bytes < self.settings.batch_bytes {
                tokio::select! {
                    event = queue.recv() => match event {
                        Some(event) => {
                            batch.bytes += event.message.body.len();
                            batch.events.push(event);
                        }
                        None => break,
                    },
                    () = &mut full => break,
                }
            }
            // Always in the same order, so that two writers never wait for each other's rows.
            batch.events.sort_unstable_by_key(|event| event.message.id);
            batch.write().await;
        }
    }
}

/// Events being written, counted as lost until they are: a writer that is aborted in between has told the truth.
struct Batch<'a> {
    writer: &'a Writer,
    events: Vec<Archived>,
    bytes: usize,
    written: bool,
}

impl Batch<'_> {
    async fn write(&mut self) {
        let settings = &self.writer.settings;
        let give_up = Instant::now() + settings.give_up_after;
        loop {
            let again = match timeout(settings.write_timeout, self.writer.store.archive(&self.events)).await {
                Ok(Ok(())) => {
                    self.written = true;
                    return;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, events = self.events.len(), "the archive could not be written");
                    error.is_retriable()
                }
                Err(_) => {
                    tracing::warn!(events = self.events.len(), "writing the archive took too long");
                    true
                }
            };
            if !again || Instant::now() + PAUSE >= give_up {
                return;
            }
            sleep_until(Instant::now() + PAUSE).await;
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.writer.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
        if !self.written {
            self.writer.unarchived.inc_by(self.events.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests;
