//! What is done for every delivery and can be done without a machine: sign, judge, step.
//! `cargo bench -p spectrum-webhook-core`.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::classify::classify;
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::event::Envelope;
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::lane::{Action, Arrival, Attempted, Input, Lane, LaneSettings, Status, Terms};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::sign;
use spectrum_webhook_core::time::{Millis, Mono, Now};
use spectrum_webhook_core::webhook::SigningSecret;
use uuid::Uuid;

/// Bytes of an event, about.
const SIZE: usize = 600;

fn body() -> String {
    let head = r#"{"event":"messages","space":{"id":"s","platform":"imessage"},"message":{"id":"m-1","content":{"type":"text","text":""#;
    let tail = r#""}}}"#;
    format!("{head}{}{tail}", "x".repeat(SIZE - head.len() - tail.len()))
}

fn signing(criterion: &mut Criterion) {
    let (secret, body) = (SigningSecret::from_random([7; 32]), body());
    let id = Uuid::from_u128(1).to_string();
    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("spectrum", |bencher| {
        bencher.iter(|| sign::spectrum(black_box(&secret), 1_747_242_392, black_box(body.as_bytes())));
    });
    group.bench_function("standard", |bencher| {
        bencher.iter(|| sign::standard(black_box(&secret), &id, 1_747_242_392, black_box(body.as_bytes())));
    });
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let body = body();
    criterion.bench_function("read an event", |bencher| {
        bencher.iter(|| Envelope::read(black_box(body.as_bytes())).is_ok());
    });
}

fn classifying(criterion: &mut Criterion) {
    let ends = [
        Ended::Answered { status: 200, retry_after: None },
        Ended::Answered { status: 503, retry_after: Some(1_000) },
        Ended::Failed(Failure::Timeout),
    ];
    criterion.bench_function("classify three ends", |bencher| {
        bencher.iter(|| black_box(ends).map(classify));
    });
}

/// One delivery through a lane: it comes, is tried, is taken.
fn stepping(criterion: &mut Criterion) {
    let webhook = WebhookId(Uuid::from_u128(7));
    let terms = Terms { status: Status::Enabled, ordering: Ordering::Project, changed: Millis(0) };
    let mut lane = Lane::new(webhook, terms, Arc::new(LaneSettings::default()));
    let message = Arc::new(Message {
        id: EventId(Uuid::from_u128(1)),
        project: ProjectId(Uuid::from_u128(2)),
        event_type: "messages".to_owned(),
        accepted_at: Millis(1_000),
        registry: RegistryVersion(1),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::from(body()),
    });
    let (mut chance, mut actions) = (Seeded::new(1), Vec::new());
    let now = Now { mono: Mono(1), wall: Millis(1_000) };
    let mut sequence = 0;
    criterion.bench_function("a delivery through a lane", |bencher| {
        bencher.iter(|| {
            sequence += 1;
            let arrival = Arrival { sequence: Sequence(sequence), message: Arc::clone(&message) };
            lane.step(now, Input::Deliver(arrival), &mut chance, &mut actions);
            let asked = actions.drain(..).find_map(|action| match action {
                Action::Attempt { attempt, .. } => Some(attempt),
                _ => None,
            });
            if let Some(attempt) = asked {
                let result = Attempted::Ended(Ended::Answered { status: 200, retry_after: None });
                lane.step(now, Input::Attempted { attempt, result }, &mut chance, &mut actions);
            }
            let done = actions.drain(..).any(|action| matches!(action, Action::Settle { .. }));
            assert!(done, "it is settled");
        });
    });
    assert!(lane.is_idle(), "nothing is left");
}

criterion_group!(pure, signing, reading, classifying, stepping);
criterion_main!(pure);
