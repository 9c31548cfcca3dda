//! The headers that a webhook wants beside ours. Their values may be credentials: nothing prints them.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The most headers of a webhook.
pub const MAX_HEADERS: usize = 20;
/// The most characters of a name.
pub const MAX_NAME: usize = 64;
/// The most characters of a value.
pub const MAX_VALUE: usize = 1_024;
/// The most characters of all values together.
pub const MAX_VALUES: usize = 8 << 10;

/// Names that belong to us, to the connection, or to the body as it is sent. Lower case.
const RESERVED: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// What names that belong to us, or to a proxy, begin with. Lower case.
const RESERVED_PREFIXES: [&str; 3] = ["proxy-", "webhook-", "x-spectrum-"];

/// Headers by name, in the order of their names whatever their case. Clones share them; the values are wiped from
/// memory with the last.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CustomHeaders(Arc<[(String, Zeroizing<String>)]>);

/// Why headers are refused. Names are shown in full, for they are short, or in their beginning; values never.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadersError {
    /// More than [`MAX_HEADERS`].
    #[error("there are more than {MAX_HEADERS} headers: send fewer")]
    TooMany,
    /// Not an HTTP token, or too long.
    #[error(
        "the header {0:?} has no valid name: use 1 to {MAX_NAME} letters, digits and characters of !#$%&'*+-.^_`|~"
    )]
    Name(String),
    /// It is set by us or by the connection.
    #[error("the header {0:?} cannot be set: leave it out, or give it another name")]
    Reserved(String),
    /// Two names differ in nothing but case.
    #[error("the header {0:?} stands there more than once, in another case: leave one")]
    Repeated(String),
    /// Not what a header can carry.
    #[error(
        "the value of the header {0:?} must be 1 to {MAX_VALUE} visible ASCII characters, with spaces and tabs only \
         between them"
    )]
    Value(String),
    /// More than [`MAX_VALUES`].
    #[error("the values of all headers have more than {MAX_VALUES} characters together: shorten them")]
    TooLarge,
}

impl CustomHeaders {
    /// Checks headers that somebody wants: at most [`MAX_HEADERS`], names as HTTP has them, none that is ours or the
    /// connection's, none twice; values of at most [`MAX_VALUE`] visible characters with spaces and tabs in between,
    /// [`MAX_VALUES`] together.
    ///
    /// # Errors
    /// The first rule that they break, in the order of their names.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, HeadersError> {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
        if pairs.len() > MAX_HEADERS {
            return Err(HeadersError::TooMany);
        }
        pairs.sort_by_cached_key(|(name, _)| (name.to_ascii_lowercase(), name.clone()));
        let mut size = 0;
        let mut before = "";
        for (name, value) in &pairs {
            check_name(name)?;
            if name.eq_ignore_ascii_case(before) {
                return Err(HeadersError::Repeated(name.clone()));
            }
            if !is_value(value) {
                return Err(HeadersError::Value(name.clone()));
            }
            size += value.len();
            before = name;
        }
        if size > MAX_VALUES {
            return Err(HeadersError::TooLarge);
        }
        Ok(Self(pairs.into()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names as they were sent, sorted whatever their case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values. One of the two ways to see a value: the caller sends it to the webhook.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All of them as JSON. The other way to see a value: the caller encrypts it.
    pub fn expose_json(&self) -> Zeroizing<Vec<u8>> {
        let pairs: Vec<_> = self.expose().collect();
        // Strings can always be written.
        Zeroizing::new(serde_json::to_vec(&pairs).unwrap_or_default())
    }

    /// Back from [`expose_json`](Self::expose_json), as they were when they were checked; `None` when it is something
    /// else.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let pairs: Vec<(String, String)> = serde_json::from_slice(json).ok()?;
        Some(Self(pairs.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect()))
    }
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

fn check_name(name: &str) -> Result<(), HeadersError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(token) {
        return Err(HeadersError::Name(name.chars().take(MAX_NAME).collect()));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(HeadersError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn is_value(value: &str) -> bool {
    (1..=MAX_VALUE).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t')
        && value.trim_matches([' ', '\t']).len() == value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<CustomHeaders, HeadersError> {
        CustomHeaders::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn headers_are_kept_as_they_were_sent_in_the_order_of_their_names() {
        let headers =
            read(&[("x-b", "2"), ("X-a", "a b\tc"), ("Authorization", "Bearer t"), ("!#$%&'*+-.^_`|~9", "~")]);
        let headers = headers.expect("headers");
        assert_eq!(headers.names().collect::<Vec<_>>(), ["!#$%&'*+-.^_`|~9", "Authorization", "X-a", "x-b"]);
        assert_eq!(headers.expose().nth(2), Some(("X-a", "a b\tc")));
        assert_eq!(CustomHeaders::from_json(&headers.expose_json()), Some(headers));
        assert_eq!(CustomHeaders::from_json(b"[[\"a\"]]"), None);
        assert!(read(&[]).expect("none").is_empty());
    }

    #[test]
    fn a_name_is_a_token_that_is_not_ours() {
        let long = "n".repeat(MAX_NAME);
        assert!(read(&[(&long, "v"), ("Proxy", "v"), ("Webhooks", "v"), ("X-Spectrum", "v"), ("Cookie", "v")]).is_ok());
        for name in ["", "a b", "a:", "ü", "a\n", "a(b)", &"n".repeat(65), &"ü".repeat(100)] {
            let shown = name.chars().take(MAX_NAME).collect();
            assert_eq!(read(&[("ok", "v"), (name, "v")]), Err(HeadersError::Name(shown)), "{name:?}");
        }
        for name in RESERVED.into_iter().chain(["proxy-", "Webhook-Id", "X-SPECTRUM-X"]) {
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(read(&[(&name, "v")]), Err(HeadersError::Reserved(name)));
            }
        }
        assert_eq!(read(&[("x-a", "1"), ("X-A", "1")]), Err(HeadersError::Repeated("x-a".to_owned())));
    }

    #[test]
    fn values_are_visible_and_bounded_each_and_together() {
        for value in ["", " a", "a ", "\ta", "a\nb", "a\0", "é", &"v".repeat(MAX_VALUE + 1)] {
            assert_eq!(read(&[("x", value)]), Err(HeadersError::Value("x".to_owned())), "{value:?}");
        }
        let long = "v".repeat(MAX_VALUE);
        let names: Vec<String> = (0..MAX_HEADERS + 1).map(|number| format!("x-{number}")).collect();
        let all = |count: usize, value: &str| {
            read(&names.iter().take(count).map(|name| (&**name, value)).collect::<Vec<_>>())
        };
        assert!(all(8, &long).is_ok() && all(MAX_HEADERS, "v").is_ok());
        assert_eq!(all(9, &long), Err(HeadersError::TooLarge));
        assert_eq!(all(MAX_HEADERS + 1, "v"), Err(HeadersError::TooMany));
    }

    #[test]
    fn nothing_but_the_names_is_printed() {
        let headers = read(&[("X-Key", "secret")]).expect("headers");
        assert_eq!(format!("{headers:?}"), r#"["X-Key"]"#);
        let error = read(&[("X-Key", "secret\u{1}")]).expect_err("no value");
        assert!(!format!("{error} {error:?}").contains("secret") && error.to_string().contains("X-Key"));
    }
}
