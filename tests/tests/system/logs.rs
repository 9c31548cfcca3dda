//! The log: an event's id finds its whole life, every line is what its document says, and nobody but the program writes
//! a line.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Map, Value, json};
use spectrum_webhook_receiver::{Receiver, Recorded, Reply};
use spectrum_webhook_testkit::documented::log_events;
use spectrum_webhook_testkit::process::{Server, Settings};
use spectrum_webhook_testkit::raw::Raw;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::steer::wait_for_letters;
use crate::world::{accept, requests, text};

/// The longest line, without its end.
const LONGEST: usize = 16 * 1_024 - 1;

/// The lines of an event that are below `info`, as the document says.
const WHOLE_LIFE: &str =
    "info,spectrum_webhook_ingest::accept=debug,spectrum_webhook_dispatcher::partition::tell=debug";

/// The lines that a server wrote.
fn written(server: &Server) -> Vec<String> {
    server.log().lines().into_iter().filter(|line| !line.starts_with("--- ")).collect()
}

fn object(line: &str) -> Map<String, Value> {
    assert!(line.len() <= LONGEST, "{} bytes: {line}", line.len());
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// It has the fields of its event, and no other.
fn is_documented(line: &Map<String, Value>) {
    let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("`{name}` is no text: {line:?}"));
    let (level, message) = (text("level").to_lowercase(), text("message"));
    assert!(text("timestamp").ends_with('Z'), "{line:?}");
    assert!(text("target").starts_with("spectrum_webhook"), "a library has something to say: {line:?}");
    let rows = log_events();
    let row = rows.iter().find(|row| row.level == level && row.messages.iter().any(|known| known == message));
    let row = row.unwrap_or_else(|| panic!("not in the document: {line:?}"));
    for name in line.keys().filter(|name| !["timestamp", "level", "message", "target"].contains(&name.as_str())) {
        assert!(row.fields.contains(name), "`{name}` is not in the document: {line:?}");
    }
}

/// What the log says of an event at a webhook, in its order.
fn life(lines: &[Map<String, Value>], event: &str, webhook: &str) -> Vec<String> {
    let is = |line: &Map<String, Value>, name: &str, id: &str| line.get(name).and_then(Value::as_str) == Some(id);
    let say = |line: &Map<String, Value>| {
        let words = ["message", "attempt", "ended", "next", "reason"].iter().filter_map(|name| line.get(*name));
        let words = words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned));
        words.collect::<Vec<_>>().join(" ")
    };
    lines.iter().filter(|line| is(line, "event", event) && is(line, "webhook", webhook)).map(say).collect()
}

