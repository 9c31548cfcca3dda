//! What ingest checks of an event's bytes, without rebuilding them.
//!
//! One pass by borrowed visitors: values are skipped, not built, and skipping does not recurse, so that neither depth
//! nor the size of a number nor a lone surrogate in something that nobody asks for is a reason to refuse.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The most characters that `event` may have: it becomes a header.
pub const MAX_EVENT_TYPE: usize = 64;

/// What was found in the bytes of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The top-level `event`: 1 to 64 visible ASCII characters.
    pub event_type: String,
    /// `message.id`, if there is one that is a string.
    pub message_id: Option<String>,
}

/// Why bytes are not an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EventError {
    /// Nothing, or white space only.
    #[error("the body is empty: post the event as one JSON object")]
    Empty,
    /// Not UTF-8.
    #[error("the body is not UTF-8: encode the JSON in UTF-8, without compression")]
    NotUtf8,
    /// Not JSON, or more than one JSON value.
    #[error("the body is not one valid JSON value: mend the JSON at line {line}, column {column}")]
    NotJson {
        /// Where it stops to be JSON, from 1.
        line: usize,
        /// The same in bytes, from 1; 0 is the line's start.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the body is not a JSON object: post one event as {{\"event\":\"messages\",…}}")]
    NotAnObject,
    /// No `event` at the top level.
    #[error("the event has no top-level \"event\": add it, as in {{\"event\":\"messages\",…}}")]
    NoEvent,
    /// `event` is not a string.
    #[error("the top-level \"event\" is not a string: make it one, as in \"messages\"")]
    EventNotString,
    /// `event` stands there more than once, so that receivers would disagree on it.
    #[error("the top-level \"event\" stands there more than once: leave only one")]
    EventRepeated,
    /// `event` cannot become a header.
    #[error("the top-level \"event\" must be 1 to 64 visible ASCII characters, without spaces: shorten or rename it")]
    EventMalformed,
}

impl EventError {
    /// The stable word for it in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "event_empty",
            Self::NotUtf8 => "event_not_utf8",
            Self::NotJson { .. } => "event_not_json",
            Self::NotAnObject => "event_not_an_object",
            Self::NoEvent => "event_missing",
            Self::EventNotString => "event_not_a_string",
            Self::EventRepeated => "event_repeated",
            Self::EventMalformed => "event_malformed",
        }
    }
}

/// Whether this can be an event's name, and so the value of a header: 1 to 64 visible ASCII characters.
pub fn is_event_type(name: &[u8]) -> bool {
    (1..=MAX_EVENT_TYPE).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

impl Envelope {
    /// Checks the bytes of an event: UTF-8, one JSON object, exactly one top-level key that decodes to `event`, and
    /// that an event's name. All else is let through as it stands: other keys may repeat, nest without limit, and hold
    /// numbers and escapes that not every reader can represent.
    ///
    /// `message_id` is the `id` of `message`, when that is an object and the id a string that is text (no lone
    /// surrogate). Of repeated keys the last one counts.
    pub fn read(body: &[u8]) -> Result<Self, EventError> {
        let text = std::str::from_utf8(body).map_err(|_| EventError::NotUtf8)?;
        let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
        if start.is_empty() {
            return Err(EventError::Empty);
        }
        if !start.starts_with('{') {
            parse::<IgnoredAny>(text)?;
            return Err(EventError::NotAnObject);
        }
        let found: TopLevel<'_> = parse(text)?;
        if found.events > 1 {
            return Err(EventError::EventRepeated);
        }
        let event = string_of(found.event.ok_or(EventError::NoEvent)?).ok_or(EventError::EventNotString)?;
        if !is_event_type(&event) {
            return Err(EventError::EventMalformed);
        }
        let event_type = String::from_utf8(event).map_err(|_| EventError::EventMalformed)?;
        Ok(Self { event_type, message_id: found.message.and_then(id_of) })
    }
}

/// Reads one JSON value and nothing behind it.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, EventError> {
    serde_json::from_str(text).map_err(|error| EventError::NotJson { line: error.line(), column: error.column() })
}

/// The bytes that a JSON string stands for, or `None` if it is no string. A lone surrogate becomes bytes that are not
/// UTF-8.
fn string_of(value: &RawValue) -> Option<Vec<u8>> {
    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0.into_owned())
}

/// The bytes of `space.id`: what a string stands for, or another value as it is written; `None` when there is none, or
/// it is `null`. Of repeated keys the last one counts.
pub(crate) fn space_id(body: &[u8]) -> Option<Vec<u8>> {
    let found: TopLevel<'_> = parse(std::str::from_utf8(body).ok()?).ok()?;
    let id = member_id(found.space?).filter(|id| id.get() != "null")?;
    Some(string_of(id).unwrap_or_else(|| id.get().as_bytes().to_vec()))
}

fn id_of(message: &RawValue) -> Option<String> {
    String::from_utf8(string_of(member_id(message)?)?).ok()
}

/// The `id` of an object.
fn member_id(value: &RawValue) -> Option<&RawValue> {
    if !value.get().starts_with('{') {
        return None;
    }
    serde_json::from_str::<WithId<'_>>(value.get()).ok()?.id
}

/// A JSON string, decoded but not checked to be text. Asking for bytes is what lets lone surrogates pass.
struct Text<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(bytes.to_vec())))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                self.visit_bytes(text.as_bytes())
            }
        }

        deserializer.deserialize_bytes(TextVisitor)
    }
}

/// What is looked for at the top level.
#[derive(Default)]
struct TopLevel<'a> {
    events: usize,
    event: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    space: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for TopLevel<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopLevelVisitor;

        impl<'de> Visitor<'de> for TopLevelVisitor {
            type Value = TopLevel<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = TopLevel::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        b"event" => {
                            found.events += 1;
                            found.event = Some(map.next_value()?);
                        }
                        b"message" => found.message = Some(map.next_value()?),
                        b"space" => found.space = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(TopLevelVisitor)
    }
}

/// What is looked for in `message` and `space`.
struct WithId<'a> {
    id: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for WithId<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WithIdVisitor;

        impl<'de> Visitor<'de> for WithIdVisitor {
            type Value = WithId<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = WithId { id: None };
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key.0 == b"id" {
                        found.id = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(WithIdVisitor)
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
