//! Events.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Answer, Server, Settings};

use crate::world::{PATIENCE, accept, all_arrive, text};

const MIB: usize = 1 << 20;

/// An event of exactly this many bytes.
fn sized(size: usize) -> Bytes {
    let (head, tail) = (r#"{"event":"messages","filler":""#, r#""}"#);
    format!("{head}{}{tail}", "x".repeat(size - head.len() - tail.len())).into()
}

fn refused(name: &str, answer: &Answer, status: u16, code: &str, words: &str) {
    let json = answer.json();
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {json}");
    assert_eq!(json["succeed"], false, "{name}: {json}");
    assert!(answer.message().contains(words), "{name}: `{words}` is not in `{}`", answer.message());
    assert_eq!(answer.header("content-type"), "application/json", "{name}");
}

#[tokio::test]
async fn events_that_are_refused_say_why_and_leave_nothing_behind() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("strict").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let cases: [(&str, Bytes, &str, &str); 22] = [
        ("nothing", Bytes::new(), "event_empty", "empty"),
        ("white space", Bytes::from_static(b" \r\n\t "), "event_empty", "empty"),
        ("text", Bytes::from_static(b"hello"), "event_not_json", "line 1, column 1"),
        ("half an object", Bytes::from_static(b"{\"event\":\"messages\","), "event_not_json", "JSON"),
        ("a comma too many", Bytes::from_static(b"{\"event\":\"messages\",}"), "event_not_json", "JSON"),
        ("two objects", Bytes::from_static(b"{\"event\":\"a\"}{\"event\":\"b\"}"), "event_not_json", "JSON"),
        ("a byte order mark", Bytes::from_static(b"\xef\xbb\xbf{\"event\":\"a\"}"), "event_not_json", "JSON"),
        ("a raw line break in a string", Bytes::from_static(b"{\"event\":\"a\nb\"}"), "event_not_json", "JSON"),
        ("Latin-1", Bytes::from_static(b"{\"event\":\"messages\",\"x\":\"\xe9\"}"), "event_not_utf8", "UTF-8"),
        ("gzip", Bytes::from_static(b"\x1f\x8b\x08\x00\x00"), "event_not_utf8", "compression"),
        ("an array", Bytes::from_static(b"[{\"event\":\"messages\"}]"), "event_not_an_object", "object"),
        ("a string", Bytes::from_static(b"\"messages\""), "event_not_an_object", "object"),
        ("null", Bytes::from_static(b"null"), "event_not_an_object", "object"),
        ("no event", Bytes::from_static(b"{\"message\":{\"event\":\"x\"}}"), "event_missing", "event"),
        ("another case", Bytes::from_static(b"{\"Event\":\"messages\"}"), "event_missing", "event"),
        ("a number as event", Bytes::from_static(b"{\"event\":1}"), "event_not_a_string", "string"),
        ("null as event", Bytes::from_static(b"{\"event\":null}"), "event_not_a_string", "string"),
        ("a second event", Bytes::from_static(b"{\"event\":\"a\",\"x\":1,\"event\":\"a\"}"), "event_repeated", "once"),
        (
            "a second event, escaped",
            Bytes::from_static(b"{\"event\":\"a\",\"\\u0065vent\":\"b\"}"),
            "event_repeated",
            "once",
        ),
        (
            "a line break in event",
            Bytes::from_static(b"{\"event\":\"a\\r\\nX-Evil: 1\"}"),
            "event_malformed",
            "64 visible",
        ),
        ("an empty event", Bytes::from_static(b"{\"event\":\"\"}"), "event_malformed", "64 visible"),
        (
            "an event too long",
            Bytes::from(format!("{{\"event\":\"{}\"}}", "e".repeat(65))),
            "event_malformed",
            "64 visible",
        ),
    ];
    for (name, body, code, words) in &cases {
        let answer = client.post(&project, body.clone(), Some("one-key")).await.expect("an answer");
        refused(name, &answer, 422, code, words);
    }
    let large = client.post(&project, sized(MIB + 1), None).await.expect("an answer");
    refused("1 MiB + 1", &large, 413, "too_large", "");
    for name in ["é", "with space\u{7f}", &"k".repeat(1_000)] {
        let request = client
            .request(Method::POST, &format!("/projects/{}/events", project.id))
            .basic_auth(&project.id, Some(&project.secret))
            .header(
                "idempotency-key",
                reqwest::header::HeaderValue::from_bytes(name.as_bytes()).unwrap_or_else(|_| {
                    // What cannot be sent at all needs no refusal.
                    reqwest::header::HeaderValue::from_static("\t")
                }),
            )
            .body(text("strict", 1));
        let answer = client.send(request).await.expect("an answer");
        refused(name, &answer, 422, "invalid_idempotency_key", "");
    }

    // Nothing of all that was stored: neither the events nor the key.
    let answer = client.post(&project, text("strict", 0), Some("one-key")).await.expect("an answer");
    let data = answer.expect_data(202);
    assert_eq!(data["duplicate"], false);
    let id = data["id"].as_str().expect("an id").to_owned();
    let accepted =
        [spectrum_webhook_receiver::Accepted { id, body: text("strict", 0), posted: std::time::Instant::now() }];
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.attempts, 1);
    assert_eq!(client.metric("accepted_total").await, 1);
    assert_eq!(client.metric("deliveries_fanned_out_total").await, 1);
}