fn temper(request: &Recorded) -> Reply {
    let status = match request.path.as_str() {
        "/busy" if request.nth_for_event == 1 => StatusCode::SERVICE_UNAVAILABLE,
        "/refuses" => StatusCode::UNPROCESSABLE_ENTITY,
        "/choosy" if request.body.windows(7).any(|bytes| bytes == b"first-0") => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    Reply::status(status)
}

#[tokio::test]
async fn an_events_id_finds_its_whole_life_in_the_log() {
    let settings = Settings::quick().set("SPECTRUM_LOG", WHOLE_LIFE).set("SPECTRUM_RETRY_ATTEMPTS", "2");
    let mut server = Server::start(settings).await;
    let (client, receiver) = (server.client(), Receiver::on_loopback(temper).expect("a receiver"));
    let project = server.create_project("logs").await;
    let mut hooks = Vec::new();
    for path in ["/busy", "/refuses", "/choosy"] {
        hooks.push(client.register(&project, &receiver.url(path)).await);
    }
    // Together: the second waits when the attempts of the first are used up, and is taken, so that the first is poison.
    let batch = [text("first", 0), text("second", 0)].join(&b'\n');
    let answer = client.post_batch(&project, batch.into()).await.expect("an answer");
    let results = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
    let results = results.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let ids: Vec<String> = results.map(|line| line["data"]["id"].as_str().expect("an id").to_owned()).collect();
    wait_for_letters(&client, &project, 3).await;
    requests(&receiver, "/busy", 4).await;
    assert_eq!(client.post(&project, "[]".into(), None).await.expect("an answer").status, 422);
    assert_eq!(server.terminate().await.0, Some(0));

    let lines: Vec<_> = written(&server).iter().map(|line| object(line)).collect();
    lines.iter().for_each(is_documented);
    let of = |event: usize, hook: usize| {
        // What is settled is told when the queue knows it, beside what comes next.
        let (settled, told): (Vec<_>, Vec<_>) =
            life(&lines, &ids[event], &hooks[hook].id).into_iter().partition(|said| said == "settled");
        assert_eq!(settled.len(), 1, "{told:?}");
        told
    };
    assert_eq!(of(0, 0), ["attempt 1 status_503 retry", "attempt 2 status_200 delivered"]);
    assert_eq!(of(0, 1), ["attempt 1 status_422 dead_letter", "held", "dead letter fatal"]);
    let poison = ["attempt 1 status_500 retry", "attempt 2 status_500 set_aside", "held", "dead letter poison"];
    assert_eq!(of(0, 2), poison);
    assert_eq!(of(1, 1), of(0, 1));
    assert_eq!(of(1, 2), ["attempt 1 status_200 delivered"]);
    for id in &ids {
        let accepted = |line: &&Map<String, Value>| line["message"] == "accepted" && line["event"] == id.as_str();
        assert_eq!(lines.iter().filter(accepted).count(), 1, "{id}");
    }
}

/// Whoever could read the log would take these for lines of it, or lose sight of some.
const FORGED: [&str; 3] = [
    "x\n2026-01-01T00:00:00.000000Z ERROR gotcha",
    "x\r\n{\"timestamp\":\"2026-01-01T00:00:00.000000Z\",\"level\":\"ERROR\",\"message\":\"gotcha\"}",
    "x\u{1b}[2J\u{9b}31m\u{202e}\u{2028}gotcha",
];

/// Puts hostile text wherever a client, a project or an endpoint can put any.
async fn whatever_text_there_is(server: &Server) {
    let client = server.client();
    let project = server.create_project("forged").await;
    let answer = |_: &Recorded| {
        let bytes = FORGED.concat();
        let body = Reply::status(StatusCode::BAD_REQUEST).header("x-answer", "\t{\"message\":\"gotcha\"}");
        body.body(bytes)
    };
    let receiver = Receiver::on_loopback(answer).expect("a receiver");
    let garbage = Raw::start(|mut stream, _| async move {
        let _ = stream.write_all(format!("HTTP/1.1 200 {}\r\n", FORGED.concat()).as_bytes()).await;
    })
    .await;
    let hook = client.register(&project, &receiver.url("/%0a%1b[2J{\"message\":\"gotcha\"}?\u{202e}")).await;
    client.register(&project, &format!("http://{}/", garbage.address)).await;
    accept(&client, &project, r#"{"event":"\",\"message\":\"gotcha"}"#.into()).await;
    wait_for_letters(&client, &project, 1).await;
    for forged in FORGED {
        let reason = json!({ "reason": forged });
        client.call(&project, Method::POST, &format!("/webhooks/{}/resume", hook.id), Some(&reason)).await;
        let post = client.request(Method::POST, &format!("/projects/{}/events", project.id));
        let key = forged.replace(['\n', '\r'], "");
        let post = post.basic_auth(forged, Some(forged)).header("idempotency-key", key.as_bytes()).body(forged);
        // Whatever is answered.
        let _ = client.send(post).await;
        let mut raw = TcpStream::connect(server.api()).await.expect("a connection");
        raw.write_all(format!("GET /{forged} HTTP/1.1\r\n{forged}\r\n\r\n").as_bytes()).await.expect("a request");
        let mut end = Vec::new();
        let _ = raw.read_to_end(&mut end).await;
    }
    let reason = json!({ "reason": "a\u{202e}b\u{2028}c" });
    let resumed = client.call(&project, Method::POST, &format!("/webhooks/{}/resume", hook.id), Some(&reason)).await;
    assert_eq!(resumed.status, 200, "{}", resumed.message());
}

#[tokio::test]
async fn nothing_that_others_made_up_writes_a_line_or_moves_a_cursor() {
    let quick = Settings::quick().set("SPECTRUM_LOG", "trace");
    let mut server = Server::start(quick).await;
    whatever_text_there_is(&server).await;
    server.terminate().await;
    let lines = written(&server);
    assert!(lines.iter().any(|line| line.contains(r"a\u202eb\u2028c")), "the reason is not there");
    for line in &lines {
        is_clean(line);
        let line = object(line);
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line:?}");
        assert_ne!(line["message"], "gotcha");
    }
}

#[track_caller]
fn is_clean(line: &str) {
    let bad = |character: char| character.is_control() || matches!(character, '\u{2028}'..='\u{202e}');
    assert!(!line.chars().any(bad), "{line:?}");
    assert!(line.len() <= LONGEST, "{} bytes: {line}", line.len());
}
