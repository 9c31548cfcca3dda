//! Both signatures, over the same bytes as the product's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A key that has been taken in once.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(number: usize) -> anyhow::Result<Self> {
        Ok(Self(Hmac::new_from_slice(format!("{number:064x}").as_bytes())?))
    }

    fn mac(&self, parts: [&[u8]; 4]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// `X-Spectrum-Signature`
    pub(super) fn spectrum(&self, timestamp: &str, body: &[u8]) -> String {
        format!("v0={}", hex::encode(self.mac([b"v0:", timestamp.as_bytes(), b":", body])))
    }

    /// `webhook-signature`
    pub(super) fn standard(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let start = format!("{id}.{timestamp}.");
        format!("v1,{}", STANDARD.encode(self.mac([start.as_bytes(), body, b"", b""])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_test_vector_holds() {
        let secret = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
        let key = Key(Hmac::new_from_slice(secret.as_bytes()).expect("a key"));
        assert_eq!(
            key.spectrum("1747242392", br#"{"event":"messages"}"#),
            "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db"
        );
    }
}
