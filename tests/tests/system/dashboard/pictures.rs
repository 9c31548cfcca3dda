//! The pictures of the documents: `make screenshots`. Without `SCREENSHOTS` they are made of a short run, and thrown away:
//! so the command works when it is needed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::json;
use spectrum_webhook_receiver::{Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};

use super::{OPERATOR, SETTINGS, at, line, page};
use crate::world::{accept, requests};

/// Endpoints as they are out there.
fn endpoints(request: &Recorded) -> Reply {
    let nth = request.nth_for_path;
    match request.path.as_str() {
        "/crm/inbox" if nth.is_multiple_of(9) => Reply::status(StatusCode::SERVICE_UNAVAILABLE).body("try later"),
        "/crm/inbox" => Reply::ok().body(r#"{"ok":true}"#).after(Duration::from_millis(20 + nth * 7 % 60)),
        "/analytics" => Reply::ok().after(Duration::from_millis(90 + nth * 37 % 300)),
        "/legacy" => Reply::status(StatusCode::UNPROCESSABLE_ENTITY).body(r#"{"error":"no such customer"}"#),
        "/billing" => Reply::status(StatusCode::BAD_GATEWAY).body("<h1>502 Bad Gateway</h1>"),
        _ => Reply::ok(),
    }
}

/// For how long events come, so that the plots of pictures that are kept show some minutes.
const LASTS: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_the_main_pages_are_made() {
    let thrown_away = tempfile::tempdir().expect("a folder");
    let (folder, lasts) = match std::env::var_os("SCREENSHOTS") {
        Some(folder) => (PathBuf::from(folder), LASTS),
        None => (thrown_away.path().to_owned(), Duration::ZERO),
    };
    let settings = SETTINGS.iter().fold(Settings::quick(), |settings, (name, value)| settings.set(name, *value));
    let settings = settings.set("SPECTRUM_OUTAGE_PROBE_INITIAL", "60s").set("SPECTRUM_OUTAGE_PROBE_CAP", "60s");
    let server = Server::start(settings).await;
    let (client, project) = (server.client(), server.create_project("Acme messaging").await);
    let receiver = Receiver::on_loopback(endpoints).expect("a receiver");
    let mut hooks = Vec::new();
    for path in ["/crm/inbox", "/analytics", "/legacy", "/billing"] {
        hooks.push(client.register(&project, &receiver.url(path)).await);
    }
    let mut last = String::new();
    let until = SystemTime::now() + lasts;
    let mut number = 0;
    while SystemTime::now() < until || number < 24 {
        number += 1;
        let body = json!({
            "event": (["messages", "messages", "message.read"][number % 3]),
            "space": { "id": format!("s-{}", number % 4), "platform": "imessage" },
            "message": { "id": format!("m-{number}"), "platform": "imessage", "direction": "inbound",
                "sender": { "id": "+15550100", "platform": "imessage" },
                "content": { "type": "text", "text": "Is my order on its way?" } },
        });
        last = accept(&client, &project, body.to_string().into()).await.id;
        tokio::time::sleep(Duration::from_millis(400 + (number as u64 * 131) % 900)).await;
    }
    requests(&receiver, "/crm/inbox", number).await;
    let browser = at(&server).await;
    let picture = async |name: &str, width: u32, height: u64, dark: bool| {
        browser.look(width, dark).await;
        let name = format!("dashboard-{name}.png");
        std::fs::write(folder.join(name), browser.picture(width, height).await).expect("a picture");
    };
    browser.sign_in(&project.id, &project.secret).await;
    browser.wait("it to be live", "document.querySelector('#live-state.on')").await;
    browser.shows("Refusing").await;
    picture("webhooks", 1_200, 760, false).await;
    picture("webhooks-dark", 1_200, 760, true).await;
    picture("webhooks-narrow", 360, 1_000, false).await;
    let hook = page(&project, &format!("/webhooks/{}", hooks[0].id));
    browser.go(&hook).await;
    line(&browser, &["Failed", "503"]).await;
    browser.wait("it to be live", "document.querySelector('#live-state.on')").await;
    picture("webhook", 1_200, 1_000, false).await;
    let attempt = "[...document.querySelectorAll('.log tbody tr')].find((row) => row.innerText.includes('503')).querySelector('a')";
    browser.run(&format!("{attempt}.click()"), Vec::new()).await;
    browser.shows("What happens next").await;
    browser.press("As it was signed").await;
    picture("attempt", 1_200, 1_150, true).await;
    browser.go(&page(&project, &format!("/events/{last}"))).await;
    browser.shows("Dead letter").await;
    picture("event", 1_200, 1_000, false).await;
    browser.go(&page(&project, "/dead-letters")).await;
    picture("dead-letters", 1_200, 700, false).await;
    browser.go(&page(&project, "/add")).await;
    browser.fill("#url", &receiver.url("/new")).await;
    browser.press("Add the webhook").await;
    browser.shows("It takes events").await;
    picture("secrets", 1_200, 900, false).await;
    browser.go(&format!("{hook}/replays")).await;
    browser.choose("#what", "all").await;
    browser.fill("#rate", "10").await;
    browser.fill("#reason", "their database was restored").await;
    browser.press("Start the replay").await;
    browser.wait("progress", "document.querySelector('progress')?.value > 20").await;
    picture("replay", 1_200, 800, false).await;
    browser.sign_in_as_operator(OPERATOR).await;
    browser.wait("a process", "document.querySelector('#now tbody .good')").await;
    picture("overview", 1_200, 1_150, false).await;
    picture("overview-dark", 1_200, 1_150, true).await;
    browser.close().await;
}
