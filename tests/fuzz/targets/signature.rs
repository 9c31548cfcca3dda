//! Signatures: what the sender signs the receiver verifies, by other code; and nothing else.

#![no_main]

#[path = "../../../crates/receiver/src/diagnose.rs"]
mod diagnose;
#[path = "../../../crates/receiver/src/recorded.rs"]
#[allow(dead_code, reason = "compiled in from its crate")]
mod recorded;
#[path = "../../../crates/receiver/src/verify.rs"]
#[allow(dead_code, reason = "compiled in from its crate")]
mod verify;

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use recorded::Headers;
use spectrum_webhook_core::event::Envelope;
use spectrum_webhook_core::sign;
use spectrum_webhook_core::webhook::SigningSecret;
use verify::{Key, Problem, TOLERANCE, verify};

const AT: u64 = 1_747_242_392;

fn about_signatures(problem: &Problem) -> bool {
    matches!(problem, Problem::Signature { .. })
}

fuzz_target!(|input: &[u8]| {
    let now = UNIX_EPOCH + Duration::from_secs(AT);
    let text = String::from_utf8_lossy(input);
    // Sender and receiver agree on what a secret is.
    assert_eq!(text.parse::<SigningSecret>().is_ok(), !text.starts_with("whsec_") && Key::of(&text).is_ok());

    let secret = SigningSecret::from_random([7; 32]);
    let key = Key::of(&secret.expose_standard()).expect("a secret");
    let event = Envelope::read(input).map_or_else(|_| "messages".to_owned(), |envelope| envelope.event_type);
    let signed = |body: &[u8]| -> Vec<(&str, String)> {
        let at = AT as i64;
        vec![
            ("x-spectrum-event", event.clone()),
            ("x-spectrum-webhook-id", "w".to_owned()),
            ("x-spectrum-timestamp", at.to_string()),
            ("x-spectrum-signature", sign::spectrum(&secret, at, body)),
            ("webhook-id", "e".to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", sign::standard(&secret, "e", at, body)),
            ("content-type", "application/json".to_owned()),
        ]
    };
    let headers: Headers = signed(input).into_iter().collect();
    match verify(&key, &headers, input, now, TOLERANCE) {
        Ok(()) => {}
        // A body that is no event has no name to compare.
        Err(problems) => {
            assert!(problems.iter().all(|problem| matches!(problem, Problem::Differ { .. })), "{problems:?}")
        }
    }
    // A byte more, and both are wrong.
    let changed = [input, b" "].concat();
    let problems = verify(&key, &headers, &changed, now, TOLERANCE).expect_err("another body");
    assert_eq!(problems.iter().filter(|problem| about_signatures(problem)).count(), 2, "{problems:?}");
    // Headers as somebody makes them up: none verifies, whatever they replace.
    for line in input.split(|byte| *byte == b'\n').take(16) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (String::from_utf8_lossy(&line[..colon]).into_owned(), &line[colon + 1..]);
        let mut forged: Vec<(String, Vec<u8>)> = signed(b"{\"event\":\"messages\"}")
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect();
        for (had, old) in &mut forged {
            if had.eq_ignore_ascii_case(&name) {
                *old = value.to_vec();
            }
        }
        let forged = verify(&key, &Headers(forged), b"{\"event\":\"massages\"}", now, TOLERANCE);
        for problem in forged.expect_err("a forgery") {
            assert!(!problem.to_string().is_empty());
        }
    }
});
