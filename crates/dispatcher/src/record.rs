//! The delivery log and the attempts' metrics, off the critical path: a delivery never waits for them. What cannot be
//! logged in time is dropped, and counted.

mod metrics;
mod prune;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::ports::Store;
use spectrum_webhook_core::traceparent::TraceContext;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

pub use self::metrics::AttemptMetrics;
pub use self::prune::{PruneSettings, Pruner};

/// How attempts are logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecorderSettings {
    /// Attempts that may wait to be written.
    pub queue: usize,
    /// Attempts in one write, at most.
    pub batch: usize,
    /// How long a batch gathers.
    pub gather: Duration,
    /// One write may take so long.
    pub write_timeout: Duration,
    /// A batch that the store has not taken by then is dropped.
    pub give_up_after: Duration,
    /// How long the last writes may take at the end.
    pub flush_timeout: Duration,
}

impl Default for RecorderSettings {
    fn default() -> Self {
        Self {
            queue: 10_000,
            batch: 2_000,
            gather: Duration::from_millis(500),
            write_timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(30),
            flush_timeout: Duration::from_secs(5),
        }
    }
}

/// The first and the longest wait after a write that failed.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Takes attempts, and writes them in batches.
pub struct Recorder {
    queue: Mutex<Option<mpsc::Sender<AttemptRecord>>>,
    writer: Mutex<Option<AbortOnDropHandle<()>>>,
    metrics: AttemptMetrics,
    flush_timeout: Duration,
}

impl Recorder {
    /// Starts the writer, which ends with [`Recorder::shutdown`] or when the recorder is dropped.
    pub fn start(store: Arc<dyn Store>, metrics: AttemptMetrics, settings: RecorderSettings) -> Self {
        let (sender, receiver) = mpsc::channel(settings.queue.max(1));
        let flush_timeout = settings.flush_timeout;
        let writer = Writer { store, metrics: metrics.clone(), settings };
        let writer = AbortOnDropHandle::new(tokio::spawn(writer.run(receiver)));
        Self { queue: Mutex::new(Some(sender)), writer: Mutex::new(Some(writer)), metrics, flush_timeout }
    }

    /// Counts an attempt, prints its line with the trace that it belongs to, and queues it for the log. It never waits.
    pub fn record(&self, attempt: AttemptRecord, trace: Option<TraceContext>) {
        self.metrics.count(&attempt);
        print(&attempt, trace);
        let queued = self.queue.lock().as_ref().is_some_and(|queue| queue.try_send(attempt).is_ok());
        if !queued {
            self.metrics.unlogged(1);
        }
    }

    /// Takes no more, and writes what waits, for as long as the settings give it.
    pub async fn shutdown(&self) {
        self.queue.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && timeout(self.flush_timeout, writer).await.is_err()
        {
            tracing::warn!("the delivery log was not written to its end in time");
        }
    }
}

/// The one wide line of an attempt: who looks for an event's id sees its life.
fn print(attempt: &AttemptRecord, trace: Option<TraceContext>) {
    tracing::info!(
        event = %attempt.key.event,
        resend = attempt.resend.map(tracing::field::display),
        webhook = %attempt.key.webhook,
        project = %attempt.project,
        event_type = attempt.event_type,
        sequence = attempt.sequence.0,
        attempt = attempt.number,
        ended = attempt.ended.last().code(),
        next = attempt.next.code(),
        next_at = attempt.next.at().map(|at| at.0),
        total_ms = attempt.total_ms,
        connect_ms = attempt.connect_ms,
        first_byte_ms = attempt.first_byte_ms,
        address = attempt.address.map(tracing::field::display),
        trace = trace.map(|trace| tracing::field::display(trace.trace_id())),
        "attempt"
    );
}

struct Writer {
    store: Arc<dyn Store>,
    metrics: AttemptMetrics,
    settings: RecorderSettings,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<AttemptRecord>) {
        let limit = self.settings.batch.max(1);
        let mut batch = Vec::with_capacity(limit);
        while queue.recv_many(&mut batch, limit).await > 0 {
            let full = sleep_until(Instant::now() + self.settings.gather);
            tokio::pin!(full);
            while batch.len() < limit {
                let room = limit - batch.len();
                tokio::select! {
                    received = queue.recv_many(&mut batch, room) => if received == 0 { break },
                    () = &mut full => break,
                }
            }
            self.write(&batch).await;
            batch.clear();
        }
    }

    async fn write(&self, batch: &[AttemptRecord]) {
        // Counted as lost until it is written: a writer that is aborted in between has told the truth.
        let mut lost = Lost { metrics: &self.metrics, count: batch.len() };
        let give_up = Instant::now() + self.settings.give_up_after;
        let mut wait = BACK_OFF.0;
        loop {
            let again = match timeout(self.settings.write_timeout, self.store.record(batch)).await {
                Ok(Ok(())) => {
                    lost.count = 0;
                    return;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, attempts = batch.len(), "the delivery log could not be written");
                    error.is_retriable()
                }
                Err(_) => {
                    tracing::warn!(attempts = batch.len(), "writing the delivery log took too long");
                    true
                }
            };
            if !again || Instant::now() + wait >= give_up {
                return;
            }
            sleep_until(Instant::now() + wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }
}

struct Lost<'a> {
    metrics: &'a AttemptMetrics,
    count: usize,
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.metrics.unlogged(self.count);
    }
}

#[cfg(test)]
pub(crate) mod tests;
