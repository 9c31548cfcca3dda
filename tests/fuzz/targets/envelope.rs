//! An event's bytes: what is found in them is what another reader of JSON finds, and what is refused is no event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use spectrum_webhook_core::event::{Envelope, EventError, is_event_type};
use spectrum_webhook_core::ordering::Space;

fuzz_target!(|body: &[u8]| {
    let read = Envelope::read(body);
    let space = Space::of(body);
    // It refuses some of what is let through: depth, huge numbers, lone surrogates. Never the other way round.
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let event = value.get("event").and_then(Value::as_str);
    match read {
        Ok(envelope) => {
            assert!(is_event_type(envelope.event_type.as_bytes()));
            assert_eq!(Some(envelope.event_type.as_str()), event);
            let id = value.get("message").and_then(|message| message.get("id"));
            assert_eq!(envelope.message_id.as_deref(), id.and_then(Value::as_str));
        }
        Err(EventError::EventRepeated) => assert!(value.is_object()),
        Err(EventError::NotAnObject) => assert!(!value.is_object()),
        Err(EventError::NoEvent) => assert!(value.is_object() && value.get("event").is_none()),
        Err(EventError::EventNotString) => assert!(value.is_object() && event.is_none()),
        Err(EventError::EventMalformed) => {
            assert!(!is_event_type(event.expect("a text").as_bytes()));
        }
        Err(error @ (EventError::Empty | EventError::NotUtf8 | EventError::NotJson { .. })) => {
            panic!("{error}, and yet it is {value}");
        }
    }
    match value.get("space").and_then(|space| space.get("id")) {
        None | Some(Value::Null) => assert_eq!(space, Space(0)),
        // The same space however it is written.
        Some(Value::String(_)) => assert_eq!(space, Space::of(value.to_string().as_bytes())),
        Some(_) => assert_ne!(space, Space(0)),
    }
});
