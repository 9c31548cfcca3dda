//! Secrets: none of those used in a run stands in the clear in logs, metrics, answers, the delivery log, dead letters,
//! what commands print, or in what is stored; whatever goes wrong meanwhile.
//!
//! A webhook's URL is the project's own, shown and stored as it was sent, with the password and the token in it; it is
//! looked for everywhere else.

mod needles;

use std::path::Path;
use std::time::{Duration, Instant};

use http::StatusCode;
use needles::Needles;
use rand::distr::{Alphanumeric, SampleString as _};
use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::webhook::SigningSecret;
use spectrum_webhook_receiver::{Key, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings, run};
use spectrum_webhook_testkit::services::shared;

use crate::steer::wait_for_letters;
use crate::world::{PATIENCE, accept, on_both, requests, text};

fn made_up() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

/// An endpoint that refuses everything, and answers with the headers that it got.
fn echo() -> Receiver {
    let answer = |request: &Recorded| {
        let headers =
            request.headers.0.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
        Reply::status(StatusCode::BAD_REQUEST).body(headers.collect::<Vec<_>>().join("\n"))
    };
    Receiver::on_loopback(answer).expect("a receiver")
}

/// A receiver's URL with credentials and a token.
fn url(receiver: &Receiver, path: &str, password: &str, token: &str) -> String {
    receiver.url(&format!("{path}?token={token}")).replace("://", &format!("://user:{password}@"))
}

struct Secrets {
    /// Nowhere.
    hidden: Needles,
    /// Parts of webhooks' URLs.
    in_urls: Needles,
}

/// Webhooks with secrets of all kinds, deliveries that fail in several ways, a rotation. Paths of the webhooks whose
/// deliveries are refused are `/a` and `/b`.
async fn deliveries(client: &Client, project: &Project, receiver: &Receiver) -> Secrets {
    let (mut hidden, mut in_urls) = (Needles::default(), Needles::default());
    hidden.add("the project's secret", &project.secret);
    let (key, bearer, password, token) = (made_up(), made_up(), made_up(), made_up());
    let headers = json!({ "X-Api-Key": key, "Authorization": format!("Bearer {bearer}") });
    hidden.add("a webhook's header", &key);
    hidden.add("a webhook's token", &bearer);
    in_urls.add("a URL's password", &password);
    in_urls.add("a URL's token", &token);

    let hook = json!({ "webhookUrl": receiver.url("/a"), "headers": headers });
    let a = client.register_with(project, &hook).await;
    let b = client.register(project, &url(receiver, "/b", &password, &token)).await;
    // Nobody listens there.
    let c = format!("http://user:{password}@127.0.0.1:9/c?token={token}");
    let c = client.register(project, &c).await;
    let rotated = client.call(project, Method::POST, &format!("/webhooks/{}/secret/rotate", a.id), None).await;
    let rotated = rotated.expect_data(200)["signingSecret"].as_str().expect("a secret").to_owned();
    for secret in [&a.secret, &b.secret, &c.secret, &rotated] {
        hidden.add("a signing secret", secret);
    }
    accept(client, project, text("secrets", 0)).await;
    requests(receiver, "/a", 1).await;
    requests(receiver, &format!("/b?token={token}"), 1).await;
    wait_for_letters(client, project, 2).await;
    // The delivery log is written beside, some time later.
    let begun = Instant::now();
    while !client.call(project, Method::GET, "/attempts", None).await.json().to_string().contains("x-api-key") {
        assert!(begun.elapsed() < PATIENCE, "the attempt is not in the delivery log");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    receiver.look(|memory| {
        let sent = memory.at("/a").next().expect("a request");
        assert_eq!(sent.headers.get("x-api-key"), Some(key.as_str()), "it was used");
        assert!(Key::of(&rotated).is_ok());
    });
    Secrets { hidden, in_urls }
}

/// Calls that are refused, with secrets where they should not be: what is answered.
async fn refusals(client: &Client, project: &Project, hidden: &mut Needles) -> String {
    let (wrong, operator, value) = (made_up(), made_up(), made_up());
    hidden.add("a wrong secret", &wrong);
    hidden.add("a wrong token", &operator);
    hidden.add("a value that is no header's", &value);
    let path = format!("/projects/{}/webhooks", project.id);
    let get = || client.request(Method::GET, &path);
    let post = || client.request(Method::POST, &path).basic_auth(&project.id, Some(&project.secret));
    let broken = format!("{{\"webhookUrl\":\"https://a.example\",\"headers\":{{\"X-Key\":\"{value}\"");
    let calls = [
        (401, get()),
        (401, get().basic_auth(&project.id, Some(&wrong))),
        (401, get().basic_auth(&wrong, Some(&project.secret))),
        (401, get().bearer_auth(&operator)),
        (401, get().header("authorization", format!("Token {}", project.secret))),
        (401, get().header("authorization", format!("Basic {wrong}"))),
        (422, post().body(broken)),
        (
            422,
            post().body(
                json!({ "webhookUrl": "https://a.example", "headers": { "X-Key": format!("{value}\n") } }).to_string(),
            ),
        ),
        (422, post().body(json!({ "webhookUrl": "https://a.example", "headers": [value] }).to_string())),
        (422, post().body(json!({ "webhookUrl": format!("ftp://user:{value}@a.example") }).to_string())),
        (422, post().body(json!({ "webhookUrl": format!("https://user:{value}@") }).to_string())),
        (422, post().body(json!({ "webhookUrl": [value] }).to_string())),
    ];
    let mut answers = String::new();
    for (status, call) in calls {
        let answer = client.send(call).await.expect("an answer");
        answers.push_str(&format!("{:?} {}\n", answer.headers, String::from_utf8_lossy(&answer.body)));
        assert_eq!(answer.status, status, "{answers}");
    }
    answers
}

/// The same without the fields that show a project its webhooks' URLs.
fn without_urls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let others = fields.into_iter().filter(|(name, _)| name != "webhookUrl");
            others.map(|(name, value)| (name, without_urls(value))).collect()
        }
        Value::Array(values) => values.into_iter().map(without_urls).collect(),
        value => value,
    }
}

