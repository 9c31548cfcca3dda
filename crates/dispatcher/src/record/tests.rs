use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use prometheus::Registry;
use spectrum_webhook_core::attempt::{Ended, Failure, Next};
use spectrum_webhook_core::delivery::{DeliveryKey, Message};
use spectrum_webhook_core::ids::{Epoch, EventId, PartitionId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ordering::Reading;
use spectrum_webhook_core::ports::{
    Archived, Backlog, Change, Committed, Lease, PortError, Pruning, Takeover, Totals, Unreadable,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook;
use tokio::sync::Semaphore;

use super::*;

/// A store that has a log and an archive, and nothing else.
pub(crate) struct Log {
    pub(crate) writes: Mutex<Vec<usize>>,
    /// Each write takes one; none left: it hangs.
    permits: Semaphore,
    failures: AtomicU32,
    prunings: mpsc::UnboundedSender<Pruning>,
    steps_left: AtomicU32,
}

pub(crate) fn log(permits: usize, failures: u32) -> (Arc<Log>, mpsc::UnboundedReceiver<Pruning>) {
    let (prunings, seen) = mpsc::unbounded_channel();
    let log = Log {
        writes: Mutex::default(),
        permits: Semaphore::new(permits),
        failures: AtomicU32::new(failures),
        prunings,
        steps_left: AtomicU32::new(2),
    };
    (Arc::new(log), seen)
}

fn unavailable<T>() -> Result<T, PortError> {
    Err(PortError::Unavailable { port: "store", operation: "test", detail: String::new() })
}

impl Log {
    async fn write(&self, rows: usize) -> Result<(), PortError> {
        self.permits.acquire().await.expect("open").forget();
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return unavailable();
        }
        self.writes.lock().push(rows);
        Ok(())
    }
}

#[async_trait]
impl Store for Log {
    async fn record(&self, attempts: &[AttemptRecord]) -> Result<(), PortError> {
        self.write(attempts.len()).await
    }

    async fn archive(&self, events: &[Archived]) -> Result<(), PortError> {
        self.write(events.len()).await
    }

    async fn prune(&self, pruning: Pruning) -> Result<bool, PortError> {
        self.prunings.send(pruning).expect("someone looks");
        Ok(self.steps_left.fetch_sub(1, Ordering::SeqCst) > 1)
    }

    async fn epoch(&self, _: PartitionId) -> Result<Epoch, PortError> {
        unavailable()
    }
    async fn take_over(&self, _: &Lease) -> Result<Takeover, PortError> {
        unavailable()
    }
    async fn commit(&self, _: &Lease, _: &[Change]) -> Result<Committed, PortError> {
        unavailable()
    }
    async fn read_backlog(&self, _: WebhookId, _: &Reading, _: usize) -> Result<Backlog, PortError> {
        unavailable()
    }
    async fn read_message(&self, _: DeliveryKey) -> Result<Option<Message>, PortError> {
        unavailable()
    }
    async fn find(&self, _: &[DeliveryKey]) -> Result<Vec<DeliveryKey>, PortError> {
        unavailable()
    }
    async fn registry(&self, _: ProjectId) -> Result<webhook::Registry, PortError> {
        unavailable()
    }
    async fn quarantine(&self, _: &Lease, _: &Unreadable, _: Millis) -> Result<(), PortError> {
        unavailable()
    }
    async fn totals(&self) -> Result<Totals, PortError> {
        unavailable()
    }
}

fn attempt(ended: Ended) -> AttemptRecord {
    AttemptRecord {
        key: DeliveryKey { event: EventId(Default::default()), webhook: WebhookId(Default::default()) },
        project: ProjectId(Default::default()),
        event_type: "messages".to_owned(),
        sequence: Sequence(1),
        number: 1,
        started_at: Millis(0),
        connect_ms: None,
        first_byte_ms: None,
        total_ms: 1_500,
        ended,
        address: None,
        snippet: String::new(),
        resend: None,
        next: Next::Undecided,
    }
}

fn ok() -> AttemptRecord {
    attempt(Ended::Answered { status: 204, retry_after: None })
}

fn recorder(log: &Arc<Log>, settings: RecorderSettings) -> (Recorder, Registry) {
    let registry = Registry::new();
    let metrics = AttemptMetrics::register(&registry).expect("metrics");
    (Recorder::start(Arc::clone(log) as Arc<dyn Store>, metrics, settings), registry)
}

pub(crate) fn count(registry: &Registry, name: &str) -> String {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().expect("a value").to_owned()
}

#[tokio::test(start_paused = true)]
async fn attempts_are_written_in_batches() {
    let (log, _) = log(100, 0);
    let (recorder, registry) = recorder(&log, RecorderSettings::default());
    for _ in 0..4_800 {
        recorder.record(ok(), None);
    }
    recorder.shutdown().await;
    assert_eq!(*log.writes.lock(), [2_000, 2_000, 800]);
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "0");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_gets_what_waited() {
    let (log, _) = log(100, 3);
    let (recorder, registry) = recorder(&log, RecorderSettings::default());
    recorder.record(ok(), None);
    recorder.shutdown().await;
    assert_eq!(*log.writes.lock(), [1]);
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "0");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_costs_log_lines_and_no_time() {
    let (log, _) = log(10_000, u32::MAX);
    let flush_timeout = Duration::from_secs(60);
    let settings = RecorderSettings { queue: 10, flush_timeout, ..RecorderSettings::default() };
    let (recorder, registry) = recorder(&log, settings);
    for _ in 0..25 {
        recorder.record(ok(), None);
    }
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "15", "the queue holds ten");
    recorder.shutdown().await;
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "25");
    recorder.record(ok(), None);
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "26", "after the end");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_hold_up_the_end() {
    let (log, _) = log(0, 0);
    let (recorder, registry) = recorder(&log, RecorderSettings::default());
    recorder.record(ok(), None);
    let start = Instant::now();
    recorder.shutdown().await;
    assert_eq!(start.elapsed(), RecorderSettings::default().flush_timeout);
    tokio::task::yield_now().await;
    assert_eq!(count(&registry, "spectrum_webhook_attempts_unlogged_total"), "1");
}

