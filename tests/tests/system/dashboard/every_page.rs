//! Every page, with content that means harm in each place that shows some: nothing of it runs, everyone can use the page,
//! and it stays quick.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server};

use super::browser::Browser;
use super::{OPERATOR, SETTINGS, at, line, page};
use crate::world::{PATIENCE, accept, on_both};

/// It marks the window if it runs, and asks the policy if it is HTML at all.
const HARM: &str = r#""'></pre></textarea><script>window.ran=1</script><img src=x onerror="window.ran=1"><style>*{display:none}</style>"#;

/// A scene with something on every page.
struct Scene {
    project: Project,
    event: String,
    pages: Vec<String>,
}

async fn scene(server: &Server, receiver: &Receiver) -> Scene {
    let (client, project) = (server.client(), server.create_project(HARM).await);
    let query: String = url::form_urlencoded::byte_serialize(HARM.as_bytes()).collect();
    let good = client.register(&project, &receiver.url(&format!("/good?{query}"))).await;
    let refusing = client.register(&project, &receiver.url("/refusing")).await;
    let down = client.register(&project, &receiver.url("/down")).await;
    let body = json!({ "event": "<script>window.ran=1</script>", HARM: HARM, "message": { "id": HARM } });
    let event = accept(&client, &project, body.to_string().into()).await.id;
    for number in 0..3 {
        accept(&client, &project, crate::world::text("page", number)).await;
    }
    dead(&client, 4).await;
    let reason = json!({ "what": "all", "reason": HARM, "ratePerSecond": 1 });
    let replays = format!("/webhooks/{}/replays", good.id);
    client.call(&project, reqwest::Method::POST, &replays, Some(&reason)).await.expect_data(202);
    let resumed = client
        .call(
            &project,
            reqwest::Method::POST,
            &format!("/webhooks/{}/resume", down.id),
            Some(&json!({ "reason": HARM })),
        )
        .await;
    assert!(resumed.status < 300, "{}", resumed.message());
    client.call(&project, reqwest::Method::POST, &format!("/webhooks/{}/check", refusing.id), None).await;
    let attempt = attempt(&client, &project, &refusing.id).await;
    let pages = vec![
        page(&project, ""),
        page(&project, "/add"),
        page(&project, "/log"),
        page(&project, &format!("/log?type={query}&event={query}&status={query}")),
        page(&project, "/signature"),
        page(&project, "/dead-letters"),
        page(&project, &format!("/dead-letters/{}/{event}", refusing.id)),
        page(&project, &format!("/events/{event}")),
        page(&project, &format!("/webhooks/{}", good.id)),
        page(&project, &format!("/webhooks/{}", refusing.id)),
        page(&project, &format!("/webhooks/{}?span=day", down.id)),
        page(&project, &replays),
        page(&project, &attempt),
        page(&project, &format!("/{query}")),
    ];
    Scene { project, event, pages }
}

/// Waits until so many deliveries are dead letters.
async fn dead(client: &Client, count: i64) {
    client.wait_for_metric("deliveries_dead_total", |dead| dead >= count, PATIENCE).await;
}

