//! Credentials, as an `Authorization` header carries them.

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
}
