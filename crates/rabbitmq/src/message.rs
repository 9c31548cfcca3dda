//! What a message looks like on the wire: the body is the body, to the byte; everything else is beside it.
//!
//! | where | what |
//! | --- | --- |
//! | `message-id` | the event's id |
//! | `type` | the event's type |
//! | `app-id` | `spectrum-webhook/1`: the version of this form; `/2` of a message with a purpose of its own |
//! | `content-type` | `application/json` |
//! | `delivery-mode` | 2: persistent |
//! | header `project` | the project's id |
//! | header `accepted-at` | when it was accepted, in epoch milliseconds |
//! | header `registry` | the registry version that it was accepted under |
//! | header `traceparent` | the W3C trace context of the post, if it had one |
//! | header `purpose` | what it asks for, as JSON, if it is not an event for every webhook that takes it |
//! | header `again` | true: it may have been published before |
//!
//! A later release reads every version that was ever written. What it cannot read is kept for a person to look at.

use bytes::Bytes;
use lapin::protocol::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use spectrum_webhook_core::delivery::{Message, Purpose};
use spectrum_webhook_core::event::is_event_type;
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion};
use spectrum_webhook_core::ports::Unreadable;
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

const FORM: &str = "spectrum-webhook/1";
/// What a release that knows no purposes must not take for an event.
const FORM_WITH_PURPOSE: &str = "spectrum-webhook/2";
/// The longest `traceparent` that is taken: version 00 has 55 characters.
const TRACEPARENT: usize = 128;

/// A message as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wire {
    /// The event.
    pub message: Message,
    /// It may have been published before.
    pub again: bool,
}

/// The properties of a message; its bytes are the body.
pub fn encode(message: &Message, again: bool) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("project".into(), AMQPValue::LongString(message.project.0.to_string().into()));
    headers.insert("accepted-at".into(), AMQPValue::LongLongInt(message.accepted_at.0));
    headers.insert("registry".into(), AMQPValue::LongLongInt(message.registry.0));
    if let Some(traceparent) = &message.traceparent {
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    let form = match &message.purpose {
        Purpose::Event => FORM,
        purpose => {
            let json = serde_json::json!(purpose).to_string();
            headers.insert("purpose".into(), AMQPValue::LongString(json.into()));
            FORM_WITH_PURPOSE
        }
    };
    if again {
        headers.insert("again".into(), AMQPValue::Boolean(true));
    }
    BasicProperties::default()
        .with_message_id(message.id.0.to_string().into())
        .with_type(message.event_type.as_str().into())
        .with_app_id(form.into())
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_headers(headers)
}

/// Reads a message.
///
/// # Errors
/// What is wrong with it, with its bytes.
pub fn decode(properties: &BasicProperties, body: Vec<u8>) -> Result<Wire, Box<Unreadable>> {
    match envelope(properties) {
        Ok((message, again)) => Ok(Wire { message: Message { body: Bytes::from(body), ..message }, again }),
        Err(detail) => Err(Box::new(Unreadable { bytes: body, detail: detail.to_owned() })),
    }
}

