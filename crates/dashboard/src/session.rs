//! Sessions. A session is in its cookie, sealed: any process that knows the key knows it, also after a restart, and
//! nothing is kept here. It holds no secret, only a proof of which secret it was begun with: it ends with that.
//!
//! A cookie that was copied cannot be called back; it ends when the project's secret, or the operator's token, is
//! replaced, and by itself when it was not used for a while, or after its lifetime.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::ids::ProjectId;
use spectrum_webhook_core::time::Millis;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A session that nobody used for so long has ended.
pub(crate) const IDLE: Duration = Duration::from_secs(2 * 3_600);
/// A cookie that is older is sealed anew when it is used.
const RENEWED_AFTER: i64 = 60_000;
/// The longest cookie that is opened, in characters.
const LONGEST: usize = 1_024;
const NONCE: usize = 24;

/// Who signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Who {
    /// Someone with a project's credentials.
    #[serde(rename = "p")]
    Project(ProjectId),
    /// An operator.
    #[serde(rename = "o")]
    Operator,
}

/// A session, as its cookie holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// By chance: forms are bound to it.
    #[serde(rename = "i")]
    pub(crate) id: [u8; 16],
    #[serde(rename = "w")]
    pub(crate) who: Who,
    /// Of the secret that it was begun with.
    #[serde(rename = "p")]
    proof: [u8; 16],
    #[serde(rename = "b")]
    began: Millis,
    #[serde(rename = "s")]
    seen: Millis,
}

impl Session {
    /// A new one, of someone who has just shown the secret with this hash; `None` without randomness.
    pub(crate) fn begin(who: Who, secret_hash: &[u8; 32], now: Millis) -> Option<Self> {
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).ok()?;
        Some(Self { id, who, proof: proof(secret_hash), began: now, seen: now })
    }

    /// Whether it has lasted too long, or was not used for too long.
    pub(crate) fn is_over(&self, now: Millis, lifetime: Duration) -> bool {
        let past = |since: Millis, most: Duration| {
            let age = now.0.saturating_sub(since.0);
            u64::try_from(age).is_ok_and(|age| u128::from(age) >= most.as_millis())
        };
        past(self.began, lifetime) || past(self.seen, IDLE)
    }

    /// Whether it was begun with the secret that has this hash.
    pub(crate) fn is_of(&self, secret_hash: &[u8; 32]) -> bool {
        self.proof.ct_eq(&proof(secret_hash)).into()
    }

    /// The same, used now; `None` when that need not be noted yet.
    pub(crate) fn used(&self, now: Millis) -> Option<Self> {
        (now.0.saturating_sub(self.seen.0) >= RENEWED_AFTER).then(|| Self { seen: now, ..self.clone() })
    }
}

fn proof(secret_hash: &[u8; 32]) -> [u8; 16] {
    let digest: [u8; 32] =
        Sha256::new().chain_update("spectrum-webhook session 1").chain_update(secret_hash).finalize().into();
    let mut proof = [0; 16];
    proof.copy_from_slice(&digest[..16]);
    proof
}

/// Seals cookies, and the tokens of forms: with the first key, and knows what another sealed.
pub(crate) struct Seal {
    first: Keyed,
    others: Vec<Keyed>,
}

/// What one key does.
struct Keyed {
    cipher: XChaCha20Poly1305,
    forms: Hmac<Sha256>,
}

impl Keyed {
    fn new(key: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let keyed = || <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("a key");
        let of_cookies: [u8; 32] = keyed().chain_update("cookies").finalize().into_bytes().into();
        let of_forms: [u8; 32] = keyed().chain_update("forms").finalize().into_bytes().into();
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let forms = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&of_forms).expect("a key");
        Self { cipher: XChaCha20Poly1305::new(&of_cookies.into()), forms }
    }

    fn token(&self, session: &Session) -> String {
        hex::encode(self.forms.clone().chain_update(session.id).finalize().into_bytes())
    }
}

impl Seal {
    /// Of the key that seals, and of others that it has been or is elsewhere.
    pub(crate) fn new(key: &[u8; 32], others: &[Zeroizing<[u8; 32]>]) -> Self {
        Self { first: Keyed::new(key), others: others.iter().map(|key| Keyed::new(key)).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Keyed> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// A cookie's value; `None` without randomness. `name` is the cookie's: it opens under no other one.
    pub(crate) fn close(&self, name: &str, session: &Session) -> Option<String> {
        let mut nonce = [0; NONCE];
        SysRng.try_fill_bytes(&mut nonce).ok()?;
        let plain = serde_json::to_vec(session).ok()?;
        let payload = Payload { msg: &plain, aad: name.as_bytes() };
        let sealed = self.first.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// The session of a cookie; `None` when it is of none of the keys, or damaged.
    pub(crate) fn open(&self, name: &str, value: &str) -> Option<Session> {
        let bytes = Some(value).filter(|value| value.len() <= LONGEST)?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let payload = || Payload { msg: sealed, aad: name.as_bytes() };
        let plain = self.all().find_map(|key| key.cipher.decrypt(&XNonce::from(*nonce), payload()).ok())?;
        serde_json::from_slice(&plain).ok()
    }

    /// What every form of a session carries, and nobody else can know.
    pub(crate) fn token(&self, session: &Session) -> String {
        self.first.token(session)
    }

    /// Whether a form carries it.
    pub(crate) fn is_token(&self, session: &Session, token: &str) -> bool {
        self.all().any(|key| key.token(session).as_bytes().ct_eq(token.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_767_323_045_678);
    const LIFETIME: Duration = Duration::from_secs(12 * 3_600);
    const NAME: &str = "a-cookie";

    fn session() -> Session {
        let project = ProjectId(uuid::Uuid::from_u128(7));
        Session::begin(Who::Project(project), &[1; 32], NOW).expect("randomness")
    }

    fn after(hours: i64) -> Millis {
        Millis(NOW.0 + hours * 3_600_000)
    }

    #[test]
    fn a_cookie_opens_under_its_key_and_its_name_alone() {
        let (seal, session) = (Seal::new(&[1; 32], &[]), session());
        let cookie = seal.close(NAME, &session).expect("a cookie");
        assert_eq!(seal.open(NAME, &cookie), Some(session));
        assert_eq!(seal.open("another", &cookie), None);
        assert_eq!(Seal::new(&[2; 32], &[]).open(NAME, &cookie), None);
        for damaged in ["", "x", &cookie[1..], &cookie[..cookie.len() - 2], &"A".repeat(5_000)] {
            assert_eq!(seal.open(NAME, damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_session_ends_unused_and_after_its_lifetime_and_with_its_secret() {
        let session = session();
        assert!(!session.is_over(after(1), LIFETIME) && session.is_over(after(2), LIFETIME));
        let mut used = session.clone();
        for hour in 1..12 {
            used = used.used(after(hour)).expect("it is noted");
            assert!(!used.is_over(after(hour), LIFETIME));
        }
        assert!(used.is_over(after(12), LIFETIME));
        assert_eq!(session.used(Millis(NOW.0 + 59_000)), None);
        assert!(session.is_of(&[1; 32]) && !session.is_of(&[2; 32]));
    }

    #[test]
    fn a_forms_token_is_its_sessions_alone() {
        let (seal, one, other) = (Seal::new(&[1; 32], &[]), session(), session());
        assert!(seal.is_token(&one, &seal.token(&one)));
        assert!(!seal.is_token(&one, &seal.token(&other)) && !seal.is_token(&one, ""));
        assert!(!Seal::new(&[2; 32], &[]).is_token(&one, &seal.token(&one)));
    }
}
