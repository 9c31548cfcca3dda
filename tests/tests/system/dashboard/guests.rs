//! Who is let in, and for how long.

use serde_json::json;
use spectrum_webhook_testkit::process::{Server, Settings};

use super::{SETTINGS, at, page, signed_in};
use crate::world::on_both;

#[tokio::test(flavor = "multi_thread")]
async fn another_projects_pages_are_not_found_and_a_lost_secret_ends_a_session() {
    on_both(&SETTINGS, async |server| {
        let (client, project) = (server.client(), server.create_project("mine").await);
        let other = server.create_project("theirs").await;
        let hook = client.register(&other, "https://example.com/").await;
        let browser = signed_in(&server, &project).await;
        for path in [
            page(&other, ""),
            page(&other, &format!("/webhooks/{}", hook.id)),
            page(&other, "/log"),
            page(&project, &format!("/webhooks/{}", hook.id)),
            "/dashboard/overview".to_owned(),
        ] {
            browser.go(&path).await;
            browser.shows("There is no such").await;
            let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
            assert_eq!(browser.run(status, Vec::new()).await, json!(404), "{path}");
        }
        // The cookie is the browser's alone.
        assert_eq!(browser.run("return document.cookie", Vec::new()).await, json!(""));

        server.command(&["project", "rotate-secret", &project.id]).await;
        browser.go(&page(&project, "/log")).await;
        browser.shows("Your session has ended").await;
        browser.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_leads_to_sign_in_and_back() {
    let server = Server::start(Settings::quick().set("SPECTRUM_DASHBOARD_SESSION", "10s")).await;
    let project = server.create_project("short").await;
    let browser = at(&server).await;
    browser.sign_in(&project.id, &project.secret).await;
    browser.shows("No webhook yet").await;
    let begun = std::time::Instant::now();
    // The session ends by the server's clock: it is asked until it has.
    loop {
        browser.go(&page(&project, "/dead-letters")).await;
        if browser.path().await.contains("sign-in") {
            break;
        }
        assert!(begun.elapsed() < crate::world::PATIENCE, "the session does not end");
    }
    browser.shows("Your session has ended").await;
    browser.fill("#id", &project.id).await;
    browser.fill("#secret", &project.secret).await;
    browser.press("Sign in").await;
    browser.shows("No dead letters").await;
    browser.press("Sign out").await;
    browser.shows("Project secret").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_dashboard_has_no_page_of_it() {
    let server = Server::start(Settings::quick().set("SPECTRUM_DASHBOARD", "false")).await;
    let client = server.client();
    let answer = client.send(client.request(reqwest::Method::GET, "/dashboard")).await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
}
