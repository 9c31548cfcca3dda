//! Signatures: Spectrum's `v0` and the Standard Webhooks' `v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::webhook::SigningSecret;

/// `X-Spectrum-Signature` over `v0:` + timestamp + `:` + body: `v0=` and 64 lowercase hex characters.
pub fn spectrum(secret: &SigningSecret, timestamp: i64, body: &[u8]) -> String {
    let digest = mac(secret, &[b"v0:", timestamp.to_string().as_bytes(), b":", body]);
    format!("v0={}", hex::encode(digest))
}

/// One value of `webhook-signature` over `id.timestamp.body`: `v1,` and base64.
pub fn standard(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let digest = mac(secret, &[id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(digest))
}

/// Whether two signatures are the same, in a time that does not tell where they differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn mac(secret: &SigningSecret, parts: &[&[u8]]) -> [u8; 32] {
    // The key is the characters as they stand, not the 32 bytes that they encode (the contract's rule).
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector_secret() -> SigningSecret {
        "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d".parse().expect("the contract's secret")
    }

    #[test]
    fn the_contracts_test_vector_holds() {
        assert_eq!(
            spectrum(&vector_secret(), 1_747_242_392, br#"{"event":"messages"}"#),
            "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db"
        );
    }

    #[test]
    fn the_standard_key_is_the_characters_in_base64() {
        let shown = vector_secret().expose_standard();
        let key = STANDARD.decode(shown.strip_prefix("whsec_").expect("the prefix")).expect("base64");
        assert_eq!(key, vector_secret().expose().as_bytes());
    }

    #[test]
    fn a_secret_prints_nothing() {
        assert!(!format!("{:?}", vector_secret()).contains("a3f8"));
    }
}
