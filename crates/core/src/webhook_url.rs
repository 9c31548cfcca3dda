//! Which URLs can be registered: every syntactically valid `http` or `https` URL. Whether it may be called is decided
//! before each attempt, by the URL guard, for the answer changes.

use std::cell::Cell;

use url::{ParseError, SyntaxViolation, Url};

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2_048;

/// What is wrong with a URL, and what to do, as the end of a sentence that begins with its name; `None` when it can be
/// registered. It is then kept to the byte.
pub fn fault(text: &str) -> Option<String> {
    const EXAMPLE: &str = "send one like https://example.com/hook";
    if text.is_empty() {
        return Some(format!("is empty: {EXAMPLE}"));
    }
    if text.len() > MAX_URL {
        return Some(format!("is longer than {MAX_URL} bytes: shorten it"));
    }
    // A parser would drop some of them in silence, and post to another URL than the one that is shown.
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Some("contains white space or control characters: remove or percent-encode them".to_owned());
    }
    let loose = Cell::new(false);
    let note = |violation| {
        if matches!(violation, SyntaxViolation::ExpectedDoubleSlash | SyntaxViolation::Backslash) {
            loose.set(true);
        }
    };
    let parsed = Url::options().syntax_violation_callback(Some(&note)).parse(text);
    match parsed {
        Err(ParseError::RelativeUrlWithoutBase) => Some(format!("is not an absolute URL: {EXAMPLE}")),
        Err(ParseError::EmptyHost) => Some(format!("has no host: {EXAMPLE}")),
        Err(error) => Some(format!("is not a valid URL ({error}): {EXAMPLE}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(format!("must be an http or https URL: {EXAMPLE}"))
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => Some(format!("has no host: {EXAMPLE}")),
        Ok(_) if loose.get() => {
            Some(format!("must have // after its scheme and no backslash before its query: {EXAMPLE}"))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_valid_url_passes() {
        for url in [
            "https://example.com",
            "http://example.com/",
            "HTTPS://EXAMPLE.com/Hook?a=b&c=%20#fragment",
            "https://user:pass@example.com:8443/x",
            "https://127.0.0.1/x",
            "https://[::1]:8080/",
            "https://bücher.example/ü?ü",
            "https://example.com/a\"b{c}|d",
            "https://example.com/?a\\b",
            "https://localhost",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
        assert_eq!(fault(&format!("https://example.com/{}", "a".repeat(MAX_URL - 20))), None);
    }

    #[test]
    fn every_other_one_is_refused_and_told_why() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL - 19));
        for (url, why) in [
            ("", "is empty"),
            (long.as_str(), "is longer than 2048 bytes"),
            (" https://example.com", "contains white space"),
            ("https://example.com\n", "contains white space"),
            ("https://exa\tmple.com", "contains white space"),
            ("https://example.com/\u{0}", "contains white space"),
            ("https://example.com/a\u{a0}b", "contains white space"),
            ("example.com/hook", "is not an absolute URL"),
            ("//example.com/hook", "is not an absolute URL"),
            ("/hook", "is not an absolute URL"),
            ("ftp://example.com", "must be an http or https URL"),
            ("javascript:alert(1)", "must be an http or https URL"),
            ("data:text/plain,x", "must be an http or https URL"),
            ("file:///etc/passwd", "must be an http or https URL"),
            ("mailto:a@example.com", "must be an http or https URL"),
            ("https://", "has no host"),
            ("https://:443/", "has no host"),
            ("https://?x", "has no host"),
            ("https:example.com", "must have // after"),
            ("https:/example.com", "must have // after"),
            ("https:///example.com", "must have // after"),
            ("https:\\\\example.com", "must have // after"),
            ("https://example.com\\hook", "must have // after"),
            ("https://example.com:99999/", "is not a valid URL"),
            ("https://example.com:x/", "is not a valid URL"),
            ("https://[::1/", "is not a valid URL"),
            ("https://1.2.3.256/", "is not a valid URL"),
            ("https://exa<mple.com/", "is not a valid URL"),
            ("https://%00/", "is not a valid URL"),
        ] {
            let fault = fault(url).unwrap_or_else(|| panic!("{url:?} passes"));
            assert!(fault.starts_with(why), "{url:?}: {fault}");
            assert!(fault.contains(": "), "{fault} says what to do");
        }
    }
}
