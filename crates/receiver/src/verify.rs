//! Whether a delivery is genuine: its signatures, its time stamps, its headers. Everything that is wrong is said at
//! once, each with the likely mistake behind it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;

use crate::diagnose;
use crate::recorded::Headers;

/// How far a time stamp may lie from now, either way, by the contract.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The key of a signing secret. It prints nothing.
#[derive(Clone)]
pub struct Key {
    pub(crate) characters: Vec<u8>,
}

/// Neither form of a signing secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MalformedSecret;

impl fmt::Display for MalformedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signing secret is 64 lowercase hex characters, or `whsec_` and the base64 of those characters")
    }
}

impl std::error::Error for MalformedSecret {}

impl Key {
    /// The key of a secret in either of its forms: `signingSecret` or `standardSigningSecret`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn of(secret: &str) -> Result<Self, MalformedSecret> {
        let characters = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| MalformedSecret)?,
            None => secret.as_bytes().to_vec(),
        };
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if characters.len() == 64 && characters.iter().all(lower_hex) {
            Ok(Self { characters })
        } else {
            Err(MalformedSecret)
        }
    }

    /// Whether `tag` is the code of the concatenated parts.
    pub(crate) fn signed(&self, tag: &[u8], parts: &[&[u8]]) -> bool {
        authenticates(&self.characters, tag, parts)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(crate) fn authenticates(key: &[u8], tag: &[u8], parts: &[&[u8]]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat(), tag).is_ok()
}

/// The likely mistake behind a signature that does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Diagnosis {
    /// It fits with the 32 bytes that the secret's hex stands for.
    KeyDecodedFromHex,
    /// It fits with the `whsec_` form taken as the key.
    KeyIsWholeStandardSecret,
    /// It fits over the body alone.
    BodyOnly,
    /// It fits over these bytes in front of the body.
    OtherPrefix(String),
    /// It fits with another time stamp of the same request.
    OtherTimestamp(String),
    /// It fits when the body is changed so: the body was changed after it was signed.
    BodyChanged(&'static str),
    /// The other signature of the request fits: this one was made with the key before a rotation.
    OlderKey,
    /// Nothing known fits: another secret, or a body that was built anew.
    WrongSecretOrBody,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyDecodedFromHex => f.write_str(
                "it was made with the 32 bytes that the secret's hex stands for; the key is the 64 characters as they \
                 stand",
            ),
            Self::KeyIsWholeStandardSecret => f.write_str(
                "it was made with the text `whsec_…` itself; the key is what the base64 behind `whsec_` stands for",
            ),
            Self::BodyOnly => f.write_str("it covers the body alone, without the time stamp in front of it"),
            Self::OtherPrefix(prefix) => write!(f, "it covers `{prefix}` and the body, which is not the scheme"),
            Self::OtherTimestamp(header) => write!(f, "it was made with the time stamp of `{header}`"),
            Self::BodyChanged(how) => write!(
                f,
                "the body was changed after it was signed: the signature fits {how}; verify the raw bytes, before any \
                 parsing"
            ),
            Self::OlderKey => f.write_str(
                "the other signature fits this secret: during a rotation's overlap this header keeps the older one",
            ),
            Self::WrongSecretOrBody => f.write_str(
                "no known mistake explains it: it was made with another secret, or the body was parsed and written \
                 again",
            ),
        }
    }
}

