//! What a response means: the table, against endpoints that answer each class.

use std::time::Duration;

use serde_json::json;
use spectrum_webhook_receiver::{Always, End, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, path_of, requests, taken, text};

fn status(code: u16) -> Reply {
    Reply::status(http::StatusCode::from_u16(code).expect("a status"))
}

/// The answer that a path asks for: `/status/503`, `/twice/503` (to the first two requests of each event), …
fn as_the_path_says(request: &Recorded) -> Reply {
    let mut parts = request.path.split('/').skip(1);
    let (kind, what) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let reply = match what {
        "reset" => Reply::reset(),
        "hang" => Reply::hang(),
        "endless" => Reply::ok().body("begun").ending(End::HangBody),
        "large" => Reply::ok().body(vec![b'x'; 1 << 20]),
        "moved" => status(308).header("Location", "/status/200/elsewhere"),
        code => status(code.parse().expect("a status")),
    };
    if kind == "twice" && request.nth_for_event > 2 { Reply::ok() } else { reply }
}

#[tokio::test]
async fn every_class_of_answer_has_the_contracts_verdict() {
    const EVENTS: usize = 3;
    let server = Server::start(Settings::quick().set("SPECTRUM_ATTEMPT_TIMEOUT", "500ms")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(as_the_path_says).expect("a receiver");
    let project = server.create_project("verdicts").await;
    let delivered =
        ["/status/200", "/status/201", "/status/202", "/status/204", "/status/299", "/status/endless", "/status/large"];
    let fatal = [
        "/status/300",
        "/status/301",
        "/status/302",
        "/status/304",
        "/status/307",
        "/status/moved",
        "/status/400",
        "/status/401",
        "/status/403",
        "/status/404",
        "/status/409",
        "/status/422",
        "/status/451",
        "/status/499",
    ];
    let retriable = [
        "/twice/408",
        "/twice/429",
        "/twice/500",
        "/twice/501",
        "/twice/502",
        "/twice/503",
        "/twice/504",
        "/twice/599",
        "/twice/reset",
        "/twice/hang",
    ];
    let mut hooks = Vec::new();
    for path in delivered.iter().chain(&fatal).chain(&retriable) {
        hooks.push(client.register(&project, &receiver.url(path)).await);
    }
    let accepted = accept_texts(&client, &project, "verdicts", EVENTS).await;

    for hook in &hooks {
        let path = path_of(&receiver, hook);
        let attempts = if retriable.contains(&path) { [1, 2, 3].repeat(EVENTS) } else { vec![1; EVENTS] };
        requests(&receiver, path, attempts.len()).await;
    }
    client.wait_for_metric("deliveries_dead_total", |dead| dead >= (fatal.len() * EVENTS) as i64, PATIENCE).await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    assert_eq!(client.metric("deliveries_dead_total").await, (fatal.len() * EVENTS) as i64);
    for hook in &hooks {
        let path = path_of(&receiver, hook);
        let attempts = if retriable.contains(&path) { [1, 2, 3].repeat(EVENTS) } else { vec![1; EVENTS] };
        let got: Vec<u32> = receiver.look(|memory| memory.at(path).filter_map(|request| request.attempt()).collect());
        assert_eq!(got, attempts, "attempts at {path}");
        if !fatal.contains(&path) {
            all_arrive(&receiver, hook, &accepted).await;
        }
    }
    assert_eq!(receiver.look(|memory| memory.count("/status/200/elsewhere").requests), 0, "a redirect was followed");
}

#[tokio::test]
async fn gone_disables_the_webhook_and_what_comes_later_waits_for_it() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(|request: &Recorded| {
        if request.path == "/gone" && request.nth_for_path == 1 { status(410) } else { Reply::ok() }
    })
    .expect("a receiver");
    let project = server.create_project("gone").await;
    let hook = client.register(&project, &receiver.url("/gone")).await;
    let witness = client.register(&project, &receiver.url("/witness")).await;
    let first = accept(&client, &project, text("gone", 0)).await;
    client.wait_for_metric("deliveries_dead_total", |dead| dead == 1, PATIENCE).await;

    let listed = client.list(&project).await;
    let listed = listed.iter().find(|listed| listed["id"] == hook.id.as_str()).expect("the webhook");
    assert_eq!(listed["enabled"], false);
    assert_eq!(listed["status"], "disabled");
    assert!(listed["disabledAt"].is_string() && listed["disabledReason"].is_string(), "{listed}");

    let mut accepted = vec![first];
    for number in 1..6 {
        accepted.push(accept(&client, &project, text("gone", number)).await);
    }
    all_arrive(&receiver, &witness, &accepted).await;
    assert_eq!(receiver.look(|memory| memory.count("/gone").requests), 1, "a webhook that is gone was called");

    let enabled = client.patch(&project, &hook.id, &json!({ "enabled": true })).await.expect_data(200);
    assert_eq!(enabled["enabled"], true);
    taken(&receiver, "/gone", 5).await;
    let got: Vec<_> = receiver.look(|memory| memory.at("/gone").map(|request| request.body.clone()).collect());
    assert_eq!(got, accepted.iter().map(|event| event.body.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn gone_that_the_old_url_says_does_not_disable_the_new_one() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(|_: &Recorded| Reply::ok()).expect("a receiver");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let project = server.create_project("moved").await;
    let hook = client.register(&project, &format!("http://{address}/old")).await;
    accept(&client, &project, text("moved", 0)).await;
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a call");
    assert!(stream.read(&mut vec![0; 64 << 10]).await.expect("a request") > 0);
    client.patch(&project, &hook.id, &json!({ "webhookUrl": receiver.url("/new") })).await.expect_data(200);
    stream.write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await.expect("an answer");
    client.wait_for_metric("deliveries_dead_total", |dead| dead == 1, PATIENCE).await;

    let next = accept(&client, &project, text("moved", 1)).await;
    taken(&receiver, "/new", 1).await;
    let got = receiver.look(|memory| memory.at("/new").next().map(|request| request.body.clone()));
    assert_eq!(got, Some(next.body));
    let listed = client.list(&project).await;
    assert_eq!((&listed[0]["enabled"], &listed[0]["status"]), (&json!(true), &json!("enabled")), "{listed:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_tried_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let project = server.create_project("nonsense").await;
    client.register(&project, &format!("http://{address}/")).await;
    accept(&client, &project, text("nonsense", 0)).await;
    for attempt in 1..=3 {
        let (mut stream, _) =
            tokio::time::timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a call");
        let mut buffer = vec![0; 64 << 10];
        let read = stream.read(&mut buffer).await.expect("a request");
        let head = String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase();
        assert!(head.contains(&format!("x-spectrum-attempt: {attempt}\r\n")), "{head}");
        let answer: &[u8] =
            if attempt == 3 { b"HTTP/1.1 204 No Content\r\n\r\n" } else { b"220 mail.example ESMTP\r\n" };
        stream.write_all(answer).await.expect("an answer");
        stream.shutdown().await.expect("an end");
    }
    client.wait_for_metric("deliveries_delivered_total", |delivered| delivered == 1, PATIENCE).await;
}

#[tokio::test]
async fn a_disabled_webhook_holds_its_events_and_delivers_them_in_order_when_it_is_enabled() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(2)))).expect("a receiver");
    let project = server.create_project("paused").await;
    let hook = client.register(&project, &receiver.url("/paused")).await;
    let witness = client.register(&project, &receiver.url("/witness")).await;
    let mut accepted = accept_texts(&client, &project, "paused", 10).await;
    all_arrive(&receiver, &hook, &accepted).await;

    let disabled = client.patch(&project, &hook.id, &json!({ "enabled": false })).await.expect_data(200);
    assert_eq!((&disabled["enabled"], &disabled["status"]), (&json!(false), &json!("disabled")));
    for number in 10..60 {
        accepted.push(accept(&client, &project, text("paused", number)).await);
    }
    all_arrive(&receiver, &witness, &accepted).await;
    assert_eq!(receiver.look(|memory| memory.count("/paused").requests), 10, "a disabled webhook was called");

    let enabled = client.patch(&project, &hook.id, &json!({ "enabled": true })).await.expect_data(200);
    assert_eq!((&enabled["enabled"], &enabled["disabledAt"]), (&json!(true), &json!(null)));
    for number in 60..70 {
        accepted.push(accept(&client, &project, text("paused", number)).await);
    }
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.duplicates, 0);
}
