//! Metrics, health, and the commands beside a running server.

use std::time::Duration;

use serde_json::Value;
use spectrum_webhook_receiver::{Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Server, Settings, run};

use crate::world::{PATIENCE, accept, accept_texts, taken, text};

/// Fanned out = delivered + dead + dropped + pending, with what was there at the start and left behind at the end.
async fn adds_up(client: &Client) {
    let mut sums = Vec::new();
    for names in [
        &["deliveries_recovered_total", "deliveries_fanned_out_total"][..],
        &["deliveries_delivered_total", "deliveries_dead_total", "deliveries_dropped_total"],
        &["deliveries_released_total", "deliveries_pending"],
    ] {
        for name in names {
            sums.push((*name, client.metric(name).await));
        }
    }
    let sum = |range: &[(&str, i64)]| range.iter().map(|(_, value)| value).sum::<i64>();
    assert_eq!(sum(&sums[..2]), sum(&sums[2..]), "{sums:?}");
}

#[tokio::test]
async fn the_metrics_add_up_after_everything_that_can_happen_to_a_delivery() {
    let mut server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(|request: &Recorded| match request.path.as_str() {
        "/bad" => Reply::status(http::StatusCode::BAD_REQUEST),
        "/down" | "/dropped" => Reply::status(http::StatusCode::BAD_GATEWAY),
        _ => Reply::ok(),
    })
    .expect("a receiver");
    let project = server.create_project("sums").await;
    for path in ["/good", "/bad", "/down"] {
        client.register(&project, &receiver.url(path)).await;
    }
    let dropped = client.register(&project, &receiver.url("/dropped")).await;
    accept_texts(&client, &project, "sums", 10).await;
    client.wait_for_metric("deliveries_delivered_total", |delivered| delivered == 10, PATIENCE).await;
    client.wait_for_metric("deliveries_dead_total", |dead| dead == 10, PATIENCE).await;
    client.delete(&project, &dropped.id).await.expect_data(200);
    client.wait_for_metric("deliveries_dropped_total", |dropped| dropped == 10, PATIENCE).await;
    assert_eq!(client.metric("accepted_total").await, 10);
    assert_eq!(client.metric("deliveries_fanned_out_total").await, 40);
    assert_eq!(client.metric("deliveries_pending").await, 10);
    adds_up(&client).await;

    // The next start finds what rests.
    assert_eq!(server.terminate().await.0, Some(0));
    server.restart().await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 10, PATIENCE).await;
    receiver.behave(Always(Reply::ok()));
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    assert_eq!(client.metric("deliveries_delivered_total").await, 10);
    adds_up(&client).await;
}

#[tokio::test]
async fn metrics_health_and_readiness_are_served_apart_from_the_api() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.ops(path).await.expect("an answer").status, 200, "{path}");
    }
    let metrics = client.ops("/metrics").await.expect("an answer");
    assert!(metrics.header("content-type").starts_with("text/plain"), "{}", metrics.header("content-type"));
    let text = String::from_utf8(metrics.body.to_vec()).expect("UTF-8");
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() > 10, "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.starts_with("spectrum_webhook_") || line.starts_with("process_"), "{line}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let request = client.request(reqwest::Method::GET, path);
        let answer = client.send(request).await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path} is served to customers");
    }
}

#[tokio::test]
async fn check_config_reports_all_mistakes_at_once_and_serve_refuses_them() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let settings = Settings::default_on_free_ports()
        .set("SPECTRUM_ALLOW_HTTP", "yes")
        .set("SPECTRUM_ALLOW_NETWORKS", "10.0.0.0/8,nonsense")
        .set("SPECTRUM_RETRY_CAP", "10")
        .set("SPECTRUM_MASTER_KEY", "abcd-secret")
        .set("SPECTRUM_REDIS_URL", "redis://localhost")
        .set("SPECTRUM_ATEMPT_TIMEOUT", "1s");
    for command in ["check-config", "serve"] {
        let done = run(&settings, folder.path(), &[command]).await;
        assert!(done.code.is_some_and(|code| code != 0), "{command}: {done:?}");
        let said = format!("{}{}", done.stdout, done.stderr);
        for name in [
            "SPECTRUM_ALLOW_HTTP",
            "SPECTRUM_ALLOW_NETWORKS",
            "SPECTRUM_RETRY_CAP",
            "SPECTRUM_MASTER_KEY",
            "SPECTRUM_AMQP_URL",
            "SPECTRUM_DATABASE_URL",
            "SPECTRUM_ATEMPT_TIMEOUT",
        ] {
            assert!(said.contains(name), "{command} does not name {name}:\n{said}");
        }
        assert!(!said.contains("abcd-secret"), "{command} prints a secret:\n{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "something was written");

    let good = Settings::quick().set("SPECTRUM_MASTER_KEY", "ab".repeat(32));
    let done = run(&good, folder.path(), &["check-config"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.stdout.contains(&"ab".repeat(32)), "{}", done.stdout);
}

#[tokio::test]
async fn projects_are_created_listed_and_rotated_beside_a_running_server() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let mut project = server.create_project("beside").await;
    client.register(&project, &receiver.url("/")).await;
    accept(&client, &project, text("beside", 0)).await;
    taken(&receiver, "/", 1).await;

    let listed = server.command(&["project", "list"]).await.stdout;
    assert!(listed.contains(&project.id) && listed.contains("beside") && !listed.contains(&project.secret), "{listed}");

    let rotated = server.command(&["project", "rotate-secret", &project.id]).await.stdout;
    let rotated: Value = serde_json::from_str(&rotated).expect("one JSON object");
    let old = std::mem::replace(&mut project.secret, rotated["projectSecret"].as_str().expect("a secret").to_owned());
    assert_ne!(old, project.secret);
    // The new secret counts at once, the old one ends: for management at once, for posts within seconds.
    accept(&client, &project, text("beside", 1)).await;
    let stale = spectrum_webhook_testkit::process::Project { secret: old, ..project.clone() };
    assert_eq!(client.call(&stale, reqwest::Method::GET, "/webhooks/", None).await.status, 401);
    taken(&receiver, "/", 2).await;
}

#[tokio::test]
async fn a_project_that_is_deleted_beside_a_running_server_stops() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(100)))).expect("a receiver");
    let project = server.create_project("ending").await;
    client.register(&project, &receiver.url("/")).await;
    accept_texts(&client, &project, "ending", 200).await;
    server.command(&["project", "delete", &project.id]).await;

    // What waits is dropped, and counted.
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    let delivered = client.metric("deliveries_delivered_total").await;
    let dropped = client.metric("deliveries_dropped_total").await;
    assert_eq!(delivered + dropped, 200);
    assert!(dropped > 0, "everything was delivered although the project is deleted");
    adds_up(&client).await;

    // Its credentials end: for management at once, for posts within seconds.
    assert_eq!(client.call(&project, reqwest::Method::GET, "/", None).await.status, 401);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client.post(&project, text("ending", 999), None).await.expect("an answer").status != 401 {
        assert!(tokio::time::Instant::now() < deadline, "events of a deleted project are taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
