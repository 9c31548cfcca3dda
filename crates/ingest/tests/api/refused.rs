//! What the door refuses, each with its status, code and message, and nothing published or stored.

use spectrum_webhook_ingest::Settings;

use crate::world::{Api, ID, NOBODY, OPERATOR, OTHER, SECRET, api, api_with, basic, events, settings, webhooks};

fn nothing_happened(api: &Api) {
    assert!(api.world.published.lock().is_empty());
    assert!(api.world.records.lock().is_empty());
    assert!(api.world.webhooks.lock().is_empty());
    assert!(api.world.calls.lock().is_empty());
}

const EVENT: &str = r#"{"event":"messages"}"#;

#[tokio::test]
async fn bodies_that_are_no_event_are_refused_and_nothing_is_published() {
    let api = api();
    let large = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat((1 << 20) + 1 - 20));
    assert_eq!(large.len(), (1 << 20) + 1);
    for (body, status, code, says) in [
        (&b""[..], 422, "event_empty", "empty"),
        (b" \n", 422, "event_empty", "empty"),
        (b"not json", 422, "event_not_json", "line 1, column 2"),
        (b"{\"event\":\"a\"", 422, "event_not_json", "mend the JSON"),
        (b"{\"event\":\"a\"}{}", 422, "event_not_json", "one valid JSON value"),
        (b"{\"event\":\"\xff\"}", 422, "event_not_utf8", "encode the JSON in UTF-8"),
        (b"\x1f\x8b\x08\x00", 422, "event_not_utf8", "without compression"),
        (b"[{\"event\":\"a\"}]", 422, "event_not_an_object", "not a JSON object"),
        (b"\"event\"", 422, "event_not_an_object", "not a JSON object"),
        (b"{\"message\":{\"event\":\"a\"}}", 422, "event_missing", "no top-level \"event\""),
        (b"{\"event\":1}", 422, "event_not_a_string", "not a string"),
        (b"{\"event\":\"a\",\"event\":\"a\"}", 422, "event_repeated", "leave only one"),
        (b"{\"event\":\"a\",\"\\u0065vent\":\"b\"}", 422, "event_repeated", "leave only one"),
        (b"{\"event\":\"a\\nb\"}", 422, "event_malformed", "visible ASCII"),
        (b"{\"event\":\"a\\r\\nX: y\"}", 422, "event_malformed", "visible ASCII"),
        (b"{\"event\":\"\"}", 422, "event_malformed", "1 to 64"),
        (large.as_bytes(), 413, "too_large", "larger than 1048576 bytes"),
    ] {
        let before = api.metric("spectrum_webhook_rejected_total", Some(code));
        api.event(body.to_vec()).await.is_problem(status, code, says);
        assert_eq!(api.metric("spectrum_webhook_rejected_total", Some(code)), before + 1.0);
    }
    nothing_happened(&api);
    assert_eq!(api.metric("spectrum_webhook_accepted_total", None), 0.0);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let api = api();
    let body = axum::body::Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let headers = [("authorization", &*basic(ID, SECRET)), ("content-length", "1048577")];
    api.send("POST", &events(), &headers, body).await.is_problem(413, "too_large", "1048576");
    nothing_happened(&api);
}

#[tokio::test]
async fn the_largest_event_is_taken() {
    let api = api();
    let largest = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat((1 << 20) - 20));
    assert_eq!(largest.len(), 1 << 20);
    api.event(largest.clone()).await.is_accepted(false);
    assert_eq!(api.world.bodies(), [largest.into_bytes()]);
}

