//! The verifier takes what the contract describes and names the mistake behind everything else.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use spectrum_webhook_receiver::{Diagnosis, Headers, Key, Problem, TOLERANCE, verify};

const SECRET: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
const TIME: u64 = 1_747_242_392;
const BODY: &str = "{\"event\":\"messages\"}";

fn mac(key: &[u8], signed: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes()).as_ref().to_vec()
}

fn spectrum(key: &[u8], signed: &str) -> String {
    format!("v0={}", hex::encode(mac(key, signed)))
}

fn standard(key: &[u8], signed: &str) -> String {
    format!("v1,{}", STANDARD.encode(mac(key, signed)))
}

/// A genuine delivery of a body, to be spoilt.
fn delivery(body: &str) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("x-spectrum-event", "messages".to_owned()),
        ("x-spectrum-webhook-id", "w".to_owned()),
        ("x-spectrum-timestamp", TIME.to_string()),
        ("x-spectrum-signature", spectrum(SECRET.as_bytes(), &format!("v0:{TIME}:{body}"))),
        ("webhook-id", "e".to_owned()),
        ("webhook-timestamp", TIME.to_string()),
        ("webhook-signature", standard(SECRET.as_bytes(), &format!("e.{TIME}.{body}"))),
    ]
}

fn set(headers: &mut [(&'static str, String)], name: &str, value: impl Into<String>) {
    headers.iter_mut().find(|(had, _)| *had == name).expect("a header").1 = value.into();
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn problems(headers: Vec<(&'static str, String)>, body: &str) -> Vec<Problem> {
    let headers: Headers = headers.into_iter().collect();
    let key = Key::of(SECRET).expect("a secret");
    verify(&key, &headers, body.as_bytes(), at(TIME), TOLERANCE).err().unwrap_or_default()
}

/// What is said about both signatures of a delivery.
fn diagnoses(headers: Vec<(&'static str, String)>, body: &str) -> Vec<Diagnosis> {
    problems(headers, body)
        .into_iter()
        .map(|problem| match problem {
            Problem::Signature { diagnosis, .. } => diagnosis,
            other => panic!("{other}"),
        })
        .collect()
}

#[test]
fn the_contracts_test_vector_is_genuine() {
    let mut headers = delivery(BODY);
    set(&mut headers, "x-spectrum-signature", "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db");
    assert_eq!(problems(headers, BODY), []);
}

#[test]
fn both_forms_of_a_secret_are_the_same_key() {
    let whole = format!("whsec_{}", STANDARD.encode(SECRET));
    let headers: Headers = delivery(BODY).into_iter().collect();
    let key = Key::of(&whole).expect("a secret");
    assert_eq!(verify(&key, &headers, BODY.as_bytes(), at(TIME), TOLERANCE), Ok(()));
    assert!(!format!("{key:?}").contains("a3f8"));
    for wrong in ["", "a3f8", "whsec_", "whsec_!", &SECRET.to_uppercase()] {
        assert!(Key::of(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn time_stamps_are_good_for_five_minutes_either_way() {
    let headers: Headers = delivery(BODY).into_iter().collect();
    let key = Key::of(SECRET).expect("a secret");
    let judge = |now: u64| verify(&key, &headers, BODY.as_bytes(), at(now), TOLERANCE);
    assert_eq!((judge(TIME + 300), judge(TIME - 300)), (Ok(()), Ok(())));
    let old = judge(TIME + 301).expect_err("too old");
    assert_eq!(old[0], Problem::TooOld { header: "X-Spectrum-Timestamp", age: 301 });
    assert_eq!(old[1], Problem::TooOld { header: "webhook-timestamp", age: 301 });
    assert!(matches!(judge(TIME - 301).expect_err("too new")[0], Problem::InFuture { ahead: 301, .. }));
}

#[test]
fn everything_missing_is_named_at_once() {
    let missing: Vec<String> = problems(Vec::new(), BODY).iter().map(ToString::to_string).collect();
    for name in ["X-Spectrum-Timestamp", "X-Spectrum-Signature", "webhook-id", "webhook-timestamp"] {
        assert!(missing.contains(&format!("`{name}` is missing")), "{missing:?}");
    }
    let mut twice = delivery(BODY);
    twice.push(("X-Spectrum-Signature", "v0=00".to_owned()));
    assert_eq!(problems(twice, BODY), [Problem::Repeated("X-Spectrum-Signature")]);
}

#[test]
fn malformed_signatures_are_explained() {
    let right = spectrum(SECRET.as_bytes(), &format!("v0:{TIME}:{BODY}"));
    let digits = right.trim_start_matches("v0=");
    for (value, said) in [
        (format!("sha256={digits}"), "begins with `sha256=`"),
        (digits.to_owned(), "no `v0=`"),
        (format!("v0={}", digits.to_uppercase()), "not lowercase"),
        (format!("v0={}", &digits[..62]), "62 hex characters"),
        (format!("v0={}", STANDARD.encode(mac(b"k", "m"))), "base64"),
    ] {
        let mut headers = delivery(BODY);
        set(&mut headers, "x-spectrum-signature", value.clone());
        let found = problems(headers, BODY);
        assert!(found.len() == 1 && found[0].to_string().contains(said), "{value}: {found:?}");
    }
    let mut headers = delivery(BODY);
    set(&mut headers, "webhook-signature", "v2,AAAA");
    assert!(matches!(problems(headers, BODY)[..], [Problem::Malformed { header: "webhook-signature", .. }]));
    let mut headers = delivery(BODY);
    set(&mut headers, "x-spectrum-timestamp", format!("{TIME}000"));
    assert!(problems(headers, BODY)[0].to_string().contains("milliseconds"));
}

#[test]
fn a_wrong_key_is_told_from_a_wrongly_read_one() {
    let signed = |key: &[u8]| {
        let mut headers = delivery(BODY);
        set(&mut headers, "x-spectrum-signature", spectrum(key, &format!("v0:{TIME}:{BODY}")));
        set(&mut headers, "webhook-signature", standard(key, &format!("e.{TIME}.{BODY}")));
        diagnoses(headers, BODY)
    };
    let twice = |diagnosis: Diagnosis| vec![diagnosis.clone(), diagnosis];
    assert_eq!(signed(&hex::decode(SECRET).expect("hex")), twice(Diagnosis::KeyDecodedFromHex));
    let whole = format!("whsec_{}", STANDARD.encode(SECRET));
    assert_eq!(signed(whole.as_bytes()), twice(Diagnosis::KeyIsWholeStandardSecret));
    assert_eq!(signed(b"another"), twice(Diagnosis::WrongSecretOrBody));
}

#[test]
fn what_the_signature_covers_instead_is_named() {
    for (signed, diagnosis) in [
        (BODY.to_owned(), Diagnosis::BodyOnly),
        (format!("{TIME}.{BODY}"), Diagnosis::OtherPrefix(format!("{TIME}."))),
        (format!("v0:{}:{BODY}", TIME + 1), Diagnosis::OtherTimestamp("webhook-timestamp".to_owned())),
    ] {
        let mut headers = delivery(BODY);
        set(&mut headers, "x-spectrum-signature", spectrum(SECRET.as_bytes(), &signed));
        set(&mut headers, "webhook-timestamp", (TIME + 1).to_string());
        let later = format!("e.{}.{BODY}", TIME + 1);
        set(&mut headers, "webhook-signature", standard(SECRET.as_bytes(), &later));
        assert_eq!(diagnoses(headers, BODY), [diagnosis], "{signed}");
    }
}

#[test]
fn a_body_that_was_written_again_is_recognised() {
    let compact = r#"{"event":"messages","text":"caf\u00e9, \"a:b\" \/"}"#;
    for (posted, read) in [
        (
            compact.to_owned(),
            "{\n  \"event\": \"messages\",\n  \"text\": \"caf\\u00e9, \\\"a:b\\\" \\/\"\n}".to_owned(),
        ),
        (r#"{"event": "messages", "n": [1, 2]}"#.to_owned(), r#"{"event":"messages","n":[1,2]}"#.to_owned()),
        (compact.to_owned(), format!("{compact}\n")),
        (format!("{BODY}\n"), BODY.to_owned()),
        (
            r#"{"event":"messages","t":"caf\u00e9\ud83d\ude00"}"#.to_owned(),
            r#"{"event":"messages","t":"café😀"}"#.to_owned(),
        ),
        (
            r#"{"event":"messages","t":"café😀/"}"#.to_owned(),
            r#"{"event":"messages","t":"caf\u00e9\ud83d\ude00\/"}"#.to_owned(),
        ),
        ("{\"event\":\"messages\",\n\"a\":1}".to_owned(), "{\"event\":\"messages\",\r\n\"a\":1}".to_owned()),
    ] {
        let found = diagnoses(delivery(&posted), &read);
        assert!(
            found.len() == 2 && found.iter().all(|diagnosis| matches!(diagnosis, Diagnosis::BodyChanged(_))),
            "{posted} read as {read}: {found:?}"
        );
    }
}

#[test]
fn during_a_rotation_the_newer_secret_fits_one_signature_only() {
    let mut headers = delivery(BODY);
    set(&mut headers, "x-spectrum-signature", spectrum(b"older", &format!("v0:{TIME}:{BODY}")));
    let older = standard(b"older", &format!("e.{TIME}.{BODY}"));
    let newer = standard(SECRET.as_bytes(), &format!("e.{TIME}.{BODY}"));
    set(&mut headers, "webhook-signature", format!("{newer} {older}"));
    assert_eq!(diagnoses(headers, BODY), [Diagnosis::OlderKey]);
}

#[test]
fn headers_that_contradict_the_body_or_each_other_are_named() {
    let mut headers = delivery(BODY);
    set(&mut headers, "x-spectrum-event", "other");
    set(&mut headers, "content-type", "text/plain");
    headers.push(("X-Spectrum-Event-Id", "f".to_owned()));
    assert_eq!(problems(headers, BODY).len(), 3);
    let odd = r#"{"a":{"event":"decoy"},"n":1E400,"s":"\ud800","event":"messages"}"#;
    assert_eq!(problems(delivery(odd), odd), []);
}
