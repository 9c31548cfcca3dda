//! What a form says.

use axum::body::{Body, to_bytes};

/// The largest form, in bytes.
const LARGEST: usize = 64 << 10;

/// The fields of a form.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form; `None` when it breaks off or is too large.
    pub(crate) async fn read(body: Body) -> Option<Self> {
        Some(Self::of(&to_bytes(body, LARGEST).await.ok()?))
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A field as it was sent; empty when it was not.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(had, _)| had == name).map_or("", |(_, value)| value.as_str())
    }

    /// A field without the white space around it; empty when it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// Whether a box is ticked.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }

    /// All fields of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(had, _)| had == name).map(|(_, value)| value.as_str())
    }
}
