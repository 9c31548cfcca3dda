//! Many events in one request, one a line, answered by one line each.
//!
//! Lines that have arrived are published together, in their order. A line that repeats one of them waits for its outcome.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::event::{Envelope, EventError};
use spectrum_webhook_core::ids::ProjectId;
use tokio::time::{Instant, timeout, timeout_at};

use crate::accept::{Accepted, Post};
use crate::auth::Ids;
use crate::body::{Held, check_length, too_large};
use crate::identity::ExplicitKey;
use crate::lines::{Line, Lines};
use crate::openapi::bodies::{EventLines, ResultLines};
use crate::openapi::parameters::{EventHeaders, ProjectPath};
use crate::openapi::refusals;
use crate::problem::{self, BODY_TIMEOUT, Problem, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE};
use crate::state::{Ingest, Shared};
use crate::trace::{self, RequestTrace};

const NDJSON: &str = "application/x-ndjson";

/// The most lines of a batch: it bounds the answer, which is kept until the batch has been read. To answer earlier
/// would stall the many callers that read nothing before they have sent all.
const MAX_LINES: u32 = 10_000;

/// Lines that are published together at most, and their bytes, but for a first line that is larger.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: usize = 256 << 10;

/// `POST /projects/{project}/events/batch`
#[utoipa::path(
    post, path = "/projects/{projectId}/events/batch", operation_id = "postBatch", tag = "Events",
    summary = "Post many events",
    description = "One event a line. They are published in their order; one that fails stops none behind it.",
    params(ProjectPath, EventHeaders),
    request_body(content = EventLines, content_type = "application/x-ndjson"),
    responses(
        (
            status = 200, content_type = "application/x-ndjson", body = ResultLines,
            description = "One result a line, in order, each in the form of a single event's answer",
        ),
        refusals::PostBatch,
    ),
)]
pub(crate) async fn post(
    State(ingest): State<Ingest>,
    ids: Ids,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let shared = ingest.shared();
    let mut trace = RequestTrace::begin(shared.ports.spans.as_ref(), &headers, trace::BATCH);
    let answer = many(shared, &ids, &headers, body, &mut trace).await;
    match &answer {
        Ok(_) => trace.succeeded(StatusCode::OK, Vec::new),
        Err(problem) => {
            trace.failed(problem);
            shared.metrics.rejected(problem);
        }
    }
    answer
}

async fn many(
    shared: &Arc<Shared>,
    ids: &Ids,
    headers: &HeaderMap,
    body: Body,
    trace: &mut RequestTrace,
) -> Result<Response, Problem> {
    let project = shared.poster(headers, ids).await?;
    trace.of(project);
    if !is_ndjson(headers) {
        let message = "a batch is one event a line: send it with Content-Type: application/x-ndjson";
        return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, message));
    }
    let settings = &shared.settings;
    check_length(headers, "the batch", settings.max_batch_size)?;
    let batch = Batch {
        shared,
        project,
        explicit: ExplicitKey::of(headers)?,
        trace,
        deadline: Instant::now() + settings.batch_timeout,
    };
    let lines = Lines::new(body.into_data_stream(), settings.max_event_size, settings.max_batch_size, &shared.budget);
    let results = batch.run(lines).await?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(NDJSON))], results).into_response())
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(NDJSON))
}

struct Batch<'a> {
    shared: &'a Arc<Shared>,
    project: ProjectId,
    explicit: Option<ExplicitKey>,
    trace: &'a RequestTrace,
    deadline: Instant,
}