#[tokio::test]
async fn nobody_gets_in_without_the_projects_own_credentials() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("own").await;
    let other = server.create_project("other").await;
    let hook = client.register(&project, "https://example.com/").await;
    let root = format!("/projects/{}", project.id);
    let calls = [
        (Method::GET, root.clone(), String::new()),
        (Method::GET, format!("{root}/webhooks/"), String::new()),
        (Method::POST, format!("{root}/webhooks/"), json!({ "webhookUrl": "https://example.com/2" }).to_string()),
        (Method::PATCH, format!("{root}/webhooks/{}", hook.id), json!({ "enabled": false }).to_string()),
        (Method::DELETE, format!("{root}/webhooks/{}/", hook.id), String::new()),
        (Method::POST, format!("{root}/webhooks/{}/secret/rotate", hook.id), "{}".to_owned()),
        (Method::POST, format!("{root}/events"), r#"{"event":"messages"}"#.to_owned()),
        (Method::POST, format!("{root}/events/batch"), r#"{"event":"messages"}"#.to_owned()),
    ];
    for (method, path, body) in calls {
        let request =
            || client.request(method.clone(), &path).header("content-type", "application/json").body(body.clone());
        let wrong = "0".repeat(project.secret.len());
        for (who, request) in [
            ("nobody", request()),
            ("another project", request().basic_auth(&other.id, Some(&other.secret))),
            ("another secret", request().basic_auth(&project.id, Some(&other.secret))),
            ("a wrong secret", request().basic_auth(&project.id, Some(&wrong))),
            ("no secret", request().basic_auth(&project.id, None::<&str>)),
            ("a bearer", request().bearer_auth(&project.secret)),
            ("nonsense", request().header("authorization", "Basic %%%")),
        ] {
            let answer = client.send(request).await.expect("an answer");
            refused(&format!("{method} {path} by {who}"), &answer, 401, "unauthorized", "HTTP Basic");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{who}");
        }
    }
    // Nothing was changed, and nothing was taken.
    let listed = client.list(&project).await;
    assert_eq!((listed.len(), &listed[0]["enabled"]), (1, &json!(true)));
    assert_eq!(client.metric("accepted_total").await, 0);
}

#[tokio::test]
async fn odd_events_arrive_to_the_byte() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("odd").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let bodies: Vec<Bytes> = vec![
        Bytes::from_static(br#"{"event":"messages","x":"\ud800","y":"\udc00\ud800"}"#),
        Bytes::from_static(br#"{"\ud800":1,"event":"messages"}"#),
        Bytes::from_static(br#"{"message":{"event":"decoy","id":"d"},"x":"\"event\":\"decoy\"","event":"messages"}"#),
        Bytes::from_static(
            br#"{"event":"messages","n":[18446744073709551617,-99999999999999999999999999,1.0,1.00,-0]}"#,
        ),
        Bytes::from_static(br#"{"event":"messages","n":1E400,"m":-1e-400,"o":1e+2}"#),
        Bytes::from_static(br#"{"event":"messages","a":1,"a":2,"a":{"b":1,"b":2}}"#),
        Bytes::from_static(b"\r\n\t {\t\"event\"\n:\r\"messages\" , \"a\" : [ 1 , 2 ] }\r\n\n"),
        Bytes::from_static(br#"{"ev\u0065nt":"mess\u0061ges","slash":"\/","u":"\u00E9\u00e9"}"#),
        Bytes::from("{\"event\":\"messages\",\"emoji\":\"🙂\u{2028}\u{feff}\u{7f}é\"}"),
        Bytes::from(format!(r#"{{"event":"messages","deep":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000))),
        Bytes::from(format!(r#"{{"event":"messages","deep":{}1{}}}"#, r#"{"a":"#.repeat(1_000), "}".repeat(1_000))),
        Bytes::from(format!(r#"{{"event":"{}"}}"#, "!~".repeat(32))),
        Bytes::from_static(br#"{"event":"messages","message":null}"#),
        Bytes::from_static(br#"{"event":"messages","message":{"id":17}}"#),
        Bytes::from_static(br#"{"":"","event":"messages","constructor":{"__proto__":1}}"#),
        sized(MIB),
    ];
    let mut accepted = Vec::new();
    for body in bodies {
        accepted.push(accept(&client, &project, body).await);
    }
    let enough = |memory: &spectrum_webhook_receiver::Memory| memory.count("/").taken >= accepted.len() as u64;
    receiver.wait_until(enough, PATIENCE).await.expect("all of them");
    let report = crate::world::report(&receiver, &hook, &accepted);
    assert!(report.missing.is_empty() && report.swapped.is_empty() && report.changed.is_empty(), "{report:#?}");
    // The verifier's own JSON reader may give up on what is too odd for it; a signature must never be what it minds.
    for (id, problems) in &report.refused {
        let only_names =
            problems.iter().all(|problem| matches!(problem, spectrum_webhook_receiver::Problem::Differ { .. }));
        assert!(only_names, "{id}: {problems:?}");
    }
}