#[tokio::test]
async fn attempts_are_counted_by_what_their_answer_meant() {
    let (log, _) = log(100, 0);
    let (recorder, registry) = recorder(&log, RecorderSettings::default());
    for ended in [
        Ended::Answered { status: 200, retry_after: None },
        Ended::Answered { status: 503, retry_after: None },
        Ended::Failed(Failure::Timeout),
        Ended::Answered { status: 404, retry_after: None },
        Ended::Answered { status: 410, retry_after: None },
        Ended::Failed(Failure::AddressRefused),
    ] {
        recorder.record(attempt(ended), None);
    }
    for (outcome, expected) in [("delivered", "1"), ("retriable", "2"), ("fatal", "3")] {
        assert_eq!(count(&registry, &format!("spectrum_webhook_attempts_total{{outcome=\"{outcome}\"}}")), expected);
    }
    assert_eq!(count(&registry, "spectrum_webhook_attempt_seconds_count"), "6");
    assert_eq!(count(&registry, "spectrum_webhook_attempt_seconds_sum"), "9");
    recorder.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn pruning_goes_on_in_steps_until_nothing_is_left() {
    let (log, mut seen) = log(0, 0);
    let settings = PruneSettings { keep_attempts: Duration::from_secs(10), ..PruneSettings::default() };
    let pruner = Pruner::start(log, settings, || Millis(25_000));
    let start = Instant::now();
    for _ in 0..2 {
        let pruning = seen.recv().await.expect("a step");
        assert_eq!((pruning.attempts_before, pruning.now), (Millis(15_000), Millis(25_000)));
    }
    assert_eq!(start.elapsed(), settings.every + settings.pause);
    drop(pruner);
    assert!(seen.recv().await.is_none(), "it ends with its owner");
}
