//! Registrations and changes of webhooks.

use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_testkit::process::{Server, Settings};

#[tokio::test]
async fn urls_and_bodies_of_every_wrong_kind_are_refused_and_nothing_is_registered() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("urls").await;
    let urls = [
        "",
        " ",
        "example.com",
        "/path",
        "//example.com/",
        "https://",
        "https:///path",
        "http://:80/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ws://example.com/",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://[::g]/",
        "https://%00/",
        "https://exa\nmple.com/",
        "https://256.256.256.256/",
        "https://<script>/",
    ];
    for url in urls {
        let answer = client.call(&project, Method::POST, "/webhooks/", Some(&json!({ "webhookUrl": url }))).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_url"), "{url:?}: {}", answer.json());
        assert!(!answer.message().is_empty() && answer.json()["succeed"] == false);
    }
    let long = json!({ "webhookUrl": format!("https://example.com/{}", "x".repeat(100_000)) });
    let answer = client.call(&project, Method::POST, "/webhooks/", Some(&long)).await;
    assert!([413, 422].contains(&answer.status), "{}", answer.json());

    let bodies = [
        "",
        "nonsense",
        "[]",
        "null",
        "\"https://example.com/\"",
        "{}",
        r#"{"webhookUrl":null}"#,
        r#"{"webhookUrl":17}"#,
        r#"{"webhookUrl":["https://example.com/"]}"#,
        r#"{"url":"https://example.com/"}"#,
    ];
    for body in bodies {
        let request = client
            .request(Method::POST, &format!("/projects/{}/webhooks/", project.id))
            .basic_auth(&project.id, Some(&project.secret))
            .header("content-type", "application/json")
            .body(body);
        let answer = client.send(request).await.expect("an answer");
        assert_eq!(answer.status, 422, "{body:?}: {}", answer.json());
        assert!(!answer.code().is_empty() && !answer.message().is_empty(), "{body:?}");
    }
    assert_eq!(client.list(&project).await, Vec::<Value>::new());
}

#[tokio::test]
async fn changes_that_are_refused_change_nothing() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("changes").await;
    let other = server.create_project("other").await;
    let hook = client.register(&project, "https://example.com/one").await;
    let before = client.list(&project).await;
    for body in [
        json!({ "webhookUrl": "ftp://example.com/" }),
        json!({ "webhookUrl": 17 }),
        json!({ "enabled": "yes" }),
        json!({ "eventTypes": "messages" }),
        json!({ "eventTypes": [1] }),
        json!({ "eventTypes": ["with space"] }),
        json!({ "eventTypes": [""] }),
        json!([]),
    ] {
        let answer = client.patch(&project, &hook.id, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.json());
        assert!(!answer.code().is_empty() && !answer.message().is_empty(), "{body}");
    }
    for seconds in [json!(-1), json!(604_801), json!("60"), json!(1.5)] {
        let path = format!("/webhooks/{}/secret/rotate", hook.id);
        let answer = client.call(&project, Method::POST, &path, Some(&json!({ "overlapSeconds": seconds }))).await;
        assert_eq!(answer.status, 422, "{seconds}: {}", answer.json());
    }
    // Another project's webhook does not exist, whoever asks.
    for answer in [
        client.patch(&other, &hook.id, &json!({ "enabled": false })).await,
        client.delete(&other, &hook.id).await,
        client.call(&other, Method::POST, &format!("/webhooks/{}/secret/rotate", hook.id), Some(&json!({}))).await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
    }
    assert_eq!(client.list(&project).await, before);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_answered_like_any_error() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("paths").await;
    for (method, path, status, code) in [
        (Method::GET, "/".to_owned(), 404, "not_found"),
        (Method::GET, "/projects".to_owned(), 404, "not_found"),
        (Method::POST, format!("/projects/{}/nothing", project.id), 404, "not_found"),
        (Method::PUT, format!("/projects/{}/webhooks/", project.id), 405, "method_not_allowed"),
        (Method::GET, format!("/projects/{}/events", project.id), 405, "method_not_allowed"),
        (Method::GET, "/projects/nonsense/webhooks/".to_owned(), 401, "unauthorized"),
    ] {
        let request = client.request(method, &path).basic_auth(&project.id, Some(&project.secret));
        let answer = client.send(request).await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert!(!answer.message().is_empty());
    }
}
