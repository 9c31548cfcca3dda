//! The events that are posted. Each says at its beginning which stream it belongs to, its number there and when it was
//! posted, so that whoever receives it needs no more than its first bytes.

use std::io::Write as _;

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    /// Events of one stream are posted one after the other, and have to arrive so.
    pub(crate) stream: usize,
    /// 0, 1, … in its stream.
    pub(crate) number: u64,
    /// Microseconds from the phase's start.
    pub(crate) posted: u64,
}

/// Appends an event of about `size` bytes, without a line's end in it.
pub(crate) fn write(into: &mut Vec<u8>, marks: Marks, size: usize) {
    let Marks { stream, number, posted } = marks;
    let from = into.len();
    // Writing to memory does not fail.
    let _ = write!(
        into,
        r#"{{"s":{stream},"n":{number},"t":{posted},"event":"messages","space":{{"id":"s","platform":"imessage"}},"message":{{"id":"m{stream}-{number}","platform":"imessage","direction":"inbound","timestamp":"2026-01-02T03:04:05Z","sender":{{"id":"u","platform":"imessage"}},"space":{{"id":"s","platform":"imessage"}},"content":{{"type":"text","text":""#
    );
    let tail = br#""}}}"#;
    into.resize(into.len().max(from + size.saturating_sub(tail.len())), b'x');
    into.extend_from_slice(tail);
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(body: &[u8]) -> Option<Marks> {
    let mut rest = body;
    let mut next = |name: &[u8]| {
        rest = rest.strip_prefix(name)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, behind) = rest.split_at(digits);
        rest = behind;
        std::str::from_utf8(number).ok()?.parse::<u64>().ok()
    };
    let stream = usize::try_from(next(b"{\"s\":")?).ok()?;
    Some(Marks { stream, number: next(b",\"n\":")?, posted: next(b",\"t\":")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_of_the_size_and_says_what_it_was_given() {
        let marks = Marks { stream: 17, number: 4_000_000_000, posted: 12 };
        let mut event = b"before".to_vec();
        write(&mut event, marks, 600);
        let event = &event[6..];
        assert_eq!(event.len(), 600);
        assert_eq!(read(event), Some(marks));
        let json: serde_json::Value = serde_json::from_slice(event).expect("JSON");
        assert_eq!(json["message"]["id"], "m17-4000000000");
    }
}