impl Batch<'_> {
    /// Works through the lines, and returns one result for each. A body that cannot be read to its end gets one result
    /// more, which says so. An error is a batch of which nothing was published.
    async fn run(&self, mut lines: Lines<'_>) -> Result<Vec<u8>, Problem> {
        let mut results = Vec::new();
        let mut group = Group::default();
        let mut number = 0;
        loop {
            let next = if group.posts.is_empty() {
                timeout_at(self.deadline, lines.next()).await.unwrap_or_else(|_| Err(self.too_slow()))
            } else if let Some(next) = lines.next().now_or_never() {
                next
            } else {
                self.publish(&mut group, &mut results).await;
                continue;
            };
            let line = match next {
                Ok(Some(_)) if number == MAX_LINES => Err(Problem::new(
                    TOO_LARGE,
                    format!("the batch has more than {MAX_LINES} lines: send the others in another one"),
                )),
                other => other,
            };
            match line {
                Ok(Some(line)) => {
                    number += 1;
                    match self.check(line, number) {
                        Ok(post) => {
                            if !group.takes(&post, self.together()) {
                                self.publish(&mut group, &mut results).await;
                            }
                            group.push(post);
                        }
                        Err(problem) => {
                            self.publish(&mut group, &mut results).await;
                            self.tell(Err(problem), Instant::now(), &mut results);
                        }
                    }
                }
                Ok(None) if number == 0 => return Err(EventError::Empty.into()),
                Err(problem) if number == 0 => return Err(problem),
                Ok(None) => {
                    self.publish(&mut group, &mut results).await;
                    return Ok(results);
                }
                Err(problem) => {
                    self.publish(&mut group, &mut results).await;
                    let problem = problem.ending("; no line from here on was published");
                    self.shared.metrics.rejected(&problem);
                    results.extend(problem.json());
                    results.push(b'\n');
                    return Ok(results);
                }
            }
        }
    }

    fn check(&self, line: Line, number: u32) -> Result<Post, Problem> {
        let body: Held = match line {
            Line::Whole(held) => held,
            Line::TooLong => return Err(too_large("the event", self.shared.settings.max_event_size)),
        };
        let envelope = Envelope::read(&body.bytes)?;
        let explicit = self.explicit.as_ref().map(|key| key.line(number));
        Ok(self.shared.checked(self.project, body, envelope, explicit.as_ref(), self.trace.post()))
    }

    /// Lines of a group at most: never more than there are places for.
    fn together(&self) -> usize {
        TOGETHER.min(self.shared.settings.max_in_flight)
    }

    /// Publishes what waits, and tells what came of it.
    async fn publish(&self, group: &mut Group, results: &mut Vec<u8>) {
        let Group { posts, .. } = std::mem::take(group);
        let Ok(count @ 1..) = u32::try_from(posts.len()) else { return };
        let (shared, started) = (self.shared, Instant::now());
        // A batch can wait for places, for it holds no more than a group, and none while it waits.
        let places = Arc::clone(&shared.in_flight).acquire_many_owned(count);
        let outcomes = match timeout(shared.settings.publish_timeout, places).await {
            Ok(Ok(places)) => shared.accept(self.project, posts, places).await,
            _ => posts.iter().map(|_| Err(Problem::overloaded())).collect(),
        };
        for outcome in outcomes {
            self.tell(outcome, started, results);
        }
    }

    fn tell(&self, outcome: Result<Accepted, Problem>, started: Instant, results: &mut Vec<u8>) {
        self.shared.count(&outcome, started);
        results.extend(outcome.map_or_else(|problem| problem.json(), |done| problem::success(&done)));
        results.push(b'\n');
    }

    fn too_slow(&self) -> Problem {
        let seconds = self.shared.settings.batch_timeout.as_secs_f64();
        Problem::new(BODY_TIMEOUT, format!("the batch took longer than {seconds} s: send fewer lines at a time"))
    }
}

/// Lines that go to the queue together.
#[derive(Default)]
struct Group {
    posts: Vec<Post>,
    bytes: usize,
}

impl Group {
    /// Whether one more fits.
    fn takes(&self, post: &Post, most: usize) -> bool {
        self.posts.len() < most
            && self.bytes + post.size() <= TOGETHER_BYTES
            && !self.posts.iter().any(|before| post.repeats(before))
    }

    fn push(&mut self, post: Post) {
        self.bytes += post.size();
        self.posts.push(post);
    }
}
