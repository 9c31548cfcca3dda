use bytes::Bytes;
use spectrum_webhook_core::delivery::Purpose;
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion};

use super::*;
use crate::record::tests::{Log, count, log};

const NOW: Millis = Millis(1_000_000_000);

fn message(bytes: usize) -> Message {
    Message {
        id: EventId(Default::default()),
        project: ProjectId(Default::default()),
        event_type: "messages".to_owned(),
        accepted_at: NOW,
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from(vec![b' '; bytes]),
    }
}

fn archive(log: &Arc<Log>, settings: ArchiveSettings) -> (Archive, Registry) {
    let registry = Registry::new();
    let store = Arc::clone(log) as Arc<dyn Store>;
    (Archive::start(store, &registry, settings).expect("metrics"), registry)
}

fn lost(registry: &Registry) -> String {
    count(registry, "spectrum_webhook_events_unarchived_total")
}

#[tokio::test(start_paused = true)]
async fn events_are_written_in_batches_of_so_many_and_so_many_bytes() {
    let (log, _) = log(100, 0);
    let settings = ArchiveSettings { batch: 3, batch_bytes: 1_000, ..ArchiveSettings::default() };
    let (archive, registry) = archive(&log, settings);
    for bytes in [10, 10, 10, 400, 700, 10] {
        archive.keep(Sequence(1), Arc::new(message(bytes)), NOW);
    }
    archive.shutdown().await;
    assert_eq!(*log.writes.lock(), [3, 2, 1]);
    assert_eq!(lost(&registry), "0");
    assert_eq!(archive.waiting.load(Ordering::Relaxed), 0);
    archive.keep(Sequence(1), Arc::new(message(1)), NOW);
    assert_eq!(log.writes.lock().len(), 3, "it takes no more");
}

#[tokio::test(start_paused = true)]
async fn only_events_whose_time_is_not_over_are_archived() {
    let (log, _) = log(100, 0);
    let keep = Duration::from_secs(1);
    let (archive, registry) = archive(&log, ArchiveSettings { keep, ..ArchiveSettings::default() });
    archive.keep(Sequence(1), Arc::new(message(1)), Millis(NOW.0 + 999));
    archive.keep(Sequence(1), Arc::new(message(1)), Millis(NOW.0 + 1_000));
    archive.shutdown().await;
    assert_eq!((log.writes.lock().clone(), lost(&registry).as_str()), (vec![1], "0"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_archived_for_no_time() {
    let (log, _) = log(100, 0);
    let settings = ArchiveSettings { keep: Duration::ZERO, ..ArchiveSettings::default() };
    let (archive, registry) = archive(&log, settings);
    archive.keep(Sequence(1), Arc::new(message(1)), Millis(0));
    archive.shutdown().await;
    assert_eq!((log.writes.lock().len(), lost(&registry).as_str()), (0, "0"));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_in_number_or_in_bytes_is_dropped_and_counted() {
    let (hanging, _) = log(0, 0);
    let settings = ArchiveSettings { queue: 2, queue_bytes: 1_000, ..ArchiveSettings::default() };
    let (archive, registry) = archive(&hanging, settings);
    archive.keep(Sequence(1), Arc::new(message(600)), NOW);
    archive.keep(Sequence(1), Arc::new(message(600)), NOW);
    assert_eq!(lost(&registry), "1", "too many bytes");
    archive.keep(Sequence(1), Arc::new(message(1)), NOW);
    archive.keep(Sequence(1), Arc::new(message(1)), NOW);
    assert_eq!(lost(&registry), "2", "too many");
    // The store hangs: at the end all are lost.
    archive.shutdown().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((lost(&registry).as_str(), archive.waiting.load(Ordering::Relaxed)), ("4", 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_a_store_that_comes_back_and_is_dropped_when_it_does_not() {
    let (flaky, _) = log(100, 3);
    let (first, registry) = archive(&flaky, ArchiveSettings::default());
    first.keep(Sequence(1), Arc::new(message(1)), NOW);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((flaky.writes.lock().clone(), lost(&registry).as_str()), (vec![1], "0"));
    let (down, _) = log(1_000, u32::MAX);
    let (second, registry) = archive(&down, ArchiveSettings::default());
    second.keep(Sequence(1), Arc::new(message(1)), NOW);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(lost(&registry), "1");
    assert_eq!(second.waiting.load(Ordering::Relaxed), 0);
}
