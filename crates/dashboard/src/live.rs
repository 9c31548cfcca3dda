//! Pages that change while they are looked at: a stream of their parts, each sent when it is another than before. Streams
//! are bounded in number and in time; the browser opens the next one by itself.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::gate::Signed;
use crate::state::Shared;
use crate::trouble::Trouble;

/// A stream lasts no longer: less than the server lets an answer rest that a client may have stopped to read. Whoever
/// looks on is let in again with the next one, or not.
const LASTS: Duration = Duration::from_secs(50);
/// So often something is said, also when nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A part of a page: the id of its element, and what is in it.
pub(crate) type Part = (&'static str, String);

/// Streams what `render` makes of the page, looked at this often.
pub(crate) fn stream<F, Fut>(signed: &Signed, every: Duration, render: F) -> Response
where
    F: Fn(Arc<Shared>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Vec<Part>, Trouble>> + Send,
{
    let shared = Arc::clone(&signed.shared);
    let Some(permit) = shared.streams.open(signed.session.id) else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], "").into_response();
    };
    let ends = Instant::now() + LASTS;
    let first = (HashMap::new(), Vec::new(), true);
    let events =
        futures::stream::unfold((first, permit, render), move |((mut sent, mut ready, at_once), permit, render)| {
            let shared = Arc::clone(&shared);
            async move {
                let mut wait = !at_once;
                loop {
                    if let Some(event) = ready.pop() {
                        return Some((Ok::<_, Infallible>(event), ((sent, ready, false), permit, render)));
                    }
                    if wait {
                        let stopped = shared.stop.run_until_cancelled(sleep(every)).await.is_none();
                        if stopped || Instant::now() >= ends {
                            return None;
                        }
                    }
                    wait = true;
                    // What cannot be read now can be read later.
                    let parts = render(Arc::clone(&shared)).await.unwrap_or_default();
                    ready = changed(parts, &mut sent);
                }
            }
        });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

/// The parts that are not what was sent of them last, as events.
fn changed(parts: Vec<Part>, sent: &mut HashMap<&'static str, u64>) -> Vec<Event> {
    let changed = parts.into_iter().filter(|(id, html)| {
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        let hash = hasher.finish();
        sent.insert(id, hash) != Some(hash)
    });
    changed
        .map(|(id, html)| Event::default().event("part").data(json!({ "id": id, "html": html }).to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_sent_when_it_has_changed() {
        let mut sent = HashMap::new();
        let mut count = |a: &str, b: &str| changed(vec![("a", a.to_owned()), ("b", b.to_owned())], &mut sent).len();
        assert_eq!((count("1", "1"), count("1", "1"), count("1", "2"), count("2", "1")), (2, 0, 1, 2));
    }
}
