//! The keys of a process, and how a value rests: a version byte, the fingerprint of its key, a nonce, and the ciphertext
//! with its tag, by XChaCha20-Poly1305.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use parking_lot::RwLock;
use rand::TryRng as _;
use rand::rngs::SysRng;
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::webhook::SigningSecret;
use zeroize::{Zeroize as _, Zeroizing};

use super::key::{Fingerprint, MasterKey};
use crate::error::Fault;

const VERSION: u8 = 2;
/// The version before, which did not say its key.
const WITHOUT_KEY: u8 = 1;
const NONCE: usize = 24;

/// The keys that a process knows: one encrypts, all decrypt. Clones share them.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<RwLock<Keys>>);

#[derive(Debug)]
struct Keys {
    master: MasterKey,
    others: Vec<MasterKey>,
}

impl From<MasterKey> for Keyring {
    fn from(master: MasterKey) -> Self {
        Self::new(master, Vec::new())
    }
}

impl Keyring {
    /// `master` encrypts, and all decrypt.
    pub fn new(master: MasterKey, others: Vec<MasterKey>) -> Self {
        Self(Arc::new(RwLock::new(Keys { master, others })))
    }

    /// Takes other keys from now on, in all clones.
    pub fn replace(&self, master: MasterKey, others: Vec<MasterKey>) {
        *self.0.write() = Keys { master, others };
    }

    /// The key that encrypts.
    pub fn master(&self) -> Fingerprint {
        self.0.read().master.fingerprint()
    }

    /// All keys, that which encrypts first.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let (master, others) = self.each(MasterKey::fingerprint);
        std::iter::once(master).chain(others).collect()
    }

    /// Something of the key that encrypts, and of each other one.
    pub fn each<T>(&self, of: impl Fn(&MasterKey) -> T) -> (T, Vec<T>) {
        let keys = self.0.read();
        (of(&keys.master), keys.others.iter().map(of).collect())
    }

    /// What encrypts. The database has to know first that something may rest under this key:
    /// [`crate::database::keys::sealer`].
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer(self.0.read().master.clone())
    }

    /// Decrypts what was encrypted for the same `purpose`.
    pub(crate) fn open(&self, purpose: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        self.open_by(purpose, sealed).map(|(_, plain)| plain)
    }

    /// The same, with the key that it rests under.
    pub(crate) fn open_by(&self, purpose: &[u8], sealed: &[u8]) -> Result<(Fingerprint, Zeroizing<Vec<u8>>), Unopened> {
        let keys = self.0.read();
        let mut all = std::iter::once(&keys.master).chain(&keys.others);
        let (&version, rest) = sealed.split_first().ok_or(Unopened::Damaged)?;
        let opened = match version {
            VERSION => {
                let (&key, rest) = rest.split_first_chunk::<8>().ok_or(Unopened::Damaged)?;
                let key = all.find(|known| known.fingerprint().0 == key).ok_or(Unopened::Key(Fingerprint(key)))?;
                decrypt(key, purpose, rest)
            }
            WITHOUT_KEY => all.find_map(|key| decrypt(key, purpose, rest)),
            _ => None,
        };
        opened.ok_or(Unopened::Damaged)
    }

    /// A webhook's signing secret, back from the store.
    pub(crate) fn open_secret(&self, webhook: WebhookId, sealed: &[u8]) -> Result<SigningSecret, Fault> {
        let said = |why: Unopened| why.of(format_args!("the signing secret of webhook {webhook}"));
        let mut plain = self.open(webhook.0.as_bytes(), sealed).map_err(said)?;
        let secret = std::str::from_utf8(&plain).ok().and_then(|text| text.parse().ok());
        plain.zeroize();
        secret.ok_or_else(|| said(Unopened::Damaged))
    }

    /// A webhook's headers, back from the store.
    pub(crate) fn open_headers(&self, webhook: WebhookId, sealed: Option<&[u8]>) -> Result<CustomHeaders, Fault> {
        let Some(sealed) = sealed else { return Ok(CustomHeaders::default()) };
        let said = |why: Unopened| why.of(format_args!("the headers of webhook {webhook}"));
        let plain = self.open(&headers_of(webhook), sealed).map_err(said)?;
        CustomHeaders::from_json(&plain).ok_or_else(|| said(Unopened::Damaged))
    }
}

fn decrypt(key: &MasterKey, purpose: &[u8], sealed: &[u8]) -> Option<(Fingerprint, Zeroizing<Vec<u8>>)> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: purpose };
    let plain = XChaCha20Poly1305::new(key.bytes().into()).decrypt(&XNonce::from(*nonce), payload).ok()?;
    Some((key.fingerprint(), Zeroizing::new(plain)))
}

/// Why something could not be decrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unopened {
    /// It rests under a key that is not known here.
    Key(Fingerprint),
    /// It is not what was encrypted, or for another purpose; or, of the version that did not say its key, the key is
    /// not known here.
    Damaged,
}

impl Unopened {
    /// The same, of something in the database.
    pub(crate) fn of(self, what: fmt::Arguments<'_>) -> Fault {
        Fault::Corrupt(format!("{what} {self}"))
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                f,
                "rests under master key {key}, which this process does not have: give it in \
                 SPECTRUM_MASTER_KEY_OTHERS"
            ),
            Self::Damaged => f.write_str("cannot be decrypted"),
        }
    }
}

