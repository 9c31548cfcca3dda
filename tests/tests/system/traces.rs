//! Traces: one leads from a client's post through both processes to each attempt, as a collector gets it; and a collector
//! that fails costs nobody anything.

use std::collections::BTreeMap;

use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use reqwest::Method;
use spectrum_webhook_receiver::{Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings};
use spectrum_webhook_testkit::services::shared;

use crate::world::{PATIENCE, all_arrive, requests, taken, text};

/// A span as the collector got it.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    kind: SpanKind,
    trace: String,
    id: String,
    parent: String,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
    failed: bool,
    began: u64,
    ended: u64,
}

impl Seen {
    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: Option<&AnyValue>| match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("an attribute is {other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

/// All spans that a collector got, oldest first.
fn seen(collector: &Receiver) -> Vec<Seen> {
    let bodies =
        collector.look(|memory| memory.at("/v1/traces").map(|request| request.body.clone()).collect::<Vec<_>>());
    let mut seen = Vec::new();
    for body in bodies {
        let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
        for of_process in request.resource_spans {
            let resource = attributes(&of_process.resource.expect("a resource").attributes);
            for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                seen.push(Seen {
                    kind: span.kind(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: attributes(&span.attributes),
                    resource: resource.clone(),
                    failed: span.status.is_some_and(|status| status.code == 2),
                    began: span.start_time_unix_nano,
                    ended: span.end_time_unix_nano,
                });
            }
        }
    }
    seen.sort_by_key(|span| span.began);
    seen
}

fn of<'a>(spans: &'a [Seen], trace: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.trace == trace).collect()
}

#[track_caller]
fn one<'a>(spans: &[&'a Seen], kind: SpanKind) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|span| span.kind == kind).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]
}

/// Posts an event with a `traceparent`, or without; returns its id.
async fn post(client: &Client, project: &Project, name: &str, traceparent: Option<&str>) -> String {
    let mut request = client
        .request(Method::POST, &format!("/projects/{}/events", project.id))
        .basic_auth(&project.id, Some(&project.secret))
        .body(text(name, 0));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer = client.send(request).await.expect("an answer");
    answer.expect_data(202)["id"].as_str().expect("an id").to_owned()
}

