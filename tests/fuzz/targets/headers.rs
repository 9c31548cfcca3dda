//! The headers that a webhook wants: what is taken can be sent and is nobody else's, and no value is ever printed.

#![no_main]

use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use spectrum_webhook_core::headers::{CustomHeaders, MAX_HEADERS, MAX_VALUES};

const OURS: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "content-type",
    "webhook-signature",
    "x-spectrum-event",
];

fuzz_target!(|input: &str| {
    let pairs = input.split('\n').filter_map(|line| line.split_once(':'));
    let pairs: Vec<(String, String)> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let secrets: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).filter(|value| value.len() >= 8).collect();
    let hidden = |printed: &str| {
        for secret in &secrets {
            let named = pairs.iter().any(|(name, _)| name.contains(secret));
            // Long ones only: a short value may well be a word of the sentence.
            assert!(named || secret.len() < 100 || !printed.contains(secret), "{printed}");
        }
    };
    match CustomHeaders::new(pairs.clone()) {
        Ok(headers) => {
            hidden(&format!("{headers:?}"));
            assert!(pairs.len() <= MAX_HEADERS);
            assert!(headers.expose().map(|(_, value)| value.len()).sum::<usize>() <= MAX_VALUES);
            let mut seen = Vec::new();
            for (name, value) in headers.expose() {
                let parsed = HeaderName::try_from(name).expect("a header's name");
                assert_eq!(HeaderValue::from_str(value).expect("a header's value").to_str().ok(), Some(value));
                assert!(!OURS.contains(&parsed.as_str()) && !seen.contains(&parsed), "{name}");
                seen.push(parsed);
            }
            assert_eq!(seen.len(), pairs.len());
            assert_eq!(CustomHeaders::from_json(&headers.expose_json()), Some(headers));
        }
        Err(error) => hidden(&format!("{error} {error:?}")),
    }
    // What is stored is read by the same code, whatever it has become.
    let _ = CustomHeaders::from_json(input.as_bytes());
});
