//! The event's id, and what makes two posts the same event.

use std::time::Duration;

use http::HeaderMap;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::event::Envelope;
use spectrum_webhook_core::ids::{EventId, ProjectId};
use spectrum_webhook_core::ports::IdempotencyKey;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::traceparent;

use crate::problem::{INVALID_IDEMPOTENCY_KEY, Problem};

/// The header with the caller's own key.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A UUIDv7 of this moment.
pub(crate) fn uuid_at(now: Millis) -> uuid::Uuid {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.0).unwrap_or(0), &random).into_uuid()
}

/// The id of an event accepted now.
pub(crate) fn event_id(now: Millis) -> EventId {
    EventId(uuid_at(now))
}

/// An id that follows from what was hashed: a UUIDv8 of the first 128 bits.
pub(crate) fn custom_id(hash: Sha256) -> uuid::Uuid {
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The caller's own key.
#[derive(Clone)]
pub(crate) struct ExplicitKey {
    key: String,
    /// In a batch, one key stands for all its lines, each by its number: so a batch can be repeated.
    line: Option<u32>,
}

impl ExplicitKey {
    /// The key of the header, if it is there.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value.as_bytes(),
            _ => b"",
        };
        let good = (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(key) {
            Ok(key) if good => Ok(Some(Self { key: key.to_owned(), line: None })),
            _ => Err(Problem::new(
                INVALID_IDEMPOTENCY_KEY,
                "Idempotency-Key must be there once, with 1 to 255 visible ASCII characters: send such a key, or none",
            )),
        }
    }

    pub(crate) fn line(&self, number: u32) -> Self {
        Self { key: self.key.clone(), line: Some(number) }
    }
}

/// What makes this post the same as another: the caller's key, else `event` and `message.id` with the body; without
/// either it is like no other.
pub(crate) fn idempotency(
    project: ProjectId,
    explicit: Option<&ExplicitKey>,
    envelope: &Envelope,
    body: &[u8],
    now: Millis,
    window: Duration,
) -> Option<IdempotencyKey> {
    let body: [u8; 32] = Sha256::digest(body).into();
    let project = project.0.as_bytes().as_slice();
    let key = match (explicit, &envelope.message_id) {
        (Some(ExplicitKey { key, line: None }), _) => digest(&[b"explicit", project, key.as_bytes()]),
        (Some(ExplicitKey { key, line: Some(line) }), _) => {
            digest(&[b"batch", project, key.as_bytes(), &line.to_be_bytes()])
        }
        (None, Some(message)) => {
            digest(&[b"derived", project, envelope.event_type.as_bytes(), message.as_bytes(), &body])
        }
        (None, None) => return None,
    };
    let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    Some(IdempotencyKey { key, body, expires_at: Millis(now.0.saturating_add(window)) })
}

/// One digest of several parts. Each comes with its length, so that no two lists of parts are the same bytes.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"spectrum-webhook idempotency 1");
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The request's W3C `traceparent`, if it is a valid one of version 00.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    traceparent::is_valid(value).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_767_323_045_678);

    fn key(project: u128, explicit: Option<(&str, Option<u32>)>, body: &str) -> Option<[u8; 32]> {
        let envelope = Envelope::read(body.as_bytes()).expect("an event");
        let explicit = explicit.map(|(key, line)| ExplicitKey { key: key.into(), line });
        let project = ProjectId(uuid::Uuid::from_u128(project));
        idempotency(project, explicit.as_ref(), &envelope, body.as_bytes(), NOW, Duration::from_secs(1)).map(|key| {
            assert_eq!(key.expires_at, Millis(NOW.0 + 1_000));
            key.key
        })
    }

    #[test]
    fn keys_are_the_same_only_for_the_same_project_kind_and_parts() {
        let with_id = r#"{"event":"a","message":{"id":"bc"}}"#;
        let without = r#"{"event":"a"}"#;
        assert_eq!(key(1, None, without), None);
        assert_eq!(key(1, None, with_id), key(1, None, with_id));
        assert_eq!(key(1, Some(("k", None)), with_id), key(1, Some(("k", None)), without));
        let all = [
            key(1, None, with_id),
            key(2, None, with_id),
            key(1, None, r#"{"event":"ab","message":{"id":"c"}}"#),
            key(1, None, r#"{"event":"a","message":{"id":"bc"} }"#),
            key(1, Some(("k", None)), without),
            key(2, Some(("k", None)), without),
            key(1, Some(("k", Some(1))), without),
            key(1, Some(("k", Some(2))), without),
            key(1, Some(("k1", None)), without),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(one.is_some() && !all[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn ids_are_of_version_7_and_of_their_moment() {
        let id = event_id(NOW);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp().map(|at| at.to_unix()), Some((1_767_323_045, 678_000_000)));
        assert_ne!(id, event_id(NOW));
    }
}