/// A URL that is busy at first, and one that is down until its event rests in the backlog.
fn temper(request: &Recorded) -> Reply {
    let failures = if request.path.starts_with("/busy") { 1 } else { 7 };
    let failed = request.nth_for_event <= failures && !request.path.starts_with("/good");
    Reply::status(if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const SECRETS: [&str; 4] = ["t0ken-of-the-collector", "p4ssword-of-a-url", "t0ken-in-a-path", "t0ken-in-a-query"];

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_a_post_through_both_processes_to_each_attempt() {
    let collector = Receiver::on_loopback(Always(Reply::ok())).expect("a collector");
    let receiver = Receiver::on_loopback(temper).expect("a receiver");
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let settings = crate::cluster::settings(&rabbit.url(), &redis.url(), &postgres.database().await)
        .set("SPECTRUM_OTLP_ENDPOINT", collector.url("/"))
        .set("SPECTRUM_OTLP_HEADERS", format!("authorization=Bearer%20{}", SECRETS[0]));
    let mut ingest = Server::start_as("ingest", settings.clone()).await;
    let mut dispatcher = Server::start_as("dispatcher", settings).await;
    let (client, project) = (ingest.client(), ingest.create_project("traces").await);
    let busy = receiver.url(&format!("/busy/{}?key={}", SECRETS[2], SECRETS[3]));
    let busy = client.register(&project, &busy.replace("://", &format!("://user:{}@", SECRETS[1]))).await;
    let down = client.register(&project, &receiver.url("/down")).await;

    let event = post(&client, &project, "first", Some(&format!("00-{TRACE}-{CALLER}-01"))).await;
    requests(&receiver, &format!("/busy/{}?key={}", SECRETS[2], SECRETS[3]), 2).await;
    // Its attempts are used up, it rests in the backlog, and is probed from there.
    taken(&receiver, "/down", 1).await;
    let unsampled = format!("00-{}-{CALLER}-00", TRACE.replace('0', "1"));
    post(&client, &project, "unsampled", Some(&unsampled)).await;
    let own = post(&client, &project, "own", None).await;
    taken(&receiver, "/down", 3).await;
    dispatcher.client().wait_for_metric("spans_total", |spans| spans > 0, PATIENCE).await;
    assert_eq!((dispatcher.terminate().await.0, ingest.terminate().await.0), (Some(0), Some(0)));

    let spans = seen(&collector);
    assert!(of(&spans, &TRACE.replace('0', "1")).is_empty(), "the caller records no trace");
    let trace = of(&spans, TRACE);
    let (request, publish, process) =
        (one(&trace, SpanKind::Server), one(&trace, SpanKind::Producer), one(&trace, SpanKind::Consumer));
    assert_eq!(request.name, "POST /projects/{projectId}/events");
    assert_eq!([&request.parent, &publish.parent, &process.parent], [CALLER, &request.id, &publish.id]);
    assert_eq!((request.get("http.response.status_code"), request.get("spectrum.event.id")), ("202", event.as_str()));
    for message in [publish, process] {
        assert_eq!((message.get("messaging.system"), message.get("messaging.message.id")), ("rabbitmq", &*event));
    }
    let attempts = |hook: &str| {
        let of_it =
            trace.iter().filter(|span| span.kind == SpanKind::Client && span.get("spectrum.webhook.id") == hook);
        of_it.copied().collect::<Vec<_>>()
    };
    let (at_busy, at_down) = (attempts(&busy.id), attempts(&down.id));
    let told: Vec<_> = at_busy
        .iter()
        .map(|span| {
            ["spectrum.attempt", "http.response.status_code", "error.type", "spectrum.next"].map(|name| span.get(name))
        })
        .collect();
    assert_eq!(told, [["1", "503", "503", "retry"], ["2", "200", "", "delivered"]]);
    assert_eq!([at_busy[0].failed, at_busy[1].failed], [true, false]);
    assert_eq!(at_down.len(), 8, "six attempts, and probes out of the backlog");
    for attempt in at_busy.iter().chain(&at_down) {
        assert_eq!(attempt.parent, process.id, "siblings, however long they waited: {attempt:?}");
        assert_eq!((attempt.get("spectrum.event.id"), attempt.get("server.address")), (&*event, "127.0.0.1"));
        assert!(attempt.began <= attempt.ended && attempt.began >= process.began, "{attempt:?}");
    }
    assert_eq!(at_busy[0].get("url.full"), receiver.url("/REDACTED"));
    assert_eq!(roles(&trace), [("ingest", 2), ("dispatcher", 11)]);

    let begun_here = spans.iter().find(|span| span.get("spectrum.event.id") == own && span.kind == SpanKind::Server);
    let begun_here = begun_here.expect("a trace that begins here");
    assert_eq!(begun_here.parent, "", "{begun_here:?}");
    assert_eq!(of(&spans, &begun_here.trace).len(), 13, "{begun_here:?}");

    let lines = dispatcher.log().lines();
    let found = lines.iter().filter(|line| line.contains(TRACE) && line.contains("\"attempt\"")).count();
    assert_eq!(found, 10, "each attempt's line names its trace");
    no_secret_is_sent(&collector);
}

/// How many spans each process sent.
fn roles(spans: &[&Seen]) -> [(&'static str, usize); 2] {
    let from = |role: &str| spans.iter().filter(|span| span.resource["spectrum.role"] == role).count();
    [("ingest", from("ingest")), ("dispatcher", from("dispatcher"))]
}

fn no_secret_is_sent(collector: &Receiver) {
    collector.look(|memory| {
        for request in memory.at("/v1/traces") {
            assert_eq!(request.headers.get("authorization"), Some(&*format!("Bearer {}", SECRETS[0])));
            assert_eq!(request.headers.get("content-type"), Some("application/x-protobuf"));
            for secret in SECRETS {
                let found = request.body.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
                assert!(!found, "{secret} is in a span");
            }
        }
    });
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_loses_no_event_and_keeps_none_waiting() {
    let collector = Receiver::on_loopback(Always(Reply::hang())).expect("a collector");
    collector.down().await.expect("down");
    let mut server = Server::start(Settings::quick().set("SPECTRUM_OTLP_ENDPOINT", collector.url(""))).await;
    let (client, receiver) = (server.client(), Receiver::on_loopback(Always(Reply::ok())).expect("a receiver"));
    let project = server.create_project("traces").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let first = crate::world::accept(&client, &project, text("first", 0)).await;
    all_arrive(&receiver, &hook, std::slice::from_ref(&first)).await;
    client.wait_for_metric(r#"spans_total{outcome="failed"}"#, |failed| failed >= 4, PATIENCE).await;

    collector.up().await.expect("up");
    // More than may wait: the rest is given up, and no event with it.
    let events = crate::world::accept_texts(&client, &project, "more", 20).await;
    requests(&collector, "/v1/traces", 1).await;
    let lines: Vec<_> = (0..2_000).map(|number| text("batch", number)).collect();
    let answer = client.post_batch(&project, lines.join(&b'\n').into()).await.expect("an answer");
    assert_eq!(answer.status, 200);
    taken(&receiver, "/", 1 + events.len() + lines.len()).await;
    client.wait_for_metric(r#"spans_total{outcome="dropped"}"#, |dropped| dropped > 0, PATIENCE).await;
    assert_eq!(client.metric(r#"spans_total{outcome="exported"}"#).await, 0);
    assert_eq!(server.terminate().await.0, Some(0), "the last spans hold up no stop");
    let said = server.log().lines();
    for message in ["the collector of traces takes no spans", "the last spans were not sent in time"] {
        assert!(said.iter().any(|line| line.contains(message)), "`{message}` is not in the log");
    }
}
