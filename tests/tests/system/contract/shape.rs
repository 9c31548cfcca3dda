//! What a webhook may ask for: patterns of event types, headers of its own, a rate limit, a time of an attempt.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};
use spectrum_webhook_testkit::services::shared;

use crate::cluster::stage;
use crate::world::{PATIENCE, accept, accept_texts, all_arrive, path_of, requests, taken, text};

/// Credentials that must come to the receiver and be nowhere else.
const TOKEN: &str = "Bearer q7hV-first-credential";
const SECOND: &str = "q7hV second\tcredential";

fn twice_unavailable(request: &Recorded) -> Reply {
    let unavailable = Reply::status(http::StatusCode::SERVICE_UNAVAILABLE);
    if request.nth_for_event <= 2 { unavailable } else { Reply::ok() }
}

/// The values of a header, request by request.
fn values(receiver: &Receiver, hook: &Hook, name: &str) -> Vec<Option<String>> {
    let path = path_of(receiver, hook);
    receiver.look(|memory| memory.at(path).map(|request| request.headers.get(name).map(str::to_owned)).collect())
}

#[track_caller]
fn says_nothing_of_the_credentials(what: &str, bytes: &[u8]) {
    for credential in ["first-credential", "second\tcredential", "second\\tcredential"] {
        let found = bytes.windows(credential.len()).any(|part| part == credential.as_bytes());
        assert!(!found, "{what} holds a credential");
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

#[tokio::test]
async fn patterns_choose_the_events_of_a_webhook() {
    let server = Server::start(Settings::quick()).await;
    patterns_choose(&server).await;
}

async fn patterns_choose(server: &Server) {
    const EVENTS: [&str; 6] =
        ["message", "message.created", "call.created", "message.deleted", "Message.created", "message.x.created"];
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("patterns").await;
    let mut hooks = Vec::new();
    for (path, patterns, takes) in [
        ("/plain", json!(["message", "message.deleted"]), vec![0, 3]),
        ("/begins", json!(["message.*"]), vec![1, 3, 5]),
        ("/ends", json!(["*.created"]), vec![1, 2, 4, 5]),
        ("/around", json!(["m*.x.*d", "c*l.*"]), vec![2, 5]),
        ("/all", json!(["*"]), vec![0, 1, 2, 3, 4, 5]),
    ] {
        let wish = json!({ "webhookUrl": receiver.url(path), "eventTypes": patterns });
        let hook = client.register_with(&project, &wish).await;
        assert_eq!(hook.data["eventTypes"], patterns);
        hooks.push((hook, takes));
    }
    let mut accepted = Vec::new();
    for (number, event) in EVENTS.iter().enumerate() {
        let body = format!(r#"{{"event":"{event}","number":{number}}}"#);
        accepted.push(accept(&client, &project, body.into()).await);
    }
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    for (hook, takes) in &hooks {
        let expected: Vec<Accepted> = takes.iter().map(|at: &usize| accepted[*at].clone()).collect();
        all_arrive(&receiver, hook, &expected).await;
    }
}

#[tokio::test]
async fn own_headers_arrive_and_their_values_are_neither_shown_nor_stored_nor_logged() {
    let mut server = Server::start(Settings::quick().set("SPECTRUM_LOG", "trace")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(twice_unavailable).expect("a receiver");
    let project = server.create_project("headers").await;
    let hook = own_headers_arrive(&server, &project, &receiver).await;

    // They are read back from where they rest.
    assert_eq!(server.terminate().await.0, Some(0));
    server.restart().await;
    let later = accept(&client, &project, text("later", 0)).await;
    taken(&receiver, path_of(&receiver, &hook), 3).await;
    assert!(values(&receiver, &hook, "x-key").ends_with(&[Some(SECOND.to_owned())]), "{}", later.id);

    // While it runs, so that what only the write-ahead log holds is seen too.
    let folder = files(server.folder());
    assert!(folder.iter().any(|(_, bytes)| bytes.windows(hook.id.len()).any(|part| part == hook.id.as_bytes())));
    for (file, bytes) in folder {
        says_nothing_of_the_credentials(&file, &bytes);
    }
    says_nothing_of_the_credentials("the metrics", &client.ops("/metrics").await.expect("metrics").body);
    for none in [json!(null), json!({})] {
        let answer = client.patch(&project, &hook.id, &json!({ "headers": none })).await.expect_data(200);
        assert_eq!(answer["headerNames"], json!([]));
    }
    accept(&client, &project, text("none", 0)).await;
    taken(&receiver, path_of(&receiver, &hook), 4).await;
    assert!(values(&receiver, &hook, "x-key").ends_with(&[None, None, None]));
    assert_eq!(server.terminate().await.0, Some(0));
    for line in server.log().lines() {
        says_nothing_of_the_credentials("the log", line.as_bytes());
    }
}

/// Two events to a webhook with headers of its own, which are replaced in between; each is tried three times.
async fn own_headers_arrive(server: &Server, project: &Project, receiver: &Receiver) -> Hook {
    let client = server.client();
    let url = receiver.url("/headers").replace("://", "://user:in-the-url@");
    let wish = json!({ "webhookUrl": url, "headers": { "X-Key": "v1", "Authorization": TOKEN } });
    let hook = client.register_with(project, &wish).await;
    assert_eq!(hook.data["headerNames"], json!(["Authorization", "X-Key"]));
    let hook = Hook { url: receiver.url("/headers"), ..hook };
    accept(&client, project, text("headers", 0)).await;
    taken(receiver, "/headers", 1).await;
    assert_eq!(values(receiver, &hook, "authorization"), vec![Some(TOKEN.to_owned()); 3]);
    assert_eq!(values(receiver, &hook, "x-key"), vec![Some("v1".to_owned()); 3]);
    assert!(values(receiver, &hook, "content-type").iter().all(|value| value.as_deref() == Some("application/json")));

    let patched = client.patch(project, &hook.id, &json!({ "headers": { "x-key": SECOND } })).await;
    let listed = client.call(project, Method::GET, "/webhooks/", None).await;
    assert_eq!(patched.expect_data(200)["headerNames"], json!(["x-key"]));
    assert_eq!(listed.data()[0]["headerNames"], json!(["x-key"]));
    for answer in [&patched.body, &listed.body] {
        says_nothing_of_the_credentials("an answer", answer);
    }
    says_nothing_of_the_credentials("a registration", hook.data.to_string().as_bytes());
    accept(&client, project, text("headers", 1)).await;
    taken(receiver, "/headers", 2).await;
    assert_eq!(values(receiver, &hook, "x-key")[3..], vec![Some(SECOND.to_owned()); 3]);
    // Without a header of its own, the credentials of the URL.
    let basic = "Basic dXNlcjppbi10aGUtdXJs";
    assert_eq!(values(receiver, &hook, "authorization")[3..], vec![Some(basic.to_owned()); 3]);
    hook
}

#[tokio::test]
async fn attempts_keep_to_the_rate_retries_included() {
    // What has to wait does so in the backlog.
    let server = Server::start(Settings::quick().set("SPECTRUM_HOLD_AFTER", "300ms")).await;
    rate_holds(&server).await;
}

async fn rate_holds(server: &Server) {
    let client = server.client();
    let receiver = Receiver::on_loopback(twice_unavailable).expect("a receiver");
    let project = server.create_project("rate").await;
    let wish = json!({ "webhookUrl": receiver.url("/rate"), "rateLimit": 10 });
    let hook = client.register_with(&project, &wish).await;
    assert_eq!(hook.data["rateLimit"], json!(10));
    // Another webhook of the same project does not wait for it.
    let free = client.register(&project, &receiver.url("/free")).await;

    let begun = Instant::now();
    let mut accepted = accept_texts(&client, &project, "rate", 4).await;
    all_arrive(&receiver, &hook, &accepted).await;
    // 12 attempts; the waits between those of one event are shorter than a tenth of a second on average.
    assert_eq!(receiver.look(|memory| memory.count("/rate").requests), 12);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_100), "12 attempts within {took:?}");

    // A change is good for the next event.
    let slower = client.patch(&project, &hook.id, &json!({ "rateLimit": 2 })).await.expect_data(200);
    assert_eq!(slower["rateLimit"], json!(2));
    let begun = Instant::now();
    accepted.push(accept(&client, &project, text("rate", 4)).await);
    all_arrive(&receiver, &hook, &accepted).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "three attempts within {took:?}");
    all_arrive(&receiver, &free, &accepted).await;
    let [ours, others] = [&hook, &free].map(|hook| {
        let arrived = |memory: &spectrum_webhook_receiver::Memory| {
            memory.at(path_of(&receiver, hook)).map(|request| request.arrived).nth(11)
        };
        receiver.look(arrived).expect("12 requests")
    });
    println!("12 attempts at 10 a second came {:.1?} after 12 without a limit", ours - others);
}

#[tokio::test]
async fn an_attempt_ends_in_the_webhooks_own_time() {
    let server = Server::start(Settings::quick()).await;
    time_out_holds(&server).await;
}

async fn time_out_holds(server: &Server) {
    let client = server.client();
    let first_hangs = |request: &Recorded| if request.nth_for_event == 1 { Reply::hang() } else { Reply::ok() };
    let receiver = Receiver::on_loopback(first_hangs).expect("a receiver");
    let project = server.create_project("time").await;
    let wish = json!({ "webhookUrl": receiver.url("/time"), "attemptTimeoutSeconds": 1 });
    let hook = client.register_with(&project, &wish).await;
    assert_eq!(hook.data["attemptTimeoutSeconds"], json!(1));
    let begun = Instant::now();
    let accepted = accept_texts(&client, &project, "time", 1).await;
    requests(&receiver, "/time", 2).await;
    let took = begun.elapsed();
    // The deployment's time is 30 s.
    assert!((Duration::from_secs(1)..Duration::from_secs(25)).contains(&took), "{took:?}");
    all_arrive(&receiver, &hook, &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_holds_in_a_cluster() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let database = postgres.database().await;
    let settings = stage::settings(&rabbit.url(), &redis.url(), &database);
    let server = Server::start_as("serve", settings).await;
    patterns_choose(&server).await;
    let receiver = Receiver::on_loopback(twice_unavailable).expect("a receiver");
    let project = server.create_project("headers").await;
    own_headers_arrive(&server, &project, &receiver).await;
    let stored = postgres.execute(&database, "SELECT * FROM webhooks WHERE headers IS NOT NULL");
    assert!(stored.contains("/headers"), "{stored}");
    let stored = postgres.execute(&database, "SELECT encode(headers, 'escape') FROM webhooks");
    says_nothing_of_the_credentials("the database", stored.as_bytes());
    rate_holds(&server).await;
    time_out_holds(&server).await;
    for line in server.log().lines() {
        says_nothing_of_the_credentials("the log", line.as_bytes());
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_by_its_code_and_nothing_changes() {
    let server = Server::start(Settings::quick().set("SPECTRUM_ATTEMPT_TIMEOUT", "5s")).await;
    let client = server.client();
    let project = server.create_project("refused").await;
    let hook = client.register(&project, "https://example.com/one").await;
    let before = client.list(&project).await;
    let long = "v".repeat(1_024);
    let many = |count: usize, value: &str| -> Value {
        (0..count).map(|number| (format!("x-{number}"), json!(value))).collect::<serde_json::Map<_, _>>().into()
    };
    let ours = [
        "Content-Type",
        "content-length",
        "USER-AGENT",
        "Host",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Keep-Alive",
        "Proxy-Authorization",
        "accept-encoding",
        "X-Spectrum-Event",
        "Webhook-Signature",
    ];
    let mut bad: Vec<(Value, &str, &str)> = Vec::new();
    for name in ours.into_iter().chain(["", "a b", "a:b", "ä", "a\r\nb"]) {
        let named = serde_json::Map::from_iter([(name.to_owned(), json!("q7hV"))]);
        bad.push((json!({ "headers": named }), "invalid_headers", name.get(..1).unwrap_or_default()));
    }
    for value in [json!(1), json!(null), json!(""), json!(" a"), json!("a\n"), json!("é"), json!(format!("{long}v"))] {
        bad.push((json!({ "headers": { "X-Bad": value } }), "invalid_headers", "X-Bad"));
    }
    bad.push((json!({ "headers": { "X-Same": "q7hV", "x-same": "q7hV" } }), "invalid_headers", "x-same"));
    bad.push((json!({ "headers": { "n".repeat(65): "q7hV" } }), "invalid_headers", "nnnn"));
    bad.push((json!({ "headers": many(21, "q7hV") }), "invalid_headers", "20"));
    bad.push((json!({ "headers": many(9, &long) }), "invalid_headers", "8192"));
    for value in [json!([]), json!("X-A: q7hV"), json!(true)] {
        bad.push((json!({ "headers": value }), "invalid_headers", "an object"));
    }
    for value in [json!(0), json!(1_001), json!(-1), json!(1.5), json!("5"), json!([5])] {
        bad.push((json!({ "rateLimit": value }), "invalid_rate_limit", "from 1 to 1000"));
    }
    for value in [json!(0), json!(6), json!(-1), json!(1.5), json!("5"), json!(u64::MAX)] {
        bad.push((json!({ "attemptTimeoutSeconds": value }), "invalid_attempt_timeout", "from 1 to 5"));
    }
    for value in [json!(["a*********"]), json!(["*", ""]), json!(["a b*"]), json!(["*".repeat(65)])] {
        bad.push((json!({ "eventTypes": value }), "invalid_event_types", "at most 8"));
    }
    for (wish, code, says) in bad {
        is_refused(&client, &project, &hook, wish, (code, says)).await;
    }
    assert_eq!(client.list(&project).await, before);
    let most = json!({
        "webhookUrl": "https://example.com/most", "headers": many(8, &long), "rateLimit": 1_000,
        "attemptTimeoutSeconds": 5, "eventTypes": vec!["*a*b*c*d*e*f*g*h"; 100],
    });
    client.register_with(&project, &most).await;
}

async fn is_refused(client: &Client, project: &Project, hook: &Hook, wish: Value, (code, says): (&str, &str)) {
    let mut registration = wish.clone();
    registration["webhookUrl"] = json!("https://example.com/two");
    let registered = client.call(project, Method::POST, "/webhooks/", Some(&registration)).await;
    let patched = client.patch(project, &hook.id, &wish).await;
    for answer in [registered, patched] {
        assert_eq!((answer.status, answer.code().as_str()), (422, code), "{wish}: {}", answer.json());
        let message = answer.message();
        assert!(message.contains(says) && !message.contains("q7hV"), "{wish}: {message}");
    }
}
