//! What a line of the log may be, whoever made the values in it: one line, of a bounded length, with nothing in it that
//! controls a terminal or turns the direction of writing.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Map, Value};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// The longest line, in bytes, its end included.
const LONGEST: usize = 16 * 1_024;
/// Bytes that a value keeps in a line that would be longer: the first that is enough. A line has 32 fields at most.
const KEPT: [usize; 3] = [2_048, 256, 16];
/// Stands where something was left out.
const CUT: char = '…';

/// Writes lines on the standard error output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) format: LogFormat,
    /// Whether lines have escape sequences of the log's own. Those in values are escaped before they come here.
    pub(super) colours: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for Lines {
    /// Takes a whole line: that is how they come.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        match std::str::from_utf8(line) {
            Ok(text) => out.write_all(self.sound(text).as_bytes())?,
            Err(_) => out.write_all(self.sound(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl Lines {
    fn sound<'a>(self, line: &'a str) -> Cow<'a, str> {
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) || (self.colours && byte == 0x1b);
        let content = line.strip_suffix('\n').unwrap_or(line);
        if line.len() <= LONGEST && content.bytes().all(plain) {
            return Cow::Borrowed(line);
        }
        let content = self.escaped(content);
        let mut content = match self.format {
            LogFormat::Text => cut(&content, LONGEST - 1),
            LogFormat::Json if content.len() < LONGEST => content,
            LogFormat::Json => shortened(&content),
        };
        content.push('\n');
        Cow::Owned(content)
    }

    /// Escapes as in JSON, where such characters can be in strings alone.
    fn escaped(self, content: &str) -> String {
        let mut text = String::with_capacity(content.len());
        for character in content.chars() {
            let own = self.colours && character == '\u{1b}';
            if (character.is_control() && !own) || is_invisible(character) {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            } else {
                text.push(character);
            }
        }
        text
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text, or as much of it as has room beside the sign that it was cut.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut cut = text[..text.floor_char_boundary(most - CUT.len_utf8())].to_owned();
    cut.push(CUT);
    cut
}

/// The object with its longest values cut, such that it is one that can be read.
fn shortened(object: &str) -> String {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(object) else { return left_out(object.len()) };
    for most in KEPT {
        for value in fields.values_mut() {
            if let Value::String(text) = value {
                *text = cut(text, most);
            }
        }
        // Invisible characters are themselves again.
        let text = Value::Object(fields.clone()).to_string();
        let lines = Lines { format: LogFormat::Json, colours: false };
        let text = lines.escaped(&text);
        if text.len() < LONGEST {
            return text;
        }
    }
    left_out(object.len())
}

fn left_out(length: usize) -> String {
    format!(r#"{{"level":"WARN","message":"a line of {length} bytes was left out"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Lines = Lines { format: LogFormat::Text, colours: false };
    const JSON: Lines = Lines { format: LogFormat::Json, colours: false };

    #[test]
    fn a_plain_line_is_written_as_it_is() {
        for lines in [TEXT, JSON] {
            assert!(matches!(lines.sound("{\"level\":\"INFO\"}\n"), Cow::Borrowed("{\"level\":\"INFO\"}\n")));
        }
        assert_eq!(TEXT.sound("größer 日本\n"), "größer 日本\n");
    }

    #[test]
    fn nothing_in_a_line_ends_it_or_controls_a_terminal() {
        assert_eq!(
            TEXT.sound("a\r\nINFO b\x1b[2J\u{9b}1m\u{202e}\n"),
            "a\\u000d\\u000aINFO b\\u001b[2J\\u009b1m\\u202e\n"
        );
        let coloured = Lines { colours: true, ..TEXT };
        assert_eq!(coloured.sound("\x1b[32m INFO\x1b[0m a\nb\n"), "\x1b[32m INFO\x1b[0m a\\u000ab\n");
        let line = JSON.sound("{\"a\":\"\u{85}\u{2028}é\"}\n").into_owned();
        assert_eq!(line, "{\"a\":\"\\u0085\\u2028é\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("an object")["a"], "\u{85}\u{2028}é");
    }

    #[test]
    fn a_line_that_would_be_too_long_is_cut_and_still_an_object() {
        let long = "é\"\u{202e}".repeat(LONGEST);
        let line = TEXT.sound(&format!("{long}\n")).into_owned();
        assert!(line.len() <= LONGEST && line.ends_with("…\n"), "{}", line.len());

        let many: Map<String, Value> =
            (0..30).map(|number| (format!("field_{number}"), Value::from(long.as_str()))).collect();
        for fields in [Map::from_iter([("error".to_owned(), Value::from(long.as_str()))]), many] {
            let line = JSON.sound(&format!("{}\n", Value::Object(fields.clone()))).into_owned();
            assert!(line.len() <= LONGEST && line.ends_with("}\n"), "{}", line.len());
            let read: Map<String, Value> = serde_json::from_str(&line).expect("an object");
            assert_eq!(read.len(), fields.len());
            assert!(read.values().all(|value| value.as_str().is_some_and(|text| text.ends_with(CUT))));
        }
        assert!(JSON.sound(&"x".repeat(LONGEST + 1)).contains("left out"));
    }
}
