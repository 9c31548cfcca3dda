//! Credentials, as an `Authorization` header carries them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::ids::{self, ProjectId};

/// What stands behind the scheme of an `Authorization` header, if it has this one. Schemes differ in no case.
pub fn of_scheme<'a>(authorization: &'a str, scheme: &str) -> Option<&'a str> {
    let (named, credentials) = authorization.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| credentials.trim_matches(' '))
}

/// HTTP Basic credentials of a project; of the secret, the digest only.
#[derive(Clone, Copy)]
pub struct Basic {
    /// The user name.
    pub project: ProjectId,
    /// SHA-256 of the password.
    digest: [u8; 32],
}

impl Basic {
    /// Reads what stands behind `Basic`: base64, padded or not, of a project's id in its 36 characters, a colon, and
    /// the secret's bytes.
    pub fn read(credentials: &str) -> Option<Self> {
        let decoded = STANDARD_PAD_INDIFFERENT.decode(credentials).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let project = ProjectId(ids::usual(std::str::from_utf8(&decoded[..colon]).ok()?)?);
        Some(Self { project, digest: Sha256::digest(&decoded[colon + 1..]).into() })
    }

    /// Whether this is the project's secret, by its SHA-256; `None` is an unknown project. Compares in constant time,
    /// with an unknown project too.
    pub fn fits(&self, secret_hash: Option<[u8; 32]>) -> bool {
        let same = self.digest.ct_eq(&secret_hash.unwrap_or_default());
        bool::from(same) && secret_hash.is_some()
    }
}

/// A caller within this process whose credentials for a project were checked already. It comes with a request as an
/// extension, which nobody can send over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vouched(pub ProjectId);

/// An operator's bearer token, kept as its digest. It prints nothing.
#[derive(Clone)]
pub struct OperatorToken([u8; 32]);

/// Not 32 to 512 visible ASCII characters.
#[derive(Debug, thiserror::Error)]
#[error("an operator token is 32 to 512 visible ASCII characters, from a secure random source")]
pub struct MalformedToken;

impl OperatorToken {
    /// The token of this text: 32 to 512 visible ASCII characters.
    pub fn new(text: &str) -> Result<Self, MalformedToken> {
        let good = (32..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(Sha256::digest(text).into())) } else { Err(MalformedToken) }
    }

    /// Whether this is the token, in a time that does not tell how much of it is right.
    pub fn is(&self, text: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(text).into();
        self.0.ct_eq(&digest).into()
    }

    /// The token's SHA-256: it says whether the token is still the same one.
    pub fn digest(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const ID: &str = "01234567-89ab-7def-8123-456789abcdef";

    fn read(text: &str) -> Option<Basic> {
        Basic::read(&STANDARD.encode(text))
    }

    #[test]
    fn a_secret_may_hold_colons_and_fits_its_hash_alone() {
        let basic = read(&format!("{ID}:a:b")).expect("credentials");
        assert_eq!(basic.project.to_string(), ID);
        assert!(basic.fits(Some(Sha256::digest(b"a:b").into())));
        assert!(!basic.fits(Some(Sha256::digest(b"a").into())) && !basic.fits(None) && !basic.fits(Some([0; 32])));
    }

    #[test]
    fn a_user_name_is_an_id_in_its_usual_form() {
        for text in ["", ":", ID, &format!("{{{ID}}}:x"), &format!("{}:x", ID.replace('-', "")), &format!(" {ID}:x")] {
            assert!(read(text).is_none(), "{text}");
        }
        assert!(read(&format!("{}:", ID.to_uppercase())).is_some());
        assert!(Basic::read("!").is_none());
    }

    #[test]
    fn a_scheme_is_found_in_any_case() {
        assert_eq!(of_scheme("bAsIc  QQ== ", "Basic"), Some("QQ=="));
        assert_eq!((of_scheme("Basic", "Basic"), of_scheme("Bearer x", "Basic")), (None, None));
    }

    #[test]
    fn a_token_is_long_and_prints_nothing() {
        assert!(OperatorToken::new("short").is_err());
        assert!(OperatorToken::new(&"a b".repeat(20)).is_err());
        let token = OperatorToken::new(&"k".repeat(32)).expect("a token");
        assert!(token.is(&"k".repeat(32)) && !token.is(&"k".repeat(33)));
        assert_eq!(format!("{token:?}"), "OperatorToken(…)");
    }
}