#[tokio::test]
async fn wrong_credentials_of_every_kind_are_refused_alike() {
    let api = api();
    let anybody = basic(ID, SECRET);
    let id = format!("{ID}");
    let paths = |project: &str| {
        [
            ("POST", format!("/projects/{project}/events")),
            ("POST", format!("/projects/{project}/events/batch")),
            ("GET", format!("/projects/{project}")),
            ("GET", format!("/projects/{project}/webhooks")),
            ("POST", format!("/projects/{project}/webhooks")),
            ("PATCH", format!("/projects/{project}/webhooks/{OTHER}")),
            ("DELETE", format!("/projects/{project}/webhooks/{OTHER}")),
            ("DELETE", format!("/projects/{project}/webhooks/not-an-id")),
            ("POST", format!("/projects/{project}/webhooks/{OTHER}/secret/rotate")),
        ]
    };
    let cases: Vec<(&str, Option<String>)> = vec![
        (&id, None),
        (&id, Some(String::new())),
        (&id, Some("Basic".into())),
        (&id, Some("Basic %%%".into())),
        (&id, Some("Basic bm9jb2xvbg==".into())),
        (&id, Some(basic(ID, "wrong"))),
        (&id, Some(basic(ID, ""))),
        (&id, Some(basic(OTHER, "other-secret"))),
        (&id, Some(basic(OTHER, SECRET))),
        (&id, Some(basic(NOBODY, SECRET))),
        (&id, Some("Bearer wrong-token-of-32-characters!!!!".into())),
        (&id, Some("Bearer ".into())),
        (&id, Some(format!("Digest {id}"))),
        ("0196-not-a-uuid", Some(anybody.clone())),
        ("%ff", Some(anybody.clone())),
    ];
    let mut answers = std::collections::HashSet::new();
    for (project, authorization) in &cases {
        for (method, path) in paths(project) {
            let headers: Vec<(&str, &str)> =
                authorization.as_deref().map(|value| ("authorization", value)).into_iter().collect();
            let reply = api.send(method, &path, &headers, EVENT).await;
            reply.is_problem(401, "unauthorized", "send HTTP Basic with the project's id");
            answers.insert(reply.text);
        }
    }
    let headers = [("authorization", &*basic(NOBODY, SECRET))];
    for (method, path) in paths(&NOBODY.to_string()) {
        let reply = api.send(method, &path, &headers, EVENT).await;
        reply.is_problem(401, "unauthorized", "");
        answers.insert(reply.text);
    }
    let twice = [("authorization", &*anybody), ("authorization", &*anybody)];
    api.send("POST", &events(), &twice, EVENT).await.is_problem(401, "unauthorized", "");
    assert_eq!(answers.len(), 1, "nobody learns which projects there are: {answers:?}");
    nothing_happened(&api);
}

