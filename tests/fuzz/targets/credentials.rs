//! `Authorization`: credentials that are written are read, and nothing else fits.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::credentials::{Basic, of_scheme};
use uuid::Uuid;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let credentials = of_scheme(text, "Basic");
        assert!(credentials.is_none() || of_scheme(text, "Bearer").is_none());
        for credentials in [Some(text), credentials].into_iter().flatten() {
            if let Some(basic) = Basic::read(credentials) {
                let decoded = STANDARD.decode(credentials.trim_end_matches('=').to_owned() + padding(credentials));
                let decoded = decoded.expect("base64");
                assert!(decoded[..37].eq_ignore_ascii_case(format!("{}:", basic.project).as_bytes()));
                assert!(basic.fits(Some(Sha256::digest(&decoded[37..]).into())));
            }
        }
    }
    // The first 16 bytes are an id, the others a secret.
    let Some((id, secret)) = input.split_first_chunk::<16>() else { return };
    let id = Uuid::from_bytes(*id);
    let pair = [id.to_string().as_bytes(), b":", secret].concat();
    let header = format!("basic {}", STANDARD.encode(&pair));
    let basic = of_scheme(&header, "Basic").and_then(Basic::read).expect("credentials");
    assert_eq!(basic.project.0, id);
    assert!(basic.fits(Some(Sha256::digest(secret).into())));
    assert!(!basic.fits(None) && !basic.fits(Some(Sha256::digest(&pair).into())));
});

fn padding(credentials: &str) -> &'static str {
    ["", "", "==", "="][credentials.trim_end_matches('=').len() % 4]
}
