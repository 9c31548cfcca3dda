//! Settings: all mistakes, or values within their bounds; and no secret in what is said of them.

#![no_main]

#[path = "../../../crates/spectrum-webhook/src/config/mod.rs"]
#[allow(dead_code, reason = "compiled in from its crate")]
mod config;

use std::time::Duration;

use config::sources::Sources;
use libfuzzer_sys::fuzz_target;

const SECRETS: [&str; 8] = [
    "SPECTRUM_DATABASE_URL",
    "SPECTRUM_AMQP_URL",
    "SPECTRUM_REDIS_URL",
    "SPECTRUM_MASTER_KEY",
    "SPECTRUM_MASTER_KEY_OTHERS",
    "SPECTRUM_OPERATOR_TOKEN",
    "SPECTRUM_OTLP_ENDPOINT",
    "SPECTRUM_OTLP_HEADERS",
];

/// What is said of these settings when their secrets are others: a fuzzer finds out to take our own words for a secret.
fn words(environment: &[(&str, &str)]) -> String {
    let others = environment.iter().map(|(name, value)| (*name, if SECRETS.contains(name) { "?" } else { *value }));
    let others = Sources::of(&others.collect::<Vec<_>>());
    format!("{others:?} {:?} {:?}", config::read(&others), config::read(&Sources::of(&[])))
}

fuzz_target!(|input: &str| {
    // One a line. Files are named by the operator, and read: none here.
    let lines = input.split('\n').filter_map(|line| line.split_once('='));
    let environment: Vec<(String, &str)> = lines
        .filter(|(name, _)| !name.ends_with("_FILE"))
        .map(|(name, value)| (format!("SPECTRUM_{name}"), value))
        .collect();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let words = words(&environment);
    let hidden = |printed: &str| {
        for (name, secret) in &environment {
            let elsewhere = |(other, value): &(&str, &str)| {
                !SECRETS.contains(other) && (value.contains(secret) || other.contains(secret))
            };
            let known = words.contains(secret) || environment.iter().any(elsewhere);
            if SECRETS.contains(name) && secret.len() >= 24 && !known {
                assert!(!printed.contains(secret), "{name} is in {printed}");
            }
        }
    };
    let sources = Sources::of(&environment);
    hidden(&format!("{sources:?}"));
    let settings = match config::read(&sources) {
        Ok(settings) => settings,
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            return hidden(&format!("{mistakes} {mistakes:?}"));
        }
    };
    hidden(&format!("{settings:?}"));
    let year = Duration::from_secs(366 * 86_400);
    let outage = &settings.outage;
    for duration in [
        settings.lease,
        settings.retry.initial,
        settings.retry.cap,
        settings.attempt_timeout,
        outage.probe.initial,
        outage.probe.cap,
        outage.budget,
        outage.keep,
        settings.idempotency_window,
        settings.delivery_log_keep,
        settings.hold_after,
        settings.grace,
    ] {
        assert!(duration >= Duration::from_millis(1) && duration <= year, "{duration:?}");
    }
    assert!(settings.archive_keep <= year && settings.lease >= Duration::from_secs(3));
    assert!(settings.retry.initial <= settings.retry.cap && outage.probe.initial <= outage.probe.cap);
    assert!(outage.probe.cap <= outage.budget && outage.budget <= outage.keep);
    assert!((1.0..=1_000.0).contains(&settings.retry.factor) && (1..=100).contains(&settings.retry.attempts));
    assert!((1..=1_000).contains(&outage.after) && (1..=4_096).contains(&settings.partitions));
    assert!((1..=65_535).contains(&settings.prefetch) && (2..=100_000).contains(&settings.attempt_slots));
    assert!((2..=1_000).contains(&settings.database_connections) && settings.namespace.len() <= 64);
    assert!(settings.max_event_size > 0 && settings.max_event_size <= 64 << 20);
    assert!(settings.memory_budget / 4 >= settings.max_event_size);
    assert!(settings.cluster.is_none() || settings.master_key.is_some());
    assert!(settings.tracing.is_none_or(|tracing| (0.0..=1.0).contains(&tracing.ratio)));
});