/// What the API tells a project about its deliveries, and operators about the server.
async fn told(client: &Client, project: &Project) -> String {
    let mut told = String::new();
    let letters = wait_for_letters(client, project, 2).await;
    let mut paths = vec!["/attempts".to_owned(), "/dead-letters".to_owned(), String::new()];
    for letter in &letters {
        let (hook, id) = (letter["webhookId"].as_str().expect("an id"), letter["id"].as_str().expect("an id"));
        paths.push(format!("/webhooks/{hook}/dead-letters/{id}"));
        paths.push(format!("/webhooks/{hook}/steerings"));
        paths.push(format!("/events/{id}"));
    }
    for path in paths {
        let answer = client.call(project, Method::GET, &path, None).await;
        told.push_str(&format!("{path}: {}\n", without_urls(answer.expect_data(200))));
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = client.ops(path).await.expect("an answer");
        told.push_str(&String::from_utf8_lossy(&answer.body));
    }
    told
}

/// What commands print, beside the server and as its client.
async fn printed(server: &Server, project: &Project) -> String {
    let client = server
        .settings()
        .clone()
        .set("SPECTRUM_URL", format!("http://{}", server.api()))
        .set("SPECTRUM_PROJECT_ID", &project.id)
        .set("SPECTRUM_PROJECT_SECRET", &project.secret);
    let wrong = client.clone().set("SPECTRUM_PROJECT_SECRET", made_up());
    let mut printed = String::new();
    for (settings, words) in [
        (&client, &["check-config"][..]),
        (&client, &["project", "list"]),
        (&client, &["attempts"]),
        (&client, &["dead-letters", "list"]),
        (&wrong, &["attempts"]),
    ] {
        let done = run(settings, server.folder(), words).await;
        printed.push_str(&format!("{words:?}: {}\n{}{}", done.code.unwrap_or(-1), done.stdout, done.stderr));
    }
    printed
}

