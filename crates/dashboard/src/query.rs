//! What a URL says: the places of its path, and its query.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::{cursor, ids};
use uuid::Uuid;

/// A URL: its path in segments, and the parameters of its query.
#[derive(Clone, Default)]
pub(crate) struct Place {
    path: String,
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.path(), parts.uri.query().unwrap_or_default()))
    }
}

impl Place {
    pub(crate) fn of(path: &str, query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self {
            path: path.to_owned(),
            pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        }
    }

    /// The place of the page whose stream this is: the links in what it streams are the page's.
    pub(crate) fn of_page(stream: &Self) -> Self {
        let path = stream.path.strip_suffix("/live").unwrap_or(&stream.path);
        Self { path: path.to_owned(), pairs: stream.pairs.clone() }
    }

    /// This page's stream.
    pub(crate) fn live(&self) -> String {
        let here = self.with("did", None);
        match here.split_once('?') {
            Some((path, query)) => format!("{path}/live?{query}"),
            None => format!("{here}/live"),
        }
    }

    /// Whether it is the first page of its list: the one that changes.
    pub(crate) fn is_first(&self) -> bool {
        self.text("after").is_none()
    }

    /// The path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A segment of the path, as it stands; the first is 0.
    pub(crate) fn segment(&self, at: usize) -> Option<&str> {
        self.path.split('/').skip(1).nth(at)
    }

    /// A segment that is an id.
    pub(crate) fn id(&self, at: usize) -> Option<Uuid> {
        self.segment(at).and_then(ids::usual)
    }

    /// A segment that is a number.
    pub(crate) fn number(&self, at: usize) -> Option<i64> {
        self.segment(at).and_then(|text| text.parse().ok())
    }

    /// A parameter, if it is there and not empty; the last of several.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().rev().find(|(had, _)| had == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    /// The place where an earlier page of the list ended.
    pub(crate) fn cursor<K: DeserializeOwned>(&self) -> Option<K> {
        cursor::decode(self.text("after")?)
    }

    /// A moment: what a browser's field for one says, which is taken for UTC, or ISO 8601 with its offset.
    pub(crate) fn moment(&self, name: &str) -> Option<Millis> {
        moment(self.text(name)?)
    }

    /// This page's URL behind this row of the list.
    pub(crate) fn after<K: Serialize>(&self, key: &K) -> String {
        self.with("after", Some(&cursor::encode(key)))
    }

    /// This page's URL with another value of a parameter, or without it.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (had, value) in self.pairs.iter().filter(|(had, value)| had != name && !value.is_empty() && had != "did") {
            query.append_pair(had, value);
        }
        if let Some(value) = value {
            query.append_pair(name, value);
        }
        let query = query.finish();
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }
}

/// A moment, in UTC where it does not say.
pub(crate) fn moment(text: &str) -> Option<Millis> {
    let at = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| Millis(at.as_millisecond()));
    at(text).or_else(|| at(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_its_ids_and_goes_on_with_its_filters() {
        let place =
            Place::of("/dashboard/projects/019b7cb2-0000-7000-8000-000000000001/x", "a=1&did=test&b=&a=2&c=%3C");
        assert_eq!((place.segment(1), place.id(2).is_some(), place.id(3)), (Some("projects"), true, None));
        assert_eq!((place.text("a"), place.text("b"), place.text("c")), (Some("2"), None, Some("<")));
        assert!(place.with("a", Some("3")).ends_with("/x?c=%3C&a=3"), "{}", place.with("a", Some("3")));
        assert!(place.after(&(1, "k")).contains("c=%3C&after="));
        assert_eq!(Place::of("/p", "after=%21").cursor::<i64>(), None);
    }

    #[test]
    fn a_moment_without_an_offset_is_utc() {
        let at = Some(Millis(1_767_323_040_000));
        assert_eq!((moment("2026-01-02T03:04Z"), moment("2026-01-02T03:04"), moment("yesterday")), (at, at, None));
        assert_eq!(moment("2026-01-02T04:04:00+01:00"), at);
    }
}
