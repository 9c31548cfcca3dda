//! The management API: register, list, change, delete.

use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};

use crate::world::{accept, all_arrive, taken, text};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// ISO 8601 in UTC.
fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'))
}

#[tokio::test]
async fn a_webhook_is_registered_listed_and_deleted_as_the_contract_says() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("Käse & Co").await;

    let data = client.call(&project, Method::GET, "/", None).await.expect_data(200);
    assert_eq!((&data["id"], &data["name"]), (&json!(project.id), &json!("Käse & Co")));
    assert_eq!(client.list(&project).await, Vec::<Value>::new());

    // Echoed to the byte, however a parser would have written it.
    let url = "HTTPS://Example.COM:443/a/../b%7e?q=1#x";
    let first = client.register_with(&project, &json!({ "webhookUrl": url, "surprise": [1] })).await;
    let full = [
        "attemptTimeoutSeconds",
        "createdAt",
        "disabledAt",
        "disabledReason",
        "enabled",
        "eventTypes",
        "headerNames",
        "id",
        "ordering",
        "rateLimit",
        "signingSecret",
        "standardSigningSecret",
        "status",
        "updatedAt",
        "webhookUrl",
    ];
    assert_eq!(keys(&first.data), full);
    assert_eq!(first.data["webhookUrl"], url);
    assert_eq!((&first.data["enabled"], &first.data["eventTypes"]), (&json!(true), &Value::Null));
    assert!(is_time(&first.data["createdAt"]) && is_time(&first.data["updatedAt"]), "{}", first.data);
    assert!(first.secret.len() == 64 && first.secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));

    let taken = client.call(&project, Method::POST, "/webhooks", Some(&json!({ "webhookUrl": url }))).await;
    assert_eq!(
        (taken.status, taken.code().as_str(), taken.json()["succeed"].clone()),
        (409, "url_taken", json!(false))
    );
    let second = client.register(&project, "https://example.com/b%7E?q=1").await;

    // Oldest first, and no secret ever again.
    for path in ["/webhooks/", "/webhooks"] {
        let listed = client.call(&project, Method::GET, path, None).await.expect_data(200);
        let listed = listed.as_array().expect("a list");
        assert_eq!(listed.iter().map(|hook| &hook["id"]).collect::<Vec<_>>(), [&json!(first.id), &json!(second.id)]);
        let without: Vec<_> = full.into_iter().filter(|key| !key.to_lowercase().contains("secret")).collect();
        assert_eq!(keys(&listed[0]), without);
        for hook in [&first, &second] {
            assert!(!listed.iter().any(|listed| listed.to_string().contains(&hook.secret)));
        }
    }

    assert_eq!(client.delete(&project, &first.id).await.expect_data(200), json!({ "id": first.id }));
    for answer in [
        client.delete(&project, &first.id).await,
        client.delete(&project, "01890000-0000-7000-8000-000000000000").await,
        client.delete(&project, "nonsense").await,
        client.patch(&project, &first.id, &json!({ "enabled": true })).await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{:?}", answer.json());
        assert!(!answer.message().is_empty());
    }
    // The same URL again: another id, another secret.
    let again = client.register(&project, url).await;
    assert!(again.id != first.id && again.secret != first.secret);
    let ids: Vec<Value> = client.list(&project).await.iter().map(|hook| hook["id"].clone()).collect();
    assert_eq!(ids, [json!(second.id), json!(again.id)]);
}

#[tokio::test]
async fn a_change_is_answered_with_what_it_made_and_a_taken_url_is_a_conflict() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("changes").await;
    let first = client.register(&project, &receiver.url("/first")).await;
    let second = client.register(&project, &receiver.url("/second")).await;

    let conflict = client.patch(&project, &first.id, &json!({ "webhookUrl": second.url })).await;
    assert_eq!((conflict.status, conflict.code().as_str()), (409, "url_taken"));
    let moved = client.patch(&project, &first.id, &json!({ "webhookUrl": receiver.url("/moved") })).await;
    let moved = moved.expect_data(200);
    assert_eq!((&moved["id"], &moved["webhookUrl"]), (&json!(first.id), &json!(receiver.url("/moved"))));
    assert!(!moved.to_string().contains(&first.secret));

    // The event types are those of later events; the other webhook takes all.
    let chosen = client.patch(&project, &first.id, &json!({ "eventTypes": ["calls", "messages.v2"] })).await;
    assert_eq!(chosen.expect_data(200)["eventTypes"], json!(["calls", "messages.v2"]));
    let mut accepted = Vec::new();
    for (number, event) in ["messages", "calls", "messages.v2", "CALLS", "calls"].into_iter().enumerate() {
        let body = format!(r#"{{"event":"{event}","number":{number}}}"#);
        accepted.push(accept(&client, &project, body.into()).await);
    }
    all_arrive(&receiver, &second, &accepted).await;
    taken(&receiver, "/moved", 3).await;
    let back = client.patch(&project, &first.id, &json!({ "eventTypes": null })).await.expect_data(200);
    assert_eq!(back["eventTypes"], Value::Null);
    let last = accept(&client, &project, text("changes", 0)).await;
    taken(&receiver, "/moved", 4).await;

    // The key stayed, the old URL got nothing.
    let expected: Vec<_> = [1, 2, 4].into_iter().map(|at: usize| accepted[at].clone()).chain([last]).collect();
    let moved = spectrum_webhook_testkit::process::Hook { url: receiver.url("/moved"), ..first };
    all_arrive(&receiver, &moved, &expected).await;
    assert_eq!(receiver.look(|memory| memory.count("/first").requests), 0);
}

#[tokio::test]
async fn an_event_is_for_the_webhooks_that_were_there_when_it_was_accepted() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("late").await;
    let early = client.register(&project, &receiver.url("/early")).await;
    let mut accepted = Vec::new();
    for number in 0..20 {
        accepted.push(accept(&client, &project, text("late", number)).await);
    }
    let late = client.register(&project, &receiver.url("/late")).await;
    for number in 20..25 {
        accepted.push(accept(&client, &project, text("late", number)).await);
    }
    all_arrive(&receiver, &early, &accepted).await;
    all_arrive(&receiver, &late, &accepted[20..]).await;
}