/// What the services of a cluster have on their disks.
async fn stored_in_services(hidden: &Needles) {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    tokio::task::block_in_place(|| {
        hidden.none_in_files("RabbitMQ's folder", rabbit.folder());
        let folder = postgres.execute("/postgres", "SHOW data_directory");
        hidden.none_in_files("PostgreSQL's folder", Path::new(folder.trim()));
        redis.command(0, &["SAVE"]);
        let folder = redis.command(0, &["CONFIG", "GET", "dir"]);
        hidden.none_in_files("Redis's folder", Path::new(folder.lines().nth(1).expect("a folder")));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_run_is_in_the_clear_anywhere() {
    let operator = made_up();
    let master: String = rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    // Nobody listens there: spans are tried to be sent.
    let collector = made_up();
    let to_collector = format!("authorization=Bearer%20{collector}");
    let settings = [
        ("SPECTRUM_LOG", "trace"),
        ("SPECTRUM_OPERATOR_TOKEN", operator.as_str()),
        ("SPECTRUM_MASTER_KEY", master.as_str()),
        ("SPECTRUM_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("SPECTRUM_OTLP_HEADERS", to_collector.as_str()),
    ];
    on_both(&settings, async |mut server| {
        let (client, receiver) = (server.client(), echo());
        let project = server.create_project("secrets").await;
        let Secrets { mut hidden, in_urls } = deliveries(&client, &project, &receiver).await;
        hidden.add("the operator's token", &operator);
        hidden.add("the master key", &master);
        hidden.add("the collector's token", &collector);
        let path = format!("/projects/{}", project.id);
        let asked = client.send(client.request(Method::GET, &path).bearer_auth(&operator)).await.expect("an answer");
        assert_eq!(asked.status, 200);

        let refused = refusals(&client, &project, &mut hidden).await;
        let hooks = Value::Array(client.list(&project).await).to_string();
        let told = told(&client, &project).await;
        let printed = printed(&server, &project).await;
        let folder = server.folder().to_owned();
        if let Some(amqp) = server.settings().get("SPECTRUM_AMQP_URL").map(str::to_owned) {
            stored_in_services(&hidden).await;
            // They know their own passwords; nothing else does.
            let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
            assert!(amqp.contains(rabbit.password()));
            for password in [rabbit.password(), redis.password(), postgres.password()] {
                hidden.add("a service's password", password);
            }
        }
        server.terminate().await;
        let log = server.log().lines();
        assert!(log.len() < 50_000, "some of the log is lost");
        assert!(log.iter().any(|line| line.contains("TRACE")), "it says all");
        // What the endpoint answered is there, but for the header's value.
        assert!(told.contains("x-api-key: (hidden)"), "{told}");

        let everywhere = hidden.clone().and(&in_urls);
        everywhere.none_in("the log", &log.join("\n"));
        everywhere.none_in("a refusal", &refused);
        everywhere.none_in("what the API tells", &told);
        everywhere.none_in("what commands print", &printed);
        hidden.none_in("the list of webhooks", &hooks);
        hidden.none_in_files("the data folder", &folder);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_the_settings_is_shown_when_a_start_fails() {
    let secret = made_up();
    let mut hidden = Needles::default();
    hidden.add("a secret of the settings", &secret);
    let quick = || Settings::quick().set("SPECTRUM_MASTER_KEY", "5c".repeat(32));
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let cluster = crate::cluster::settings(&rabbit.url(), &redis.url(), &postgres.database().await);
    let cluster = |name: &str, url: &str| cluster.clone().set(name, url.replace("SECRET", &secret));
    for settings in [
        quick().set("SPECTRUM_MASTER_KEY", &secret),
        quick().set("SPECTRUM_MASTER_KEY_OTHERS", format!("{},{secret}", "6d".repeat(32))),
        quick().set("SPECTRUM_OPERATOR_TOKEN", format!("{secret} ")),
        quick().set("SPECTRUM_DATABASE_URL", format!("mysql://u:{secret}@h/d")),
        quick().set("SPECTRUM_OTLP_ENDPOINT", format!("http://u:{secret}@h")),
        quick().set("SPECTRUM_OTLP_ENDPOINT", "http://h").set("SPECTRUM_OTLP_HEADERS", format!("a:{secret}")),
        quick().set("SPECTRUM_REDIS_URL", &secret).set("SPECTRUM_LEASE", "soon"),
        cluster("SPECTRUM_DATABASE_URL", "postgres://u:SECRET@[::1/d"),
        cluster("SPECTRUM_AMQP_URL", "amqp://u:SECRET@h:port/v"),
        cluster("SPECTRUM_AMQP_URL", &format!("amqp://spectrum:SECRET@{}/%2f", rabbit.addresses()[0])),
        cluster("SPECTRUM_REDIS_URL", "redis://u:SECRET@h/zero"),
        cluster("SPECTRUM_REDIS_URL", &format!("redis://:SECRET@{}", redis.address(0))),
    ] {
        let settings = settings.set("SPECTRUM_LOG", "trace");
        let (code, log) = Server::refused_as("serve", settings).await;
        assert!(code.is_some_and(|code| code != 0), "{log}");
        hidden.none_in("the words of a failed start", &log);
    }
}

#[test]
fn what_holds_secrets_prints_none_of_them() {
    let mut hidden = Needles::default();
    let (secret, value) = (SigningSecret::from_random([0xa7; 32]), made_up());
    hidden.add("a signing secret", secret.expose());
    hidden.add("a header's value", &value);
    let headers = CustomHeaders::new([("X-Key".to_owned(), value.clone())]).expect("headers");
    hidden.none_in("debug output", &format!("{secret:?} {headers:?} {:?}", Some((&secret, &headers))));
    let key = Key::of(secret.expose()).expect("a key");
    hidden.none_in("debug output", &format!("{key:?}"));
}
