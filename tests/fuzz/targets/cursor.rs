//! Cursors: bounded, and what is read is what would be written.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use spectrum_webhook_core::cursor::{LONGEST, decode, encode};
use spectrum_webhook_core::ids::{EventId, WebhookId};

fn reads<K: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    if let Some(key) = decode::<K>(text) {
        assert!(text.len() <= LONGEST.div_ceil(3) * 4);
        assert_eq!(decode(&encode(&key)), Some(key));
    }
}

fuzz_target!(|text: &str| {
    // The kinds of keys that there are.
    reads::<(i64, EventId, WebhookId)>(text);
    reads::<(i64, uuid::Uuid)>(text);
    reads::<(i64, String)>(text);
    // What anybody may write into one.
    let key = (text.len() as i64, text.to_owned());
    let cursor = encode(&key);
    match decode::<(i64, String)>(&cursor) {
        Some(read) => assert_eq!(read, key),
        None => assert!(cursor.len() > LONGEST),
    }
});