/// One thing that is wrong with a delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// A header is missing.
    Missing(&'static str),
    /// A header that holds one value came more than once.
    Repeated(&'static str),
    /// A header's value has not its form.
    Malformed {
        /// The header.
        header: &'static str,
        /// What is expected, and what is wrong.
        why: String,
    },
    /// A time stamp is older than the tolerance: a replay, a slow queue in front of the receiver, or its clock.
    TooOld {
        /// The header.
        header: &'static str,
        /// Its age in seconds.
        age: u64,
    },
    /// A time stamp is further in the future than the tolerance.
    InFuture {
        /// The header.
        header: &'static str,
        /// How far, in seconds.
        ahead: u64,
    },
    /// A signature does not fit.
    Signature {
        /// The header.
        header: &'static str,
        /// The likely mistake.
        diagnosis: Diagnosis,
    },
    /// Two parts of the request that say the same thing differ.
    Differ {
        /// One of them.
        left: &'static str,
        /// The other.
        right: &'static str,
    },
}

impl Problem {
    /// Whether it is only about when the delivery was made: a captured one is always old.
    pub fn is_about_age(&self) -> bool {
        matches!(self, Self::TooOld { .. } | Self::InFuture { .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(header) => write!(f, "`{header}` is missing"),
            Self::Repeated(header) => write!(f, "`{header}` came more than once"),
            Self::Malformed { header, why } => write!(f, "`{header}`: {why}"),
            Self::TooOld { header, age } => write!(f, "`{header}` is {age} s old"),
            Self::InFuture { header, ahead } => write!(f, "`{header}` is {ahead} s in the future: check the clock"),
            Self::Signature { header, diagnosis } => write!(f, "`{header}` does not fit: {diagnosis}"),
            Self::Differ { left, right } => write!(f, "{left} and {right} differ"),
        }
    }
}

const SPECTRUM_TIME: &str = "X-Spectrum-Timestamp";
const SPECTRUM_SIGNATURE: &str = "X-Spectrum-Signature";
const STANDARD_ID: &str = "webhook-id";
const STANDARD_TIME: &str = "webhook-timestamp";
const STANDARD_SIGNATURE: &str = "webhook-signature";

/// Verifies a delivery by both of its signatures, as it came in at `now`.
///
/// # Errors
/// All that is wrong with it.
pub fn verify(
    key: &Key,
    headers: &Headers,
    body: &[u8],
    now: SystemTime,
    tolerance: Duration,
) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let spectrum_fits = spectrum(key, headers, body, now, tolerance, &mut problems);
    let standard_fits = standard(key, headers, body, now, tolerance, &mut problems);
    if standard_fits && !spectrum_fits {
        for problem in &mut problems {
            if let Problem::Signature { header: SPECTRUM_SIGNATURE, diagnosis } = problem
                && *diagnosis == Diagnosis::WrongSecretOrBody
            {
                *diagnosis = Diagnosis::OlderKey;
            }
        }
    }
    names(headers, body, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn spectrum(
    key: &Key,
    headers: &Headers,
    body: &[u8],
    now: SystemTime,
    tolerance: Duration,
    problems: &mut Vec<Problem>,
) -> bool {
    let time = timestamp(headers, SPECTRUM_TIME, now, tolerance, problems);
    let Some(signature) = single(headers, SPECTRUM_SIGNATURE, problems) else { return false };
    let tag = match spectrum_tag(signature) {
        Ok(tag) => tag,
        Err(why) => {
            problems.push(Problem::Malformed { header: SPECTRUM_SIGNATURE, why });
            return false;
        }
    };
    let Some(time) = time else { return false };
    if key.signed(&tag, &[b"v0:", time.as_bytes(), b":", body]) {
        return true;
    }
    let other = headers.get(STANDARD_TIME).map(|other| (STANDARD_TIME, other));
    let diagnosis = diagnose::diagnose(
        key,
        &tag,
        body,
        &format!("v0:{time}:"),
        other.map(|(name, other)| (name, format!("v0:{other}:"))),
        &[format!("{time}:"), format!("{time}."), format!("v0.{time}."), time.to_owned()],
    );
    problems.push(Problem::Signature { header: SPECTRUM_SIGNATURE, diagnosis });
    false
}

/// The 32 bytes of `v0=` and 64 lowercase hex characters.
fn spectrum_tag(signature: &str) -> Result<Vec<u8>, String> {
    let digits = match signature.split_once('=') {
        Some(("v0", digits)) => digits,
        Some((scheme, _)) => return Err(format!("it begins with `{scheme}=`; the scheme here is `v0=`")),
        None => return Err("it has no `v0=` in front".to_owned()),
    };
    match hex::decode(digits) {
        Ok(_) if digits.bytes().any(|byte| byte.is_ascii_uppercase()) => Err("its hex is not lowercase".to_owned()),
        Ok(tag) if tag.len() == 32 => Ok(tag),
        Ok(_) => Err(format!("it has {} hex characters behind `v0=`, not 64", digits.len())),
        Err(_) if STANDARD.decode(digits).is_ok_and(|tag| tag.len() == 32) => {
            Err("it is base64, not lowercase hex".to_owned())
        }
        Err(_) => Err("what is behind `v0=` is not hex".to_owned()),
    }
}

fn standard(
    key: &Key,
    headers: &Headers,
    body: &[u8],
    now: SystemTime,
    tolerance: Duration,
    problems: &mut Vec<Problem>,
) -> bool {
    let id = single(headers, STANDARD_ID, problems);
    let time = timestamp(headers, STANDARD_TIME, now, tolerance, problems);
    let Some(signatures) = single(headers, STANDARD_SIGNATURE, problems) else { return false };
    let tags: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .filter(|tag| tag.len() == 32)
        .collect();
    if tags.is_empty() {
        let why = "it is not `v1,` and the base64 of 32 bytes (several are separated by a space)".to_owned();
        problems.push(Problem::Malformed { header: STANDARD_SIGNATURE, why });
        return false;
    }
    let (Some(id), Some(time)) = (id, time) else { return false };
    let scheme = format!("{id}.{time}.");
    if tags.iter().any(|tag| key.signed(tag, &[scheme.as_bytes(), body])) {
        return true;
    }
    let other = headers.get(SPECTRUM_TIME).map(|other| (SPECTRUM_TIME, format!("{id}.{other}.")));
    let prefixes = [format!("{time}."), format!("v0:{time}:"), format!("{id}:{time}:"), format!("v1:{time}:")];
    let diagnosis = tags
        .iter()
        .map(|tag| diagnose::diagnose(key, tag, body, &scheme, other.clone(), &prefixes))
        .find(|diagnosis| *diagnosis != Diagnosis::WrongSecretOrBody)
        .unwrap_or(Diagnosis::WrongSecretOrBody);
    problems.push(Problem::Signature { header: STANDARD_SIGNATURE, diagnosis });
    false
}

/// The headers that name what is delivered, against the body and each other.
fn names(headers: &Headers, body: &[u8], problems: &mut Vec<Problem>) {
    /// Everything else in a body may be anything.
    #[derive(Deserialize)]
    struct Named {
        event: String,
    }

    if let Some(event) = single(headers, "X-Spectrum-Event", problems) {
        match serde_json::from_slice::<Named>(body) {
            Ok(named) if named.event == event => {}
            _ => problems.push(Problem::Differ { left: "`X-Spectrum-Event`", right: "the body's `event`" }),
        }
    }
    single(headers, "X-Spectrum-Webhook-Id", problems);
    if let Some(kind) = single(headers, "Content-Type", problems)
        && !kind.eq_ignore_ascii_case("application/json")
    {
        let why = format!("it is `{}`, not `application/json`", kind.escape_default());
        problems.push(Problem::Malformed { header: "Content-Type", why });
    }
    if let Some(id) = headers.get("x-spectrum-event-id")
        && headers.get(STANDARD_ID).is_some_and(|standard| standard != id)
    {
        problems.push(Problem::Differ { left: "`X-Spectrum-Event-Id`", right: "`webhook-id`" });
    }
}

fn single<'a>(headers: &'a Headers, name: &'static str, problems: &mut Vec<Problem>) -> Option<&'a str> {
    match headers.all(name).count() {
        0 => {
            problems.push(Problem::Missing(name));
            None
        }
        1 => {
            let value = headers.get(name);
            if value.is_none() {
                problems.push(Problem::Malformed { header: name, why: "it is not visible ASCII".to_owned() });
            }
            value
        }
        _ => {
            problems.push(Problem::Repeated(name));
            None
        }
    }
}

/// A time stamp's text, if it is one; its age is judged beside.
fn timestamp<'a>(
    headers: &'a Headers,
    name: &'static str,
    now: SystemTime,
    tolerance: Duration,
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    let text = single(headers, name, problems)?;
    let seconds = text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(seconds) = seconds else {
        let why = format!("`{}` is not a number of UNIX seconds", text.escape_default());
        problems.push(Problem::Malformed { header: name, why });
        return None;
    };
    if seconds >= 100_000_000_000 {
        problems.push(Problem::Malformed { header: name, why: "it is in milliseconds, not in seconds".to_owned() });
        return Some(text);
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let tolerance = tolerance.as_secs();
    if now.saturating_sub(seconds) > tolerance {
        problems.push(Problem::TooOld { header: name, age: now - seconds });
    } else if seconds.saturating_sub(now) > tolerance {
        problems.push(Problem::InFuture { header: name, ahead: seconds - now });
    }
    Some(text)
}