/// All but the body.
fn envelope(properties: &BasicProperties) -> Result<(Message, bool), &'static str> {
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    let has_purpose = match text(properties.app_id()).as_deref() {
        Some(FORM) => false,
        Some(FORM_WITH_PURPOSE) => true,
        _ => {
            return Err("its app-id is not `spectrum-webhook/1` or 2: another program or a newer release published it");
        }
    };
    let id = text(properties.message_id()).and_then(|id| id.parse::<Uuid>().ok());
    let event_type = text(properties.kind()).filter(|name| is_event_type(name.as_bytes()));
    let empty = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&empty).inner();
    let header = |name: &str| headers.get(name);
    let project = header("project").and_then(string).and_then(|project| project.parse::<Uuid>().ok());
    let traceparent = match header("traceparent") {
        None => None,
        Some(value) => {
            let traceparent = string(value).filter(|text| text.len() <= TRACEPARENT);
            Some(traceparent.ok_or("its header `traceparent` is no short text")?)
        }
    };
    let purpose = if has_purpose {
        let json = header("purpose").and_then(string).unwrap_or_default();
        serde_json::from_str(&json).map_err(|_| "its header `purpose` is none that is known")?
    } else {
        Purpose::Event
    };
    let again = match header("again") {
        None => false,
        Some(AMQPValue::Boolean(again)) => *again,
        Some(_) => return Err("its header `again` is no boolean"),
    };
    let message = Message {
        id: EventId(id.ok_or("its message-id is no UUID")?),
        project: ProjectId(project.ok_or("its header `project` is no UUID")?),
        event_type: event_type.ok_or("its type is no event type")?,
        accepted_at: Millis(header("accepted-at").and_then(number).ok_or("its header `accepted-at` is no number")?),
        registry: RegistryVersion(header("registry").and_then(number).ok_or("its header `registry` is no number")?),
        traceparent,
        purpose,
        body: Bytes::new(),
    };
    Ok((message, again))
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Not below 0, and exact in every language.
fn number(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::LongLongInt(number) if (0..=1 << 53).contains(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spectrum_webhook_core::delivery::{Command, Directed, Steering};
    use spectrum_webhook_core::ids::WebhookId;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let ids = (any::<u128>(), any::<u128>());
        let numbers = (0..=1_i64 << 53, 0..=1_i64 << 53);
        let traceparent = proptest::option::of("[0-9a-f-]{0,128}");
        let purpose = (any::<u128>(), any::<u128>(), ".{1,20}").prop_flat_map(|(webhook, event, reason)| {
            let (webhook, event) = (WebhookId(Uuid::from_u128(webhook)), EventId(Uuid::from_u128(event)));
            let steer = |command| {
                let steering = Steering { webhook, command, reason: reason.clone() };
                Just(Purpose::Steering(Box::new(steering)))
            };
            prop_oneof![
                Just(Purpose::Event),
                Just(Purpose::Directed(Directed { webhook, event })),
                steer(Command::Resume),
                steer(Command::Skip(event)),
                steer(Command::Drop(Millis(1 << 52))),
            ]
        });
        (ids, "[!-~]{1,64}", numbers, traceparent, purpose, proptest::collection::vec(any::<u8>(), 0..100)).prop_map(
            |((id, project), event_type, (accepted_at, registry), traceparent, purpose, body)| Message {
                id: EventId(Uuid::from_u128(id)),
                project: ProjectId(Uuid::from_u128(project)),
                event_type,
                accepted_at: Millis(accepted_at),
                registry: RegistryVersion(registry),
                traceparent,
                purpose,
                body: body.into(),
            },
        )
    }

    fn value() -> impl Strategy<Value = AMQPValue> {
        prop_oneof![
            any::<bool>().prop_map(AMQPValue::Boolean),
            any::<i64>().prop_map(AMQPValue::LongLongInt),
            any::<i32>().prop_map(AMQPValue::LongInt),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
            Just(AMQPValue::Void),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(message in message(), again: bool) {
            let read = decode(&encode(&message, again), message.body.to_vec());
            prop_assert_eq!(read.ok(), Some(Wire { message, again }));
        }

        #[test]
        fn whatever_a_header_holds_nothing_breaks_and_the_bytes_stay(
            message in message(),
            name in prop_oneof![Just("project"), Just("accepted-at"), Just("registry"), Just("traceparent"), Just("purpose"), Just("again")],
            value in value(),
        ) {
            let mut properties = encode(&message, false);
            let mut headers = properties.headers().clone().unwrap_or_default();
            headers.insert(name.into(), value);
            properties = properties.with_headers(headers);
            let bytes = match decode(&properties, message.body.to_vec()) {
                Ok(read) => read.message.body.to_vec(),
                Err(unreadable) => unreadable.bytes,
            };
            prop_assert_eq!(bytes, message.body.to_vec());
        }
    }

    #[test]
    fn what_another_program_published_is_not_read() {
        let unreadable = decode(&BasicProperties::default(), b"{}".to_vec()).expect_err("no message of ours");
        assert!(unreadable.detail.contains("app-id"), "{}", unreadable.detail);
        assert_eq!(unreadable.bytes, b"{}");
    }
}