/// The path of the page of an attempt, once the log has one.
async fn attempt(client: &Client, project: &Project, webhook: &str) -> String {
    let begun = Instant::now();
    loop {
        let list = client.call(project, reqwest::Method::GET, &format!("/attempts?webhook={webhook}"), None).await;
        if let Some(Value::Object(one)) = list.expect_data(200).as_array().and_then(|all| all.last()) {
            let started = one["startedAt"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
            let started = started.as_millisecond();
            return format!("/webhooks/{webhook}/attempts/{}/{started}/1", one["eventId"].as_str().expect("an id"));
        }
        assert!(begun.elapsed() < PATIENCE, "the log has no attempt");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn answers(request: &Recorded) -> Reply {
    match request.path.split('?').next() {
        Some("/refusing") => Reply::status(StatusCode::UNPROCESSABLE_ENTITY).body(HARM),
        Some("/down") => Reply::status(StatusCode::BAD_GATEWAY).body(HARM),
        _ => Reply::ok().body(HARM),
    }
}

/// The page can be used by everyone, in this look.
async fn is_usable(browser: &Browser, page: &str, width: u32, dark: bool) {
    browser.look(width, dark).await;
    assert!(!browser.overflows().await, "{page} is wider than {width}");
    let barriers = browser.barriers().await;
    assert!(barriers.is_empty(), "{page}, {width} wide, dark: {dark}: {barriers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_content_runs_nowhere_and_every_page_is_for_everyone() {
    on_both(&SETTINGS, async |server| {
        let receiver = Receiver::on_loopback(answers).expect("a receiver");
        let Scene { project, event, pages } = scene(&server, &receiver).await;
        let browser = at(&server).await;
        browser.go("/dashboard/sign-in").await;
        is_usable(&browser, "sign-in", 360, true).await;
        browser.sign_in(&project.id, &project.secret).await;
        browser.shows("Webhooks").await;
        for page in &pages {
            browser.go(page).await;
            for (width, dark) in [(360, true), (1_280, false)] {
                is_usable(&browser, page, width, dark).await;
            }
            browser.nothing_ran().await;
        }
        // What is hostile is shown as it is.
        browser.go(&super::page(&project, &format!("/events/{event}"))).await;
        assert!(browser.text("pre.code").await.contains("<script>window.ran=1</script>"));
        // A page whose live parts were put in by the script.
        browser.go(&super::page(&project, "/log")).await;
        browser.wait("it to be live", "document.querySelector('#live-state.on')").await;
        accept(&server.client(), &project, json!({ "event": "<img/src=x>", "a": HARM }).to_string().into()).await;
        line(&browser, &["<img/src=x>"]).await;
        browser.nothing_ran().await;

        browser.sign_in_as_operator(OPERATOR).await;
        for page in ["/dashboard/overview", "/dashboard/projects"] {
            browser.go(page).await;
            for (width, dark) in [(360, false), (1_280, true)] {
                is_usable(&browser, page, width, dark).await;
            }
            browser.nothing_ran().await;
        }
        browser.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_without_scripts_as_well() {
    on_both(&SETTINGS, async |server| {
        let (client, project) = (server.client(), server.create_project("no scripts").await);
        let receiver = Receiver::on_loopback(answers).expect("a receiver");
        let browser = at(&server).await;
        browser.scripts(false).await;
        browser.sign_in(&project.id, &project.secret).await;
        browser.press("Add a webhook").await;
        browser.fill("#url", &receiver.url("/refusing")).await;
        browser.press("Add the webhook").await;
        browser.shows("this one time").await;
        browser.shows("It does not take events yet").await;
        assert_eq!(browser.value("#signing-secret", "value").await.len(), 64);
        browser.press("I have kept the secret").await;
        browser.shows("Nothing was sent yet").await;
        // Times are UTC, and nothing is live.
        browser.press("Send a test event").await;
        browser.shows("A test event is on its way").await;
        dead(&client, 1).await;
        browser.go(&page(&project, "/dead-letters")).await;
        browser.shows("UTC").await;
        browser.click("input[name=letter]").await;
        browser.fill("#reason", "a test").await;
        browser.press("Discard").await;
        browser.shows("Discarded. Nothing more happens").await;
        browser.go(&page(&project, "/signature")).await;
        browser.shows("This needs JavaScript").await;
        browser.press("Sign out").await;
        browser.shows("Project secret").await;
        browser.scripts(true).await;
        browser.close().await;
    })
    .await;
}

/// How long the server took for a page, in milliseconds.
async fn took(browser: &Browser, path: &str) -> f64 {
    browser.go(path).await;
    let script = "const one = performance.getEntriesByType('navigation')[0]; return one.responseEnd - one.requestStart";
    browser.run(script, Vec::new()).await.as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_quick_over_ten_thousand_attempts() {
    on_both(&SETTINGS, async |server| {
        const HOOKS: usize = 10;
        const EVENTS: usize = 1_000;
        let (client, project) = (server.client(), server.create_project("many").await);
        let receiver = Receiver::on_loopback(|_: &Recorded| Reply::ok()).expect("a receiver");
        let mut hooks = Vec::new();
        for number in 0..HOOKS {
            let body = json!({ "webhookUrl": receiver.url(&format!("/{number}")), "ordering": "none" });
            hooks.push(client.register_with(&project, &body).await);
        }
        let mut lines = String::new();
        for number in 0..EVENTS {
            let _ = writeln!(lines, "{}", json!({ "event": "messages", "number": number }));
        }
        let request = client
            .request(reqwest::Method::POST, &format!("/projects/{}/events/batch", project.id))
            .basic_auth(&project.id, Some(&project.secret))
            .header("content-type", "application/x-ndjson")
            .body(lines);
        assert_eq!(client.send(request).await.expect("an answer").status, 200);
        let all = i64::try_from(HOOKS * EVENTS).expect("small");
        client.wait_for_metric("deliveries_delivered_total", |done| done == all, PATIENCE * 3).await;

        let few = server.create_project("few").await;
        let hook = &hooks[0].id;
        let beside = client.register(&few, &receiver.url("/few")).await;
        accept(&client, &few, crate::world::text("few", 1)).await;
        client.wait_for_metric("deliveries_delivered_total", |done| done > all, PATIENCE).await;
        let browser = at(&server).await;
        browser.sign_in_as_operator(OPERATOR).await;
        for (name, many, few) in [
            ("webhooks", page(&project, ""), page(&few, "")),
            ("log", page(&project, "/log"), page(&few, "/log")),
            ("failures", page(&project, "/log?outcome=failed"), page(&few, "/log?outcome=failed")),
            ("webhook", page(&project, &format!("/webhooks/{hook}")), page(&few, &format!("/webhooks/{}", beside.id))),
            (
                "day",
                page(&project, &format!("/webhooks/{hook}?span=day")),
                page(&few, &format!("/webhooks/{}?span=day", beside.id)),
            ),
        ] {
            let (mut most, mut least) = (f64::MAX, f64::MAX);
            for _ in 0..5 {
                most = most.min(took(&browser, &many).await);
                least = least.min(took(&browser, &few).await);
            }
            println!("{name}: {most:.0} ms, {least:.0} ms over one attempt");
            // What reads the whole log takes as many times longer as there are more attempts.
            let bound = 50.0 * least.max(2.0);
            assert!(most < bound, "{name}: {most:.0} ms over ten thousand attempts, {least:.0} ms over one");
        }
        browser.close().await;
    })
    .await;
}
