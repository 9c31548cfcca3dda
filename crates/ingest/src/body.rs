//! Reading a body: bounded in bytes, in time and in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{BODY_INCOMPLETE, BODY_TIMEOUT, Problem, TOO_LARGE};

/// The memory that bodies may take, all together, in bytes. Who finds it used up is sent away, not kept waiting: a
/// caller that waits with half a body would hold what another one waits for.
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A share that can grow.
    pub(crate) fn share(&self) -> Share {
        Share { budget: Arc::clone(&self.0), taken: None }
    }
}

/// A part of the budget; it is given back when this is dropped.
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = u32::try_from(bytes).map_err(|_| Problem::overloaded())?;
        let more = Arc::clone(&self.budget).try_acquire_many_owned(more).map_err(|_| Problem::overloaded())?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

/// A body in memory, with its share of the budget.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// A body that is larger than `limit` bytes.
pub(crate) fn too_large(what: &str, limit: usize) -> Problem {
    Problem::new(TOO_LARGE, format!("{what} is larger than {limit} bytes: make it smaller"))
}

/// The caller broke off.
pub(crate) fn incomplete() -> Problem {
    Problem::new(BODY_INCOMPLETE, "the body broke off before its end: send the whole of it")
}

/// Refuses a body that says beforehand that it is too large.
pub(crate) fn check_length(headers: &HeaderMap, what: &str, limit: usize) -> Result<(), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit as u64 => Err(too_large(what, limit)),
        _ => Ok(()),
    }
}

/// Reads a whole body.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    what: &str,
    limit: usize,
    patience: Duration,
    budget: &Budget,
) -> Result<Held, Problem> {
    check_length(headers, what, limit)?;
    let mut share = budget.share();
    let reading = async {
        let mut chunks = body.into_data_stream();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| incomplete())?;
            if chunk.len() > limit - bytes.len() {
                return Err(too_large(what, limit));
            }
            share.grow(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(bytes) => Ok(Held { bytes: bytes?, share }),
        Err(_) => {
            let message = format!("the body did not arrive within {} s: send it faster", patience.as_secs_f64());
            Err(Problem::new(BODY_TIMEOUT, message))
        }
    }
}
