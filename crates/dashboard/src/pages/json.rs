//! A body, laid out for reading. Only white space is added and left out: keys stay in their order, numbers and escapes as
//! they are written. It need not be JSON: what is not comes back as it is.

/// The deepest nesting that is laid out; the rest stands on one line.
const DEEPEST: usize = 64;

/// The same JSON with a line for each member.
pub(super) fn pretty(text: &str) -> String {
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth: usize = 0;
    let mut characters = text.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth.min(DEEPEST)).for_each(|_| out.push_str("  "));
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while characters.peek().is_some_and(|next| next.is_ascii_whitespace()) {
                    characters.next();
                }
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            white if white.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = "{\"b\" : 1.0e+2,\"a\":[ ],\"a\":{\"x\":\"a,{ \\\" }\\u00e9\"} , \"c\":[1,2]}";
        let expected = "{\n  \"b\": 1.0e+2,\n  \"a\": [],\n  \"a\": {\n    \"x\": \"a,{ \\\" }\\u00e9\"\n  },\n  \"c\": [\n    1,\n    2\n  ]\n}";
        assert_eq!(pretty(text), expected);
    }

    #[test]
    fn what_is_no_json_stays_as_it_is() {
        for text in ["", "{", "{\"a\":1", "<html>"] {
            assert_eq!(pretty(text), text);
        }
    }

    #[test]
    fn deep_nesting_costs_no_more_than_its_bytes() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(pretty(&deep).len() < 100 * (DEEPEST * 2 + 4) * 2);
    }
}
