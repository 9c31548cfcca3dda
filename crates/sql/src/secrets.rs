//! The master key, and the cipher under which signing secrets and the headers of webhooks rest.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::Sha256;
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::webhook::SigningSecret;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::error::{Fault, OpenError};
use crate::folder_lock::create_folder;

/// The 256-bit key that signing secrets and headers are encrypted with. It prints nothing.
#[derive(Clone, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// The name of the key's file in the data folder.
    pub const FILE_NAME: &str = "master.key";

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key of its own for another purpose, by HKDF with SHA-256: whoever has it learns nothing of this one. It is the
    /// same wherever this one is.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0_u8; 32]);
        #[expect(clippy::expect_used, reason = "32 bytes are one block, and 255 may be asked for")]
        Hkdf::<Sha256>::new(None, &self.0).expand(purpose.as_bytes(), derived.as_mut()).expect("one block");
        derived
    }

    /// Reads the key of a data folder; at the first start it makes the folder, and a key from the system's secure
    /// randomness in a file that this user alone may read.
    ///
    /// # Errors
    /// [`OpenError::Key`] when the file cannot be read or made, or holds no key.
    pub fn load_or_create(dir: &Path) -> Result<Self, OpenError> {
        create_folder(dir)?;
        let path = dir.join(Self::FILE_NAME);
        let failed = |doing: &str, error: &dyn fmt::Display| OpenError::Key {
            detail: format!("{} cannot be {doing}: {error}", path.display()),
        };
        if !path.try_exists().map_err(|error| failed("read", &error))? {
            match create(dir, &path) {
                Ok(()) => {}
                // Another process was faster: its key is the one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("made", &error)),
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| failed("read", &error))?);
        let mode = path.metadata().map_err(|error| failed("read", &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "the master key can be read by other users: chmod 600 it");
        }
        text.trim().parse().map_err(|error| failed("used", &error))
    }
}

/// Writes a new key beside its place and links it there: either nobody sees it, or it is whole.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SysRng.try_fill_bytes(bytes.as_mut()).map_err(io::Error::other)?;
    let text = Zeroizing::new(hex::encode(bytes.as_ref()));
    let draft = dir.join(format!("{}.{}.draft", MasterKey::FILE_NAME, uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = writeln!(file, "{}", text.as_str())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    linked?;
    File::open(dir)?.sync_all()
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
        decoded.as_slice().try_into().map(Self).map_err(|_| MalformedKey)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Says which key and cipher something rests under, so that keys can be exchanged later.
const VERSION: u8 = 1;
const NONCE: usize = 24;

/// XChaCha20-Poly1305 under the master key: version byte, nonce, ciphertext with its tag.
#[derive(Clone)]
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.0.into()))
    }

    /// Encrypts; the same `purpose` is needed to decrypt.
    pub(crate) fn seal(&self, purpose: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut nonce = [0_u8; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|error| Fault::unavailable(format!("no randomness: {error}")))?;
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: purpose })
            .map_err(|_| Fault::unavailable("the cipher refused a secret"))?;
        Ok([&[VERSION], nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Decrypts; `None` when the key or the purpose is another, or the bytes are damaged.
    pub(crate) fn open(&self, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&version, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let plain = self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: purpose }).ok()?;
        (version == VERSION).then(|| Zeroizing::new(plain))
    }

    /// A webhook's signing secret, as it is stored.
    pub(crate) fn seal_secret(&self, webhook: WebhookId, secret: &SigningSecret) -> Result<Vec<u8>, Fault> {
        self.seal(webhook.0.as_bytes(), secret.expose().as_bytes())
    }

    /// A webhook's signing secret, back from the store.
    pub(crate) fn open_secret(&self, webhook: WebhookId, sealed: &[u8]) -> Result<SigningSecret, Fault> {
        self.open(webhook.0.as_bytes(), sealed)
            .and_then(|mut plain| {
                let secret = std::str::from_utf8(&plain).ok().and_then(|text| text.parse().ok());
                plain.zeroize();
                secret
            })
            .ok_or_else(|| Fault::Corrupt(format!("the signing secret of webhook {webhook} cannot be decrypted")))
    }

    /// A webhook's headers, as they are stored; `None` when there are none.
    pub(crate) fn seal_headers(&self, webhook: WebhookId, headers: &CustomHeaders) -> Result<Option<Vec<u8>>, Fault> {
        if headers.is_empty() {
            return Ok(None);
        }
        self.seal(&headers_of(webhook), &headers.expose_json()).map(Some)
    }

    /// A webhook's headers, back from the store.
    pub(crate) fn open_headers(&self, webhook: WebhookId, sealed: Option<&[u8]>) -> Result<CustomHeaders, Fault> {
        let Some(sealed) = sealed else { return Ok(CustomHeaders::default()) };
        self.open(&headers_of(webhook), sealed)
            .and_then(|plain| CustomHeaders::from_json(&plain))
            .ok_or_else(|| Fault::Corrupt(format!("the headers of webhook {webhook} cannot be decrypted")))
    }
}

