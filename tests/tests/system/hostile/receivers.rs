//! Endpoints that answer with whatever is no answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};
use spectrum_webhook_testkit::raw::{Raw, header, read_request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::bystander::Bystander;
use super::manners::{self, Logged, Manner, Then};
use crate::world::{PATIENCE, text};

/// URLs of each manner.
const EACH: usize = 3;
/// What the answers of so many URLs may cost: less than half a MiB for each, which is what a head may take, and what
/// the server needs anyway.
const USUAL: u64 = 160 << 20;
const TIMEOUT: Duration = Duration::from_secs(4);

/// Does what the manner says with one connection.
async fn behave(mut stream: TcpStream, manner: Manner) {
    if !manner.hasty && read_request(&mut stream).await.is_none() {
        return;
    }
    let mut goes_on = stream.write_all(&manner.opening).await.is_ok();
    match manner.then {
        Then::Closes => {}
        Then::Stays => {
            // Until the other side has enough of it.
            while read_request(&mut stream).await.is_some() {}
        }
        Then::Repeats(bytes, pause) => {
            while goes_on {
                tokio::time::sleep(pause).await;
                goes_on = stream.write_all(&bytes).await.is_ok();
            }
        }
    }
}

/// The attempts of a webhook that are logged so far, oldest first.
async fn attempts(client: &Client, project: &Project, hook: &Hook) -> Vec<Value> {
    let path = format!("/attempts?webhook={}&limit=100", hook.id);
    let mut attempts = client.call(project, Method::GET, &path, None).await.expect_data(200);
    let mut attempts = attempts.as_array_mut().map(std::mem::take).expect("a list");
    attempts.reverse();
    attempts
}

/// The first attempts of a webhook, as soon as so many are logged.
async fn first_attempts(client: &Client, project: &Project, hook: &Hook, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let attempts = attempts(client, project, hook).await;
        if attempts.len() >= count {
            return attempts;
        }
        assert!(Instant::now() < deadline, "{}: {attempts:?}", hook.url);
        // The log cannot be waited for: it is asked again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_endpoint_answers_costs_bounded_time_and_memory_and_no_other_url_notices() {
    let settings = Settings::quick()
        .set("SPECTRUM_ATTEMPT_TIMEOUT", "4s")
        .set("SPECTRUM_RETRY_ATTEMPTS", "2")
        .set("SPECTRUM_OUTAGE_PROBE_CAP", "2s");
    let server = Server::start(settings).await;
    let client = server.client();
    let bystander = Bystander::of(&server).await;
    let project = server.create_project("hostile").await;
    let mut endpoints = Vec::new();
    for manner in manners::all() {
        let behaves = manner.clone();
        let raw = Raw::start(move |stream, _| behave(stream, behaves.clone())).await;
        let urls: Vec<_> = (0..EACH).map(|number| format!("http://{}/{number}", raw.address)).collect();
        let hooks = join_all(urls.iter().map(|url| client.register(&project, url))).await;
        endpoints.extend(hooks.into_iter().map(|hook| (manner.clone(), hook)));
        // What it says first is no handshake.
        if manner.hasty {
            let tls = Manner { name: "no TLS", logged: Logged::Failed("tls"), ..manner };
            let hook = client.register(&project, &format!("https://{}/", raw.address)).await;
            endpoints.push((tls, hook));
        }
        // It lives as long as the test.
        std::mem::forget(raw);
    }
    let watching = async {
        client.accept(&project, text("hostile", 0)).await;
        let mut all = Vec::new();
        for (manner, hook) in &endpoints {
            all.push((manner, first_attempts(&client, &project, hook, 1).await.swap_remove(0)));
        }
        all
    };
    for (manner, attempt) in bystander.beside(&server, watching).await {
        assert!(manner.logged.is(&attempt), "{}: {attempt}", manner.name);
        let took = Duration::from_millis(attempt["totalMs"].as_u64().expect("a time"));
        assert!(took < TIMEOUT * 2, "{}: {attempt}", manner.name);
        assert!(attempt["response"].as_str().is_some_and(|text| text.len() < 8_192), "{}: {attempt}", manner.name);
    }
    println!("{} URLs took {} bytes at most", endpoints.len(), server.peak_memory());
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
}

/// What is behind the answer to the first request of a connection, and when it comes.
const STRAYS: [(&str, &[u8], Duration); 5] = [
    ("/none", b"", Duration::ZERO),
    ("/answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Duration::ZERO),
    ("/half", b"HTTP/1.1 200 OK\r\nContent-Le", Duration::ZERO),
    ("/rubbish", b"\0\r\n\r\nrubbish", Duration::ZERO),
    ("/late", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Duration::from_millis(20)),
];

/// Statuses, by path, event, and number of the attempt.
type Answers = HashMap<(String, String, u64), u16>;

#[tokio::test]
async fn bytes_behind_an_answer_are_no_answer_to_the_next_event() {
    const EVENTS: usize = 10;
    let settings = Settings::quick().set("SPECTRUM_RETRY_ATTEMPTS", "3");
    let server = Server::start(settings).await;
    let (client, project) = (server.client(), server.create_project("stray").await);
    let answered: Arc<Mutex<Answers>> = Arc::default();
    let noted = Arc::clone(&answered);
    let raw = Raw::start(move |mut stream, _| {
        let noted = Arc::clone(&noted);
        async move {
            let mut first = true;
            while let Some((head, _)) = read_request(&mut stream).await {
                let value = |name| header(&head, name).expect("a header").to_owned();
                let attempt = value("x-spectrum-attempt").parse().expect("a number");
                let (path, stray, wait) = *STRAYS.iter().find(|(path, ..)| head.contains(path)).expect("a path");
                // A request that comes on a connection with strays on it must not be taken for answered by them.
                let (status, stray) = if first { (200, stray) } else { (500, &b""[..]) };
                let status = if path == "/none" { 200 } else { status };
                let key = (path.to_owned(), value("x-spectrum-event-id"), attempt);
                noted.lock().expect("a lock").insert(key, status);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
                let (at_once, late) = if wait.is_zero() { (stray, &b""[..]) } else { (&b""[..], stray) };
                let _ = stream.write_all(&[answer.as_bytes(), at_once].concat()).await;
                tokio::time::sleep(wait).await;
                let _ = stream.write_all(late).await;
                first = false;
            }
        }
    })
    .await;
    let mut hooks = Vec::new();
    for (path, ..) in STRAYS {
        hooks.push((path, client.register(&project, &format!("http://{}{path}", raw.address)).await));
    }
    let mut events = Vec::new();
    for number in 0..EVENTS {
        events.push(client.accept(&project, text("stray", number)).await);
        // The connection rests meanwhile, so that the late one comes on it before the next request does.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    for (path, hook) in &hooks {
        for attempt in first_attempts(&client, &project, hook, EVENTS).await {
            let event = attempt["eventId"].as_str().expect("an id").to_owned();
            let number = attempt["attempt"].as_u64().expect("a number");
            let told = answered.lock().expect("a lock").get(&((*path).to_owned(), event, number)).copied();
            let logged = attempt["status"].as_u64();
            assert!(logged.is_none() || logged == told.map(u64::from), "{path}: {told:?}, {attempt}");
        }
    }
}