/// What a webhook's headers are encrypted for: it tells them from its secrets.
pub(crate) fn headers_of(webhook: WebhookId) -> Vec<u8> {
    [b"headers", webhook.0.as_bytes().as_slice()].concat()
}

/// Encrypts under one key.
#[derive(Debug)]
pub(crate) struct Sealer(MasterKey);

impl Sealer {
    /// Its key.
    pub(crate) fn key(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    /// How everything begins that it encrypts.
    pub(crate) fn prefix(&self) -> Vec<u8> {
        [&[VERSION], self.key().0.as_slice()].concat()
    }

    /// Encrypts; the same `purpose` is needed to decrypt.
    pub(crate) fn seal(&self, purpose: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut nonce = [0_u8; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|error| Fault::unavailable(format!("no randomness: {error}")))?;
        let sealed = XChaCha20Poly1305::new(self.0.bytes().into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: purpose })
            .map_err(|_| Fault::unavailable("the cipher refused a secret"))?;
        Ok([self.prefix().as_slice(), nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// A webhook's signing secret, as it is stored.
    pub(crate) fn seal_secret(&self, webhook: WebhookId, secret: &SigningSecret) -> Result<Vec<u8>, Fault> {
        self.seal(webhook.0.as_bytes(), secret.expose().as_bytes())
    }

    /// A webhook's headers, as they are stored; `None` when there are none.
    pub(crate) fn seal_headers(&self, webhook: WebhookId, headers: &CustomHeaders) -> Result<Option<Vec<u8>>, Fault> {
        if headers.is_empty() {
            return Ok(None);
        }
        self.seal(&headers_of(webhook), &headers.expose_json()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_bytes([byte; 32])
    }

    #[test]
    fn what_is_sealed_opens_only_under_its_key_and_purpose() {
        let ring = Keyring::from(key(7));
        let sealed = ring.sealer().seal(b"one", b"secret").expect("seal");
        assert_eq!(ring.open(b"one", &sealed).expect("open").as_slice(), b"secret");
        assert_ne!(sealed, ring.sealer().seal(b"one", b"secret").expect("seal"), "each has a nonce of its own");
        assert_eq!(ring.open(b"other", &sealed), Err(Unopened::Damaged));
        assert_eq!(Keyring::from(key(8)).open(b"one", &sealed), Err(Unopened::Key(key(7).fingerprint())));
        for short in 0..sealed.len() {
            assert!(ring.open(b"one", &sealed[..short]).is_err(), "{short} bytes");
        }
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert!(ring.open(b"one", &damaged).is_err(), "byte {place}");
        }
    }

    #[test]
    fn every_key_decrypts_and_the_first_alone_encrypts() {
        let ring = Keyring::from(key(7));
        let old = ring.sealer().seal(b"one", b"secret").expect("seal");
        let shared = ring.clone();
        ring.replace(key(8), vec![key(6), key(7)]);
        assert_eq!(shared.open(b"one", &old).expect("open").as_slice(), b"secret");
        let new = shared.sealer().seal(b"one", b"secret").expect("seal");
        assert!(new.starts_with(&shared.sealer().prefix()) && !old.starts_with(&shared.sealer().prefix()));
        assert_eq!(Keyring::from(key(7)).open(b"one", &new), Err(Unopened::Key(key(8).fingerprint())));
        assert_eq!(shared.fingerprints(), [8, 6, 7].map(|byte| key(byte).fingerprint()));
    }

    #[test]
    fn what_does_not_say_its_key_opens_under_any_that_is_known() {
        let purpose = b"one".as_slice();
        let sealed = Keyring::from(key(7)).sealer().seal(purpose, b"secret").expect("seal");
        let before = [&[WITHOUT_KEY], &sealed[9..]].concat();
        let ring = Keyring::new(key(8), vec![key(7)]);
        assert_eq!(ring.open(purpose, &before).expect("open").as_slice(), b"secret");
        assert_eq!(Keyring::from(key(8)).open(purpose, &before), Err(Unopened::Damaged));
    }

    #[test]
    fn headers_open_only_as_the_headers_of_their_webhook() {
        let ring = Keyring::from(key(7));
        let sealer = ring.sealer();
        let [one, other] = [1, 2].map(|id| WebhookId(uuid::Uuid::from_u128(id)));
        let headers = CustomHeaders::new([("X-Key".to_owned(), "k".repeat(64))]).expect("headers");
        let sealed = sealer.seal_headers(one, &headers).expect("seal").expect("some");
        assert_eq!(ring.open_headers(one, Some(&sealed)).expect("open"), headers);
        assert!(ring.open_headers(other, Some(&sealed)).is_err());
        assert!(ring.open_secret(one, &sealed).is_err());
        let secret = sealer.seal_secret(one, &SigningSecret::from_random([1; 32])).expect("seal");
        assert!(ring.open_headers(one, Some(&secret)).is_err());
        let none = CustomHeaders::default();
        assert_eq!(sealer.seal_headers(one, &none).expect("none"), None);
        assert_eq!(ring.open_headers(one, None).expect("none"), none);
    }
}
