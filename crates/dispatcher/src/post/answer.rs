//! What is read of a response's body, for the log only.

use std::time::Duration;

use http::HeaderValue;
use reqwest::Response;
use spectrum_webhook_core::headers::MAX_VALUE;
use tokio::time::{Instant, timeout_at};

/// How long the body is read.
pub(super) const READ_FOR: Duration = Duration::from_secs(1);

/// How much of it is read: enough to use the connection again after most answers.
const READ: usize = 64 * 1_024;

/// How much of it is kept.
const KEPT: usize = 1_024;

/// What is looked at, so that a value which begins in what is kept can be seen whole: escaped it may be twice as long.
const SEEN: usize = KEPT + 2 * MAX_VALUE;

/// What stands in place of a value that is not kept.
const HIDDEN: &[u8] = b"(hidden)";

/// Shorter values are no secrets, and would take words out of every answer.
const SHORTEST: usize = 8;

/// The start of the body as text, without the request's secrets: some endpoints answer with what they were sent. Reading
/// it to its end lets the connection be used again.
pub(super) async fn read(mut response: Response, until: Instant, secrets: &[HeaderValue]) -> String {
    let mut start = Vec::new();
    let mut size = 0;
    while let Ok(Ok(Some(data))) = timeout_at(until, response.chunk()).await {
        start.extend_from_slice(&data[..data.len().min(SEEN - start.len())]);
        size += data.len();
        if size > READ {
            break;
        }
    }
    text(&without(&start, &forms(secrets)))
}

/// How secrets are found in an answer: as they were sent, without the scheme before them, and as JSON writes both.
fn forms(secrets: &[HeaderValue]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for value in secrets.iter().filter_map(|value| value.to_str().ok()) {
        for form in [value, value.split_once(' ').map_or(value, |(_, behind)| behind)] {
            if form.len() >= SHORTEST {
                forms.push(form.replace('\\', r"\\").replace('"', "\\\"").replace('\t', r"\t").into_bytes());
                forms.push(form.as_bytes().to_vec());
            }
        }
    }
    forms
}

/// The first [`KEPT`] bytes, without these.
fn without(bytes: &[u8], hidden: &[Vec<u8>]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(KEPT);
    let mut at = 0;
    while at < bytes.len().min(KEPT) {
        let found = hidden.iter().filter(|form| bytes[at..].starts_with(form)).map(Vec::len).max();
        match found {
            Some(length) => {
                kept.extend_from_slice(HIDDEN);
                at += length;
            }
            None => {
                kept.push(bytes[at]);
                at += 1;
            }
        }
    }
    kept
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
    fn secrets_of_the_request_are_not_kept_in_any_form_or_place() {
        let secrets = ["Bearer hunter2hunter2", "p\"a\\ss word\t1", "short"].map(HeaderValue::from_static);
        let forms = forms(&secrets);
        let kept = |body: &str| String::from_utf8(without(body.as_bytes(), &forms)).expect("text");
        assert_eq!(kept("got Bearer hunter2hunter2!"), "got (hidden)!");
        assert_eq!(kept("token=hunter2hunter2&short"), "token=(hidden)&short");
        assert_eq!(kept(r#"{"x":"p\"a\\ss word\t1"}"#), r#"{"x":"(hidden)"}"#);
        let cut = format!("{}hunter2hunter2", "x".repeat(KEPT - 3));
        assert_eq!(kept(&cut), format!("{}(hidden)", "x".repeat(KEPT - 3)), "it is not cut in its middle");
        let many = "hunter2hunter2".repeat(1_000);
        assert!(!kept(&many).contains("hunter2"));
    }

    #[test]
    fn what_could_change_a_log_line_is_escaped() {
        assert_eq!(text(b"a\r\nb\t\0\x1b[31m"), r"a\r\nb\t\u{0}\u{1b}[31m");
        assert_eq!(text("ok é 日本 \u{202e}x\u{85}".as_bytes()), r"ok é 日本 \u{202e}x\u{85}");
        assert_eq!(text(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}