/// What a webhook's headers are encrypted for: it tells them from its secrets.
pub(crate) fn headers_of(webhook: WebhookId) -> Vec<u8> {
    [b"headers", webhook.0.as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        MasterKey::from_bytes([7; 32])
    }

    #[test]
    fn a_key_is_read_from_hex_and_from_base64_and_prints_nothing() {
        let from_hex: MasterKey = "07".repeat(32).parse().expect("hex");
        let from_base64: MasterKey = STANDARD.encode([7; 32]).parse().expect("base64");
        assert_eq!((from_hex.0, from_base64.0), (key().0, key().0));
        assert!("".parse::<MasterKey>().is_err());
        assert!(STANDARD.encode([7; 31]).parse::<MasterKey>().is_err());
        assert_eq!(format!("{:?}", key()), "MasterKey(…)");
    }

    #[test]
    fn what_is_sealed_opens_only_under_its_key_and_purpose() {
        let cipher = Cipher::new(&key());
        let sealed = cipher.seal(b"one", b"secret").expect("seal");
        assert_eq!(cipher.open(b"one", &sealed).expect("open").as_slice(), b"secret");
        assert_ne!(sealed, cipher.seal(b"one", b"secret").expect("seal"), "each has a nonce of its own");
        assert!(cipher.open(b"other", &sealed).is_none());
        assert!(Cipher::new(&MasterKey::from_bytes([8; 32])).open(b"one", &sealed).is_none());
        let mut damaged = sealed;
        *damaged.last_mut().expect("bytes") ^= 1;
        assert!(cipher.open(b"one", &damaged).is_none());
        assert!(cipher.open(b"one", &[]).is_none());
    }

    #[test]
    fn headers_open_only_as_the_headers_of_their_webhook() {
        let cipher = Cipher::new(&key());
        let [one, other] = [1, 2].map(|id| WebhookId(uuid::Uuid::from_u128(id)));
        let headers = CustomHeaders::new([("X-Key".to_owned(), "k".repeat(64))]).expect("headers");
        let sealed = cipher.seal_headers(one, &headers).expect("seal").expect("some");
        assert_eq!(cipher.open_headers(one, Some(&sealed)).expect("open"), headers);
        assert!(cipher.open_headers(other, Some(&sealed)).is_err());
        assert!(cipher.open_secret(one, &sealed).is_err());
        let secret = cipher.seal_secret(one, &SigningSecret::from_random([1; 32])).expect("seal");
        assert!(cipher.open_headers(one, Some(&secret)).is_err());
        let none = CustomHeaders::default();
        assert_eq!(cipher.seal_headers(one, &none).expect("none"), None);
        assert_eq!(cipher.open_headers(one, None).expect("none"), none);
    }

    #[test]
    fn a_folders_key_is_made_once_for_this_user_alone() {
        let dir = tempfile::tempdir().expect("folder");
        let first = MasterKey::load_or_create(dir.path()).expect("made");
        let second = MasterKey::load_or_create(dir.path()).expect("read");
        assert_eq!(first.0, second.0);
        let path = dir.path().join(MasterKey::FILE_NAME);
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").expect("write");
        let error = MasterKey::load_or_create(dir.path()).expect_err("no key");
        assert!(!error.to_string().contains("short"), "{error}");
    }
}