#[tokio::test]
async fn an_operator_may_do_for_any_project_what_the_project_may() {
    let api = api();
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [("authorization", &*bearer)];
    for unknown in [NOBODY.to_string(), "not-a-uuid".to_owned()] {
        let path = format!("/projects/{unknown}/events");
        api.send("POST", &path, &headers, EVENT).await.is_problem(404, "not_found", "no such project");
        let path = format!("/projects/{unknown}/webhooks");
        api.send("GET", &path, &headers, "").await.is_problem(404, "not_found", "no such project");
    }
    assert_eq!(api.send("GET", &webhooks(), &headers, "").await.status.as_u16(), 200);
    nothing_happened(&api);
    api.send("POST", &events(), &headers, EVENT).await.is_accepted(false);
    api.send("POST", &events(), &[("authorization", &format!("bearer {OPERATOR}"))], EVENT).await.is_accepted(false);
    let closed = api_with(Settings { operator_token: None, ..settings() });
    closed.send("POST", &events(), &headers, EVENT).await.is_problem(401, "unauthorized", "");
    closed.send("GET", &webhooks(), &headers, "").await.is_problem(401, "unauthorized", "");
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_same_form() {
    let api = api();
    for path in ["/", "/projects", "/projects/", "/x", "/projects/a/webhooks/b/c", "/%ff"] {
        api.call("GET", path, "").await.is_problem(404, "not_found", "nothing at this path");
    }
    for (method, path, allow) in [
        ("GET", events(), "POST"),
        ("PUT", webhooks(), "GET,HEAD,POST"),
        ("OPTIONS", webhooks(), "GET,HEAD,POST"),
        ("PUT", format!("{}{OTHER}", webhooks()), "GET,HEAD,PATCH,DELETE"),
        ("DELETE", format!("/projects/{ID}"), "GET,HEAD"),
    ] {
        let reply = api.call(method, &path, "").await;
        reply.is_problem(405, "method_not_allowed", "Allow");
        assert_eq!(reply.header("allow"), Some(allow));
    }
    nothing_happened(&api);
}

#[tokio::test]
async fn urls_of_every_wrong_kind_are_refused_and_nothing_is_registered() {
    let api = api();
    let long = format!("https://example.com/{}", "a".repeat(2_048));
    for (url, says) in [
        ("", "is empty"),
        ("example.com", "not an absolute URL"),
        ("/hook", "not an absolute URL"),
        ("ftp://example.com/", "must be an http or https URL"),
        ("javascript:alert(1)", "must be an http or https URL"),
        ("file:///etc/passwd", "must be an http or https URL"),
        ("https://", "has no host"),
        ("https:example.com", "must have //"),
        ("https://example.com:99999/", "invalid port number"),
        ("https://[::1", "invalid IPv6"),
        ("https://exa mple.com/", "white space or control characters"),
        (" https://example.com/", "white space or control characters"),
        ("https://example.com/\r\nHost: evil", "white space or control characters"),
        (&long, "longer than 2048 bytes"),
    ] {
        let body = serde_json::json!({ "webhookUrl": url }).to_string();
        api.call("POST", &webhooks(), body).await.is_problem(422, "invalid_url", says);
    }
    for (body, code, says) in [
        ("", "invalid_body", "not valid JSON"),
        ("{", "invalid_body", "line 1"),
        ("[]", "invalid_body", "not a JSON object"),
        ("\u{feff}{}", "invalid_body", "not a JSON object"),
        ("{}", "invalid_url", "is missing"),
        (r#"{"webhookUrl":7}"#, "invalid_url", "not a string"),
        (r#"{"webhookUrl":"https://a.b/","eventTypes":[]}"#, "invalid_event_types", "1 to 100"),
    ] {
        api.call("POST", &webhooks(), body).await.is_problem(422, code, says);
    }
    let large = format!(r#"{{"webhookUrl":"https://a.b/","x":"{}"}}"#, "x".repeat(64 << 10));
    api.call("POST", &webhooks(), large).await.is_problem(413, "too_large", "65536");
    nothing_happened(&api);
}

#[tokio::test]
async fn an_idempotency_key_that_cannot_be_one_is_refused() {
    let api = api();
    for key in ["", "a b", &"k".repeat(256), "ü"] {
        api.keyed(key, EVENT).await.is_problem(422, "invalid_idempotency_key", "1 to 255 visible ASCII");
    }
    let authorization = basic(ID, SECRET);
    let twice = [("authorization", &*authorization), ("idempotency-key", "a"), ("idempotency-key", "b")];
    api.send("POST", &events(), &twice, EVENT).await.is_problem(422, "invalid_idempotency_key", "there once");
    nothing_happened(&api);
    api.keyed(&"k".repeat(255), EVENT).await.is_accepted(false);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let api = api();
    let chunks = [Ok(EVENT.as_bytes()), Err(std::io::Error::other("broken"))];
    let body = axum::body::Body::from_stream(futures::stream::iter(chunks));
    api.event(body).await.is_problem(400, "body_incomplete", "send the whole of it");
    nothing_happened(&api);
}

#[tokio::test]
async fn a_body_beyond_the_memory_for_bodies_is_sent_away_and_the_memory_comes_back() {
    let api = api_with(Settings { max_buffered: 100, ..settings() });
    for _ in 0..3 {
        let body = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(100));
        api.event(body).await.is_problem(503, "overloaded", "repeat");
        api.event(EVENT).await.is_accepted(false);
    }
}
