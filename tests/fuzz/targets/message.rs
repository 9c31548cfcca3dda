//! A message of the queue: whatever another program published, it is read or kept with its bytes; what is read is what
//! would be written.

#![no_main]

#[path = "../../../crates/rabbitmq/src/message.rs"]
#[allow(dead_code, unreachable_pub, reason = "compiled in from its crate")]
mod message;

use lapin::protocol::basic::parse_properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The properties as they come in the header frame of a message; its body is what is behind them.
    let Ok((rest, properties)) = parse_properties(input) else { return };
    let body: Vec<u8> = rest.to_vec();
    match message::decode(&properties, body.clone()) {
        Err(unreadable) => {
            assert_eq!(unreadable.bytes, body);
            assert!(!unreadable.detail.is_empty());
        }
        Ok(wire) => {
            assert_eq!(wire.message.body, body);
            let again = message::decode(&message::encode(&wire.message, wire.again), body);
            assert_eq!(again.expect("what is written"), wire);
        }
    }
});
