//! Lists that come in pages: what a query may say, and how a page says where the next one begins.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::{cursor, ids};
use utoipa::ToSchema;

use crate::openapi::words;
use crate::problem::{self, INVALID_QUERY, Problem};

/// Rows of a page, unless the query says otherwise.
const LIMIT: u32 = 50;
/// The most rows of a page.
const MOST: u32 = 200;

/// The parameters of a query. Unknown ones are ignored; of a repeated one the last counts.
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(crate) fn read(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter, if it is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().rev().find(|(had, _)| had == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// A parameter as `read` makes it out of its text; `takes` says what it takes, for the message.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        takes: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| read(text).ok_or_else(|| malformed(name, takes))).transpose()
    }

    /// An id in its 36 characters.
    pub(crate) fn id<T: From<Id>>(&self, name: &str) -> Result<Option<T>, Problem> {
        Ok(self.parsed(name, "a UUID of 36 characters", ids::usual)?.map(|id| T::from(Id(id))))
    }

    /// A moment in ISO 8601 with its offset.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<Millis>, Problem> {
        let read = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| Millis(at.as_millisecond()));
        self.parsed(name, "a time with its offset, like 2026-01-02T03:04:05Z", read)
    }

    /// How many rows are wanted: 1 to 200, 50 by default.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        let read = |text: &str| text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        Ok(self.parsed("limit", "a whole number from 1 to 200", read)?.unwrap_or(LIMIT))
    }

    /// The row behind which the page begins, as an earlier page named it.
    pub(crate) fn cursor<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        self.parsed("cursor", "the nextCursor of an earlier page of the same list, as it stands", cursor::decode)
    }
}

fn malformed(name: &str, takes: &str) -> Problem {
    Problem::new(INVALID_QUERY, Cow::Owned(format!("the query's {name} must be {takes}")))
}

/// An id that was read, of whatever kind.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Id(pub(crate) uuid::Uuid);

macro_rules! kinds {
    ($($kind:ident),*) => {
        $(impl From<Id> for spectrum_webhook_core::ids::$kind {
            fn from(id: Id) -> Self {
                Self(id.0)
            }
        })*
    };
}
kinds!(EventId, WebhookId);

/// A page of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<'a, T> {
    #[schema(schema_with = words::always)]
    succeed: bool,
    data: &'a [T],
    /// The `cursor` of the next page; `null` after the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One page, and the key of its last row when there may be more behind it.
pub(crate) fn page<T: Serialize, K: Serialize>(rows: &[T], last: Option<&K>) -> Response {
    let next_cursor = last.map(cursor::encode);
    problem::answer(StatusCode::OK, problem::json(&Page { succeed: true, data: rows, next_cursor }))
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::ids::WebhookId;

    use super::*;

    #[test]
    fn what_is_malformed_is_named_and_what_is_unknown_or_empty_is_ignored() {
        let query = Query::read("limit=201&webhook=x&from=yesterday&cursor=%21&other=1&empty=");
        let message = |problem: Problem| String::from_utf8(problem.json()).expect("text");
        assert!(message(query.limit().expect_err("too many")).contains("limit must be"));
        assert!(message(query.id::<WebhookId>("webhook").expect_err("no id")).contains("webhook must be"));
        assert!(message(query.moment("from").expect_err("no time")).contains("from must be"));
        assert!(message(query.cursor::<String>().expect_err("no cursor")).contains("cursor must be"));
        assert_eq!(query.text("empty"), None);
        let none = Query::read("");
        assert_eq!(
            (none.limit().ok(), none.moment("from").ok(), none.cursor::<String>().ok()),
            (Some(50), Some(None), Some(None))
        );
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let key = (1_767_323_045_678_i64, "a-key".to_owned());
        let query = Query::read(&format!("cursor={}", cursor::encode(&key)));
        assert_eq!(query.cursor::<(i64, String)>().ok().flatten(), Some(key));
    }
}
