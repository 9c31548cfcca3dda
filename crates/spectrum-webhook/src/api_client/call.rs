//! Any call of the API: its `data` as it came, or why it was not done.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Api, collect, is_passing, retry_after};
use crate::commands::printable;

/// Characters of a message that are shown.
const LONGEST_MESSAGE: usize = 1_000;

/// Why a call was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer came, or none of this API.
    #[error("{0}")]
    NoAnswer(String),
    /// The server said no.
    #[error("{code}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// The stable word for it.
        code: String,
        /// What to do.
        message: String,
        /// For how long the server wants to be left alone, in milliseconds.
        retry_after: Option<u64>,
    },
}

impl CallError {
    /// Whether it may pass by itself: nobody is there, or the server does not take it for the moment.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => StatusCode::from_u16(*status).is_ok_and(is_passing),
        }
    }
}

/// A call, without what is the same in all: the method, the path below the project, the query and the body.
pub(crate) struct Call<'a> {
    /// The method.
    pub(crate) method: Method,
    /// Below `/projects/{project}/`, each segment already fit for a path.
    pub(crate) path: &'a str,
    /// Names and values, as they are meant.
    pub(crate) query: &'a [(&'a str, String)],
    /// What is sent.
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    /// A call that reads.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, query: &[], body: None }
    }

    /// A call that does something.
    pub(crate) fn post(path: &'a str, body: Option<&'a Value>) -> Self {
        Self { method: Method::POST, path, query: &[], body }
    }
}

/// A page of a list.
pub(crate) struct Page {
    /// Its rows, each to the byte.
    pub(crate) rows: Vec<Box<RawValue>>,
    /// Where the next one begins, if there may be one.
    pub(crate) next: Option<String>,
    /// When it was read, by the server's clock (seconds); by this machine's, where the answer does not say.
    pub(crate) read_at: Timestamp,
}

/// The body of every answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    succeed: bool,
    data: Option<Box<RawValue>>,
    next_cursor: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl Api {
    /// Makes a call once; the answer's `data`, to the byte.
    ///
    /// # Errors
    /// When no answer came, or a refusal.
    pub(crate) async fn make(&self, call: Call<'_>) -> Result<Box<RawValue>, CallError> {
        let (body, _) = self.answer(&call, Duration::ZERO).await?;
        body.data.ok_or_else(|| self.no_answer("its answer has no data"))
    }

    /// Reads one page of a list, again and again for as long as `patience` lasts while the server does not take it.
    ///
    /// # Errors
    /// As for [`Api::make`].
    pub(crate) async fn page(
        &self,
        path: &str,
        query: &[(&str, String)],
        patience: Duration,
    ) -> Result<Page, CallError> {
        let (body, read_at) = self.answer(&Call { query, ..Call::get(path) }, patience).await?;
        let data = body.data.ok_or_else(|| self.no_answer("its answer has no data"))?;
        let rows = serde_json::from_str(data.get()).map_err(|_| self.no_answer("its answer is no list"))?;
        Ok(Page { rows, next: body.next_cursor, read_at })
    }

    async fn answer(&self, call: &Call<'_>, patience: Duration) -> Result<(Body, Timestamp), CallError> {
        let got = self.patiently(patience, || self.request(call)).await;
        let response = got.map_err(|why| self.no_answer(&format!("it does not answer: {why}")))?.0;
        let (status, wish, read_at) = (response.status(), retry_after(&response), date(&response));
        let text =
            collect(response).await.map_err(|error| self.no_answer(&format!("its answer broke off: {error}")))?;
        let refused = |code: Option<String>, message: Option<String>| CallError::Refused {
            status: status.as_u16(),
            code: printable(&code.unwrap_or_default(), LONGEST_MESSAGE),
            message: printable(&message.unwrap_or_default(), LONGEST_MESSAGE),
            retry_after: wish,
        };
        match serde_json::from_slice::<Body>(&text) {
            Ok(body) if body.succeed && status.is_success() => Ok((body, read_at.unwrap_or_else(Timestamp::now))),
            Ok(Body { succeed: false, code: Some(code), message, .. }) => Err(refused(Some(code), message)),
            // What stands in front of a server answers for it while it is away.
            _ if is_passing(status) => {
                Err(refused(Some("unavailable".to_owned()), Some(format!("the answer is {status}: try again later"))))
            }
            _ => Err(self.no_answer(&format!("{status}, and what came with it is no answer of this API"))),
        }
    }

    fn request(&self, call: &Call<'_>) -> RequestBuilder {
        let mut path = call.path.to_owned();
        if !call.query.is_empty() {
            let pairs = call.query.iter().map(|(name, value)| (*name, value.as_str()));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            path = format!("{path}?{query}");
        }
        let request = self.call(call.method.clone(), &path);
        match call.body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
    }

    /// Said with the server's name, which is often what is wrong.
    fn no_answer(&self, why: &str) -> CallError {
        let server = self.base.origin().ascii_serialization();
        CallError::NoAnswer(format!("the API at {server}: {}", printable(why, LONGEST_MESSAGE)))
    }
}

/// When an answer was made, as it says itself.
fn date(response: &Response) -> Option<Timestamp> {
    let text = response.headers().get("date")?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}
