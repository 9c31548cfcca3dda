//! A URL that is down, and comes back.

use http::StatusCode;
use serde_json::json;
use spectrum_webhook_receiver::{Always, Receiver, Reply};

use super::{OPERATOR, SETTINGS, page, signed_in};
use crate::world::{accept_texts, on_both, taken};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_shown_while_it_lasts_and_afterwards() {
    let settings = [
        SETTINGS[0],
        SETTINGS[1],
        ("SPECTRUM_RETRY_ATTEMPTS", "2"),
        ("SPECTRUM_OUTAGE_PROBE_INITIAL", "60s"),
        ("SPECTRUM_OUTAGE_PROBE_CAP", "60s"),
    ];
    on_both(&settings, async |server| {
        let (client, project) = (server.client(), server.create_project("outage").await);
        let receiver = Receiver::on_loopback(Always(Reply::status(StatusCode::BAD_GATEWAY))).expect("a receiver");
        let hook = client.register(&project, &receiver.url("/down")).await;
        let browser = signed_in(&server, &project).await;
        browser.shows("Idle").await;
        let events = accept_texts(&client, &project, "down", 5).await;
        // The list changes by itself.
        browser.wait("a chip", "document.querySelector('.hook .chip.bad')?.innerText === 'Down'").await;
        browser.press(&hook.url).await;
        browser.shows("The URL is down since").await;
        browser.shows("because the URL answered 502").await;
        browser.wait("what waits", "document.querySelector('#state').innerText.includes('oldest')").await;
        browser.wait("the outage", "document.querySelector('#outages-title + ol .chip.bad')").await;

        // What waits is not sent twice by a form of a page that is out of date.
        let form = "const call = new XMLHttpRequest(); call.open('POST', arguments[0], false); \
                    call.send(new URLSearchParams({ token: document.querySelector('input[name=token]').value, webhook: arguments[1] })); \
                    return call.status";
        let again = page(&project, &format!("/events/{}/again", events[0].id));
        assert_eq!(browser.run(form, vec![json!(again), json!(hook.id)]).await, json!(422));

        receiver.behave(Always(Reply::ok()));
        browser.fill("#resume-reason", "the server is up again").await;
        browser.press("Try now").await;
        browser.shows("The URL is tried again now").await;
        taken(&receiver, "/down", 5).await;
        browser.shows("Healthy").await;
        browser.reload().await;
        browser.wait("its end", "document.querySelector('#outages-title + ol .chip.idle')?.innerText === 'Over'").await;
        browser.shows("“the server is up again”").await;
        browser.go(&page(&project, "/webhooks/00000000-0000-7000-8000-000000000000")).await;
        browser.shows("There is no such webhook").await;
        browser.sign_in_as_operator(OPERATOR).await;
        browser.wait("its end", "document.querySelector('#down-title + ul .chip.idle')").await;
        browser.close().await;
    })
    .await;
}
