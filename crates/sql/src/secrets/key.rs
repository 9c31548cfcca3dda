//! A master key, and its fingerprint.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// What people call a key by: 16 hexadecimal characters that come from it by HKDF, and tell nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub(super) [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A 256-bit key that signing secrets and headers are encrypted with. It prints nothing.
#[derive(Clone, ZeroizeOnDrop)]
pub struct MasterKey {
    bytes: [u8; 32],
    #[zeroize(skip)]
    fingerprint: Fingerprint,
}

impl MasterKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut fingerprint = [0; 8];
        derive(&bytes, "spectrum-webhook fingerprint 1", &mut fingerprint);
        Self { bytes, fingerprint: Fingerprint(fingerprint) }
    }

    /// A new one, from the system's secure randomness.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        SysRng.try_fill_bytes(bytes.as_mut()).map_err(std::io::Error::other)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// A key of its own for another purpose, by HKDF with SHA-256: whoever has it learns nothing of this one. It is the
    /// same wherever this one is.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0_u8; 32]);
        derive(&self.bytes, purpose, derived.as_mut());
        derived
    }

    /// By what name people may call it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// As [`FromStr`] reads it.
    pub(super) fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.bytes))
    }
}

fn derive(key: &[u8; 32], purpose: &str, derived: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "at most 32 bytes are one block, and 255 may be asked for")]
    Hkdf::<Sha256>::new(None, key).expand(purpose.as_bytes(), derived).expect("one block");
}

/// Neither 64 hexadecimal characters nor the base64 of 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("a master key is 64 hexadecimal characters, or the base64 of 32 bytes")]
pub struct MalformedKey;

impl FromStr for MasterKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let decoded = if text.len() == 64 { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
        let decoded = Zeroizing::new(decoded.ok_or(MalformedKey)?);
        decoded.as_slice().try_into().map(Self::from_bytes).map_err(|_| MalformedKey)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_from_base64_and_prints_nothing() {
        let key = MasterKey::from_bytes([7; 32]);
        let from_hex: MasterKey = "07".repeat(32).parse().expect("hex");
        let from_base64: MasterKey = STANDARD.encode([7; 32]).parse().expect("base64");
        assert_eq!((from_hex.bytes, from_base64.bytes), (key.bytes, key.bytes));
        assert!("".parse::<MasterKey>().is_err());
        assert!(STANDARD.encode([7; 31]).parse::<MasterKey>().is_err());
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        assert_eq!(key.expose().parse::<MasterKey>().expect("a key").bytes, key.bytes);
    }

    #[test]
    fn a_fingerprint_is_always_the_same_and_another_keys_is_another() {
        let of = |byte| MasterKey::from_bytes([byte; 32]).fingerprint();
        // It stands in databases: it may never change.
        assert_eq!(of(7).to_string(), "41ae8bfb40775df7");
        assert_ne!(of(7), of(8));
    }
}
