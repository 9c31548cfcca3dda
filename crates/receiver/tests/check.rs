//! The checker finds what was lost, swapped, repeated, changed, made up and badly signed.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::hmac;
use spectrum_webhook_receiver::{Accepted, Headers, Key, Recorded, Report, check};

const SECRET: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";

fn body(id: &str) -> String {
    format!("{{\"event\":\"messages\",\"id\":\"{id}\"}}")
}

fn accepted(start: Instant, ids: &[&str]) -> Vec<Accepted> {
    ids.iter().map(|id| Accepted { id: (*id).to_owned(), body: body(id).into(), posted: start }).collect()
}

fn request(start: Instant, id: &str, sequence: u64, status: Option<u16>) -> Recorded {
    let wall = SystemTime::now();
    let time = wall.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let body = body(id);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let spectrum = hex::encode(hmac::sign(&key, format!("v0:{time}:{body}").as_bytes()));
    let standard = STANDARD.encode(hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes()));
    let headers: Headers = [
        ("content-type", "application/json".to_owned()),
        ("x-spectrum-event", "messages".to_owned()),
        ("x-spectrum-webhook-id", "w".to_owned()),
        ("x-spectrum-timestamp", time.to_string()),
        ("x-spectrum-signature", format!("v0={spectrum}")),
        ("x-spectrum-sequence", sequence.to_string()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", time.to_string()),
        ("webhook-signature", format!("v1,{standard}")),
    ]
    .into_iter()
    .collect();
    Recorded {
        nth: 0,
        nth_for_path: 0,
        nth_for_event: 0,
        arrived: start + Duration::from_millis(sequence),
        wall,
        version: http::Version::HTTP_11,
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers,
        body: Bytes::from(body),
        status,
    }
}

fn judge(start: Instant, ids: &[&str], requests: Vec<Recorded>) -> Report {
    let requests: Vec<Arc<Recorded>> = requests.into_iter().map(Arc::new).collect();
    check(&accepted(start, ids), &requests, &Key::of(SECRET).expect("a secret"))
}

#[test]
fn retries_and_late_duplicates_are_clean() {
    let start = Instant::now();
    let requests = vec![
        request(start, "a", 1, Some(500)),
        request(start, "a", 1, None),
        request(start, "a", 1, Some(200)),
        request(start, "b", 5, Some(204)),
        request(start, "a", 1, Some(200)),
    ];
    let report = judge(start, &["a", "b"], requests);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.accepted, report.arrived, report.delivered), (2, 2, 2));
    assert_eq!((report.attempts, report.verified, report.duplicates), (5, 5, 1));
    assert_eq!(report.latency(0.5), Duration::from_millis(5));
    assert_eq!(report.latency(0.0), Duration::from_millis(1));
}

#[test]
fn an_event_that_was_never_taken_is_missing() {
    let start = Instant::now();
    let report = judge(start, &["a", "b"], vec![request(start, "a", 1, Some(500))]);
    assert_eq!(report.missing, ["a", "b"]);
    assert_eq!((report.arrived, report.delivered), (1, 0));
}

#[test]
fn a_first_arrival_after_a_later_event_is_a_swap() {
    let start = Instant::now();
    let requests = ["a", "c", "b", "d"].into_iter().zip(1..).map(|(id, at)| request(start, id, at, Some(200)));
    let report = judge(start, &["a", "b", "c", "d"], requests.collect());
    assert_eq!(report.swapped, [("b".to_owned(), "c".to_owned())]);
    assert!(!report.is_clean());
}

#[test]
fn a_sequence_that_does_not_increase_is_named() {
    let start = Instant::now();
    let requests = vec![request(start, "a", 2, Some(200)), request(start, "b", 2, Some(200))];
    assert_eq!(judge(start, &["a", "b"], requests).unnumbered, ["b"]);
}

#[test]
fn changed_bytes_bad_signatures_and_unknown_events_are_named() {
    let start = Instant::now();
    let mut changed = request(start, "a", 1, Some(200));
    changed.body = Bytes::from_static(b"{\"event\":\"messages\"}");
    let report = judge(start, &["a"], vec![changed, request(start, "x", 2, Some(200))]);
    assert_eq!((report.changed.len(), report.refused.len(), report.unknown.len()), (1, 1, 1));
    assert!(!report.is_clean());
}
