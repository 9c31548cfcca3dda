//! What is read of a response's body, for the log only.

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

/// How long the body is read.
pub(super) const READ_FOR: Duration = Duration::from_secs(1);

/// How much of it is read: enough to use the connection again after most answers.
const READ: usize = 64 * 1_024;

/// How much of it is kept.
const KEPT: usize = 1_024;

/// The start of the body as text. Reading it to its end lets the connection be used again.
pub(super) async fn read(mut response: Response, until: Instant) -> String {
    let mut start = Vec::new();
    let mut size = 0;
    while let Ok(Ok(Some(data))) = timeout_at(until, response.chunk()).await {
        start.extend_from_slice(&data[..data.len().min(KEPT - start.len())]);
        size += data.len();
        if size > READ {
            break;
        }
    }
    text(&start)
}

/// Bytes as one line that shows what it holds: what is not UTF-8 is replaced, and what controls a terminal or the
/// direction of writing is escaped.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() || is_invisible(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_change_a_log_line_is_escaped() {
        assert_eq!(text(b"a\r\nb\t\0\x1b[31m"), r"a\r\nb\t\u{0}\u{1b}[31m");
        assert_eq!(text("ok é 日本 \u{202e}x\u{85}".as_bytes()), r"ok é 日本 \u{202e}x\u{85}");
        assert_eq!(text(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}
