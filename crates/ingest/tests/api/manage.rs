//! Projects and webhooks: the contract's shapes, and changes that backends do not play along with.

use std::sync::atomic::Ordering::SeqCst;

use spectrum_webhook_ingest::Settings;

use crate::world::{Api, ID, NOBODY, NOW, NOW_ISO, OTHER, Reply, SECRET, api, api_with, basic, settings, webhooks};

const URL: &str = "HTTPS://Example.com:443/hook?a=ü&b=%2f#x";

async fn register(api: &Api, url: &str) -> (String, Reply) {
    let reply = api.call("POST", &webhooks(), serde_json::json!({ "webhookUrl": url }).to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let id = reply.json()["data"]["id"].as_str().expect("an id").to_owned();
    api.world.calls.lock().clear();
    (id, reply)
}

fn path(id: &str) -> String {
    format!("{}{id}", webhooks())
}

fn row(id: &str, url: &str) -> String {
    format!(
        r#"{{"id":"{id}","webhookUrl":"{url}","createdAt":"{NOW_ISO}","updatedAt":"{NOW_ISO}","enabled":true,"status":"enabled","disabledAt":null,"disabledReason":null,"eventTypes":null,"headerNames":[],"rateLimit":null,"attemptTimeoutSeconds":null,"ordering":"project"}}"#
    )
}

#[tokio::test]
async fn a_project_is_shown() {
    let api = api();
    for path in [format!("/projects/{ID}"), format!("/projects/{ID}/")] {
        let reply = api.call("GET", &path, "").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.text,
            format!(r#"{{"succeed":true,"data":{{"id":"{ID}","name":"Näme","createdAt":"{NOW_ISO}"}}}}"#)
        );
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_registration_shows_its_secrets_once_and_the_list_never() {
    let api = api();
    let (id, reply) = register(&api, URL).await;
    let data = &reply.json()["data"];
    let secret = data["signingSecret"].as_str().expect("a secret");
    let standard = data["standardSigningSecret"].as_str().expect("a secret");
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    use base64::Engine as _;
    assert_eq!(standard, format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(secret)));
    let shown = row(&id, URL)
        .replace(r#","createdAt""#, &format!(r#","signingSecret":"{secret}","createdAt""#))
        .replace(r#","headerNames""#, &format!(r#","standardSigningSecret":"{standard}","headerNames""#));
    assert_eq!(reply.text, format!(r#"{{"succeed":true,"data":{shown}}}"#));

    let (second, reply) = register(&api, "http://b.example/").await;
    assert_ne!(reply.json()["data"]["signingSecret"], secret);
    for path in [webhooks(), webhooks().trim_end_matches('/').to_owned()] {
        let list = api.call("GET", &path, "").await;
        let rows = format!("{},{}", row(&id, URL), row(&second, "http://b.example/"));
        assert_eq!(list.text, format!(r#"{{"succeed":true,"data":[{rows}]}}"#));
    }
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    assert_eq!(api().call("GET", &webhooks(), "").await.text, r#"{"succeed":true,"data":[]}"#);
}

#[tokio::test]
async fn a_registration_can_name_its_events() {
    let api = api();
    let body = r#"{"webhookUrl":"https://a.b/","eventTypes":["messages","x.y"],"unknown":{"a":[1e400]}}"#;
    let reply = api.call("POST", &webhooks(), body).await;
    assert_eq!(reply.json()["data"]["eventTypes"], serde_json::json!(["messages", "x.y"]));
}

#[tokio::test]
async fn a_webhooks_shape_is_shown_without_the_values_of_its_headers() {
    let api = api();
    let shape =
        r#""headers":{"X-Tenant":"t0p","authorization":"Bearer s3cret"},"rateLimit":7,"attemptTimeoutSeconds":5"#;
    let reply = api.call("POST", &webhooks(), format!(r#"{{"webhookUrl":"https://a.b/",{shape}}}"#)).await;
    let id = reply.json()["data"]["id"].as_str().expect("an id").to_owned();
    let shown =
        r#""headerNames":["authorization","X-Tenant"],"rateLimit":7,"attemptTimeoutSeconds":5,"ordering":"project"}"#;
    assert!(reply.text.contains(shown), "{}", reply.text);
    let list = api.call("GET", &webhooks(), "").await;
    let other = api.call("PATCH", &path(&id), r#"{"rateLimit":null,"attemptTimeoutSeconds":30}"#).await;
    assert!(list.text.contains(shown), "{}", list.text);
    let shown = r#""headerNames":["authorization","X-Tenant"],"rateLimit":null,"attemptTimeoutSeconds":30,"ordering":"project"}"#;
    assert!(other.text.contains(shown), "{}", other.text);
    let replaced = api.call("PATCH", &path(&id), r#"{"headers":{"x-b":"s3cret"}}"#).await;
    assert!(replaced.text.contains(r#""headerNames":["x-b"]"#), "{}", replaced.text);
    for reply in [reply, list, other, replaced] {
        assert!(!reply.text.contains("s3cret") && !reply.text.contains("t0p"), "{}", reply.text);
    }
    for none in ["null", "{}"] {
        let reply = api.call("PATCH", &path(&id), format!(r#"{{"headers":{none}}}"#)).await;
        assert!(reply.text.contains(r#""headerNames":[]"#), "{}", reply.text);
    }
    api.call("PATCH", &path(&id), r#"{"headers":{"Host":"s3cret"}}"#).await.is_problem(
        422,
        "invalid_headers",
        "\"Host\"",
    );
    for (sent, shown) in [("\"none\"", "none"), ("\"space\"", "space"), ("null", "project")] {
        let reply = api.call("PATCH", &path(&id), format!(r#"{{"ordering":{sent}}}"#)).await;
        assert_eq!(reply.json()["data"]["ordering"], shown);
    }
    let refused = [
        ("rateLimit", "invalid_rate_limit"),
        ("attemptTimeoutSeconds", "invalid_attempt_timeout"),
        ("ordering", "invalid_ordering"),
    ];
    for (field, code) in refused {
        api.call("PATCH", &path(&id), format!(r#"{{"{field}":1001}}"#)).await.is_problem(422, code, field);
    }
}

#[tokio::test]
async fn a_taken_url_is_refused_until_it_is_deleted_and_then_gets_a_new_id_and_secret() {
    let api = api();
    let (id, first) = register(&api, URL).await;
    let body = serde_json::json!({ "webhookUrl": URL }).to_string();
    api.call("POST", &webhooks(), body).await.is_problem(409, "url_taken", "already registered");
    assert_eq!(*api.world.calls.lock(), ["begin", "register", "end 8"], "the old version is restored");
    let (_, same_host) = register(&api, "https://example.com/hook?a=ü&b=%2f#x").await;
    assert_ne!(same_host.json()["data"]["id"], id.as_str(), "URLs are compared to the byte");
    assert_eq!(api.call("DELETE", &path(&id), "").await.status, 200);
    let (again, second) = register(&api, URL).await;
    assert_ne!(again, id);
    assert_ne!(first.json()["data"]["signingSecret"], second.json()["data"]["signingSecret"]);
}

#[tokio::test]
async fn a_deletion_answers_when_the_owner_has_confirmed_it() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    let reply = api.call("DELETE", &format!("{}/", path(&id)), "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text, format!(r#"{{"succeed":true,"data":{{"id":"{id}"}}}}"#));
    assert_eq!(*api.world.calls.lock(), ["begin", "delete", "end 9", "confirmed 9"]);
    assert!(api.world.webhooks().is_empty());
    api.call("DELETE", &path(&id), "").await.is_problem(404, "not_found", "it is deleted");
}

#[tokio::test]
async fn a_deletion_that_is_not_confirmed_says_so_until_it_is() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    api.world.unconfirmed.store(true, SeqCst);
    for _ in 0..2 {
        api.call("DELETE", &path(&id), "").await.is_problem(503, "not_confirmed", "the change is stored");
        assert!(api.world.webhooks().is_empty());
    }
    api.world.unconfirmed.store(false, SeqCst);
    api.call("DELETE", &path(&id), "").await.is_problem(404, "not_found", "");
}

#[tokio::test]
async fn unknown_webhooks_and_those_of_others_are_not_found() {
    let api = api();
    let (mine, _) = register(&api, URL).await;
    for id in ["not-a-uuid", &NOBODY.to_string(), "%ff", &format!("{{{mine}}}")] {
        let id = id.replace('{', "%7B").replace('}', "%7D");
        api.call("DELETE", &path(&id), "").await.is_problem(404, "not_found", "no such webhook");
        api.call("PATCH", &path(&id), "{}").await.is_problem(404, "not_found", "no such webhook");
        let rotate = format!("{}/secret/rotate", path(&id));
        api.call("POST", &rotate, "").await.is_problem(404, "not_found", "no such webhook");
    }
    let headers = [("authorization", &*basic(OTHER, "other-secret"))];
    let theirs = format!("/projects/{OTHER}/webhooks/{mine}");
    api.send("DELETE", &theirs, &headers, "").await.is_problem(404, "not_found", "");
    api.send("PATCH", &theirs, &headers, r#"{"enabled":false}"#).await.is_problem(404, "not_found", "");
    assert_eq!(api.world.webhooks().len(), 1);
    assert!(api.world.webhooks()[0].disabled.is_none());
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_waits_where_the_old_must_end() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    let reply = api.call("PATCH", &path(&id), r#"{"enabled":false}"#).await;
    assert_eq!(
        reply.text,
        format!(
            r#"{{"succeed":true,"data":{}}}"#,
            row(&id, URL).replace(
                r#""enabled":true,"status":"enabled","disabledAt":null,"disabledReason":null"#,
                &format!(r#""enabled":false,"status":"disabled","disabledAt":"{NOW_ISO}","disabledReason":"manual""#),
            )
        )
    );
    assert_eq!(*api.world.calls.lock(), ["begin", "patch", "end 9", "confirmed 9"]);
    api.world.calls.lock().clear();

    api.call("PATCH", &path(&id), r#"{"enabled":true,"eventTypes":["a"]}"#).await;
    assert_eq!(*api.world.calls.lock(), ["begin", "patch", "end 10"], "nothing old has to end");
    let webhook = api.world.webhooks().remove(0);
    assert_eq!((webhook.disabled, webhook.event_types), (None, Some(vec!["a".to_owned()])));
    api.world.calls.lock().clear();

    let reply =
        api.call("PATCH", &format!("{}/", path(&id)), r#"{"webhookUrl":"https://b.c/","eventTypes":null}"#).await;
    assert_eq!(reply.text, format!(r#"{{"succeed":true,"data":{}}}"#, row(&id, "https://b.c/")));
    assert_eq!(*api.world.calls.lock(), ["begin", "patch", "end 11", "confirmed 11"]);

    register(&api, "https://c.d/").await;
    api.call("PATCH", &path(&id), r#"{"webhookUrl":"https://c.d/"}"#).await.is_problem(409, "url_taken", "");
    for (body, code) in [
        (r#"{"webhookUrl":"nope"}"#, "invalid_url"),
        (r#"{"webhookUrl":null}"#, "invalid_url"),
        (r#"{"enabled":"false"}"#, "invalid_body"),
        (r#"{"eventTypes":[]}"#, "invalid_event_types"),
        ("", "invalid_body"),
        ("[]", "invalid_body"),
    ] {
        api.call("PATCH", &path(&id), body).await.is_problem(422, code, "");
    }
    assert_eq!(api.world.webhooks()[0].url, "https://b.c/");
}

#[tokio::test]
async fn a_patch_that_is_not_confirmed_can_be_repeated() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    api.world.unconfirmed.store(true, SeqCst);
    api.call("PATCH", &path(&id), r#"{"enabled":false}"#).await.is_problem(503, "not_confirmed", "repeat");
    api.world.unconfirmed.store(false, SeqCst);
    assert_eq!(api.call("PATCH", &path(&id), r#"{"enabled":false}"#).await.status, 200);
}

#[tokio::test]
async fn a_rotation_shows_the_new_secrets_once() {
    let api = api();
    let (id, first) = register(&api, URL).await;
    let rotate = format!("{}/secret/rotate", path(&id));
    for (body, overlap, expires) in [
        ("", 86_400, r#""2026-01-03T03:04:05.678Z""#),
        ("{}", 86_400, r#""2026-01-03T03:04:05.678Z""#),
        (r#"{"overlapSeconds":604800}"#, 604_800, r#""2026-01-09T03:04:05.678Z""#),
        (r#"{"overlapSeconds":0}"#, 0, "null"),
    ] {
        api.world.calls.lock().clear();
        let reply = api.call("POST", &rotate, body).await;
        let (webhook, secret, until) = api.world.rotations.lock().pop().expect("a rotation");
        assert_eq!((webhook.to_string(), until.0), (id.clone(), NOW.0 + overlap * 1_000));
        assert_eq!(
            reply.text,
            format!(
                r#"{{"succeed":true,"data":{{"id":"{id}","signingSecret":"{}","standardSigningSecret":"{}","previousSecretExpiresAt":{expires},"updatedAt":"{NOW_ISO}"}}}}"#,
                secret.expose(),
                secret.expose_standard()
            )
        );
        assert_ne!(first.json()["data"]["signingSecret"], secret.expose());
        let waits = api.world.calls.lock().iter().any(|call| call.starts_with("confirmed"));
        assert_eq!(waits, overlap == 0, "without an overlap the old key must end");
    }
    for body in [r#"{"overlapSeconds":604801}"#, r#"{"overlapSeconds":-1}"#, r#"{"overlapSeconds":1.5}"#] {
        api.call("POST", &rotate, body).await.is_problem(422, "invalid_overlap", "0 to 604800");
    }
    api.call("POST", &format!("{rotate}/"), "x").await.is_problem(422, "invalid_body", "");
    assert!(api.world.rotations.lock().is_empty());
}

#[tokio::test]
async fn without_announcements_nothing_is_changed() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    api.world.begin_change_fails.store(true, SeqCst);
    for (method, path, body) in [
        ("POST", webhooks(), r#"{"webhookUrl":"https://new.example/"}"#),
        ("PATCH", path(&id), r#"{"enabled":false}"#),
        ("DELETE", path(&id), ""),
        ("POST", format!("{}/secret/rotate", path(&id)), ""),
    ] {
        let reply = api.call(method, &path, body).await;
        reply.is_problem(503, "unavailable", "nothing was changed");
        assert!(!reply.text.contains("hidden detail"));
    }
    assert!(api.world.calls.lock().iter().all(|call| call == "begin"));
    assert_eq!(api.world.webhooks().len(), 1);
}

#[tokio::test]
async fn a_change_that_could_not_be_announced_still_succeeds() {
    let api = api();
    api.world.end_change_fails.store(true, SeqCst);
    let (id, _) = register(&api, URL).await;
    assert_eq!(api.call("DELETE", &path(&id), "").await.status, 200);
}

#[tokio::test]
async fn a_change_of_unknown_outcome_leaves_no_version_to_be_trusted() {
    let api = api();
    let (id, _) = register(&api, URL).await;
    api.world.changes_fail.store(true, SeqCst);
    for (method, path, body, says) in [
        ("POST", webhooks(), r#"{"webhookUrl":"https://new.example/"}"#, "list the webhooks"),
        ("DELETE", path(&id), "", "may have been stored"),
        ("POST", format!("{}/secret/rotate", path(&id)), "", "repeat"),
    ] {
        api.world.calls.lock().clear();
        api.call(method, &path, body).await.is_problem(503, "unavailable", says);
        assert!(api.world.calls.lock().iter().all(|call| !call.starts_with("end")), "{method} {path}");
    }
}

#[tokio::test]
async fn a_directory_that_is_down_is_told_without_its_details() {
    let api = api();
    api.world.directory_fails.store(true, SeqCst);
    let reply = api.call("GET", &webhooks(), "").await;
    reply.is_problem(503, "unavailable", "repeat");
    assert!(!reply.text.contains("hidden detail"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_management_body_is_ended() {
    let api = api_with(Settings { ..settings() });
    let body = axum::body::Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let headers = [("authorization", &*basic(ID, SECRET))];
    api.send("POST", &webhooks(), &headers, body).await.is_problem(408, "body_timeout", "within 30 s");
}
