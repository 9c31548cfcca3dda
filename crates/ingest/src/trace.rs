//! The spans of posts: of a request, and of the publish of each of its events. What strangers send is not traced.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId};
use spectrum_webhook_core::ports::{Span, SpanKind, SpanValue, Spans};
use spectrum_webhook_core::traceparent::TraceContext;

use crate::identity;
use crate::problem::Problem;

/// The call of a post, which names its span.
pub(crate) const EVENT: &str = "POST /projects/{projectId}/events";
/// The same for many at a time.
pub(crate) const BATCH: &str = "POST /projects/{projectId}/events/batch";

/// What a request's events belong to.
pub(crate) struct RequestTrace {
    /// The client's, as it came.
    traceparent: Option<String>,
    recorded: Option<Recorded>,
}

/// A request whose span is recorded when this is dropped: also when its client went away.
struct Recorded {
    spans: Arc<dyn Spans>,
    context: TraceContext,
    parent: Option<TraceContext>,
    began: SystemTime,
    call: &'static str,
    /// `None`: it is not known who asks.
    project: Option<ProjectId>,
    /// `None`: it was not answered.
    status: Option<StatusCode>,
    said: Vec<(&'static str, SpanValue)>,
    error: Option<String>,
}

/// What an event belongs to.
pub(crate) struct PostTrace {
    /// What its message carries.
    pub(crate) traceparent: Option<String>,
    pub(crate) publish: Option<PublishTrace>,
}

/// A publish whose span is recorded.
#[derive(Clone, Copy)]
pub(crate) struct PublishTrace {
    context: TraceContext,
    parent: TraceContext,
}

/// A message that was published, or not.
pub(crate) struct Published {
    pub(crate) id: EventId,
    pub(crate) project: ProjectId,
    pub(crate) partition: PartitionId,
    pub(crate) bytes: usize,
    pub(crate) began: SystemTime,
    /// The code of the problem.
    pub(crate) error: Option<&'static str>,
}

impl RequestTrace {
    /// A request that begins now.
    pub(crate) fn begin(spans: Option<&Arc<dyn Spans>>, headers: &HeaderMap, call: &'static str) -> Self {
        let traceparent = identity::traceparent(headers);
        let recorded = spans.and_then(|spans| {
            let parent = traceparent.as_deref().and_then(TraceContext::read);
            let context = spans.begin(parent)?;
            Some(Recorded {
                spans: Arc::clone(spans),
                context,
                parent,
                began: SystemTime::now(),
                call,
                project: None,
                status: None,
                said: Vec::new(),
                error: None,
            })
        });
        Self { traceparent, recorded }
    }

    /// The project that asks.
    pub(crate) fn of(&mut self, project: ProjectId) {
        if let Some(recorded) = &mut self.recorded {
            recorded.project = Some(project);
        }
    }

    /// What one of its events belongs to: its publish, or what the client sent where that is not recorded.
    pub(crate) fn post(&self) -> PostTrace {
        let publish = self.recorded.as_ref().and_then(|request| {
            let context = request.spans.begin(Some(request.context))?;
            Some(PublishTrace { context, parent: request.context })
        });
        let traceparent = match &publish {
            Some(publish) => Some(publish.context.to_string()),
            None => self.traceparent.clone(),
        };
        PostTrace { traceparent, publish }
    }

    /// It is answered by a success.
    pub(crate) fn succeeded(&mut self, status: StatusCode, said: impl FnOnce() -> Vec<(&'static str, SpanValue)>) {
        if let Some(recorded) = &mut self.recorded {
            recorded.status = Some(status);
            recorded.said = said();
        }
    }

    /// It is answered by a problem.
    pub(crate) fn failed(&mut self, problem: &Problem) {
        if let Some(recorded) = &mut self.recorded {
            recorded.status = Some(problem.status());
            recorded.error = Some(problem.code().to_owned());
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let Some(project) = self.project else { return };
        let route = self.call.trim_start_matches("POST ");
        let mut attributes = vec![
            ("http.request.method", "POST".into()),
            ("http.route", route.into()),
            ("url.path", route.replace("{projectId}", &project.to_string()).into()),
            ("url.scheme", "http".into()),
            ("spectrum.project.id", project.to_string().into()),
        ];
        attributes.append(&mut self.said);
        if let Some(status) = self.status {
            attributes.push(("http.response.status_code", i64::from(status.as_u16()).into()));
        }
        // As OpenTelemetry has it, a server's error is a 5xx: others are the client's.
        let error = match (self.status, self.error.take()) {
            (None, _) => Some("cancelled".to_owned()),
            (Some(status), Some(code)) if status.is_server_error() => Some(code),
            (Some(_), code) => {
                attributes.extend(code.map(|code| ("spectrum.code", code.into())));
                None
            }
        };
        self.spans.end(Span {
            context: self.context,
            parent: self.parent,
            kind: SpanKind::Server,
            name: self.call,
            began: self.began,
            ended: SystemTime::now(),
            attributes,
            error,
        });
    }
}

impl PublishTrace {
    /// The publish has ended.
    pub(crate) fn end(self, spans: &dyn Spans, published: &Published) {
        let Published { id, project, partition, bytes, began, error } = published;
        let size = i64::try_from(*bytes).unwrap_or(i64::MAX);
        spans.end(Span {
            context: self.context,
            parent: Some(self.parent),
            kind: SpanKind::Producer,
            name: "publish event",
            began: *began,
            ended: SystemTime::now(),
            attributes: vec![
                ("messaging.operation.name", "publish".into()),
                ("messaging.operation.type", "send".into()),
                ("messaging.destination.name", "events".into()),
                ("messaging.destination.partition.id", partition.to_string().into()),
                ("messaging.message.id", id.to_string().into()),
                ("messaging.message.body.size", size.into()),
                ("spectrum.event.id", id.to_string().into()),
                ("spectrum.project.id", project.to_string().into()),
            ],
            error: error.map(str::to_owned),
        });
    }
}
