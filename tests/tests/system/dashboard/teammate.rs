//! A teammate without a terminal: adds a webhook, watches its deliveries, looks into one, sends it again.

use spectrum_webhook_receiver::{Key, Receiver, Recorded, Reply, TOLERANCE, verify};

use super::{SETTINGS, at, line, page};
use crate::world::{accept, on_both, requests, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_added_watched_and_looked_into() {
    on_both(&SETTINGS, async |server| {
        let (client, project) = (server.client(), server.create_project("Acme").await);
        let receiver = Receiver::on_loopback(|request: &Recorded| {
            let refused =
                String::from_utf8_lossy(&request.body).contains(r#""hello-3""#) && request.attempt() == Some(1);
            if refused { Reply::status(http::StatusCode::SERVICE_UNAVAILABLE) } else { Reply::ok() }
        })
        .expect("a receiver");
        let url = receiver.url("/hook");
        let browser = at(&server).await;

        // A wrong secret, then the right one.
        browser.sign_in(&project.id, "not the secret").await;
        browser.shows("is not right. Check both").await;
        browser.fill("#secret", &project.secret).await;
        browser.press("Sign in").await;
        browser.shows("No webhook yet").await;

        // Add, with a check; the secret is shown this one time, in a dialog.
        browser.press("Add a webhook").await;
        browser.fill("#url", &url).await;
        browser.press("Add the webhook").await;
        browser.wait("a dialog", "document.querySelector('dialog')?.matches(':modal')").await;
        browser.shows("this one time").await;
        browser.shows("It takes events: every step passed.").await;
        let secret = browser.value("#signing-secret", "value").await;
        let key = Key::of(&secret).expect("a secret");
        assert!(browser.value("#standard-secret", "value").await.starts_with("whsec_"));
        assert!(browser.text("#snippet-1").await.contains(&secret), "the snippet is filled in");
        browser.press("Python").await;
        assert!(browser.text("#snippet-2").await.contains(&secret));
        assert!(!browser.path().await.contains(&secret));
        // Loading the page again shows the webhook, and no secret, nor does going back.
        let address = browser.path().await;
        browser.reload().await;
        browser.shows("Delivery log").await;
        assert_eq!((browser.path().await, browser.count("dialog").await), (address.clone(), 0));
        let source = browser.run("return document.documentElement.outerHTML", Vec::new()).await.to_string();
        assert!(!source.contains(&secret) && !source.contains("whsec_"));

        // What is delivered appears by itself.
        browser.wait("it to be live", "document.querySelector('#live-state.on')").await;
        let first = accept(&client, &project, text("hello", 1)).await;
        let ending = first.id[first.id.len() - 8..].to_owned();
        line(&browser, &["Delivered", "200", &ending]).await;
        let taken = receiver.look(|memory| memory.at("/hook").next_back().cloned()).expect("a request");
        let headers = &taken.headers;
        assert!(
            verify(&key, headers, &taken.body, std::time::SystemTime::now(), TOLERANCE).is_ok(),
            "the shown secret signs"
        );
        browser.press("Send a test event").await;
        browser.shows("A test event is on its way").await;
        requests(&receiver, "/hook", 3).await;
        browser.press("Check").await;
        browser.shows("Last check").await;

        // Filtered, it shows what was asked for alone.
        let third = accept(&client, &project, text("hello", 3)).await;
        line(&browser, &["Failed", "503"]).await;
        browser.choose("select[name=outcome]", "failed").await;
        browser.press("Filter").await;
        browser.wait("a filtered log", "location.search.includes('outcome=failed')").await;
        line(&browser, &["Failed", "503"]).await;
        assert_eq!(browser.count(".log tbody tr").await, 1);

        // One attempt opens to what was sent and what came back.
        browser.click(".log tbody tr a").await;
        browser.shows("It failed after").await;
        browser.shows("What happens next: It is tried again").await;
        assert!(browser.text("pre.code").await.contains("\"hello-3\""));
        browser.press("As it was signed").await;
        let raw = browser.text("pre.raw .mark-body").await;
        assert_eq!(raw, String::from_utf8_lossy(&third.body));
        let sent = receiver.look(|memory| {
            let mut requests = memory.at("/hook");
            requests.find(|request| request.event_id() == Some(third.id.as_str())).cloned()
        });
        let sent = sent.expect("the first attempt");
        let header = |name: &str| sent.headers.get(name);
        let prefix = browser.text("pre.raw .mark-prefix").await;
        assert_eq!(prefix, format!("v0:{}:", header("x-spectrum-timestamp").expect("a time stamp")));
        let shown = "return [...document.querySelector('dl.headers').children].map((one) => [one.children[0].innerText, one.children[1].innerText])";
        let shown: Vec<(String, String)> = serde_json::from_value(browser.run(shown, Vec::new()).await).expect("pairs");
        assert!(shown.len() >= 12, "{shown:?}");
        for (name, value) in shown.iter().filter(|(_, value)| !value.contains("not kept")) {
            assert_eq!(header(&name.to_lowercase()), Some(value.as_str()), "{name}");
        }

        // The event's page tells its way, and sends it again.
        browser.go(&page(&project, &format!("/events/{}", third.id))).await;
        browser.shows("The URL took it at").await;
        assert_eq!(browser.count(".track .point a").await, 2, "two attempts");
        browser.press("Send again").await;
        browser.shows("It is sent again").await;
        browser.shows("Sent again as").await;
        browser
            .wait(
                "the resend to be delivered",
                "document.querySelectorAll('.track .point.now .chip.good').length === 2",
            )
            .await;
        let again = receiver.look(|memory| memory.at("/hook").next_back().cloned()).expect("a request");
        assert_eq!((again.event_id(), &again.body), (Some(third.id.as_str()), &third.body));
        assert!(again.headers.get("x-spectrum-resend").is_some());

        // Rotate, disable, enable, remove.
        browser.go(&address).await;
        browser.press("Rotate the secret").await;
        browser.click("form[action$=rotate] button").await;
        browser.shows("The old secret signs too until").await;
        assert_ne!(browser.value("#signing-secret", "value").await, secret);
        browser.press("I have kept the secret").await;
        browser.shows("Delivery log").await;
        browser.press("Disable").await;
        browser.press("Disable the webhook").await;
        browser.shows("The webhook is disabled.").await;
        browser.shows("someone switched it off").await;
        browser.press("Enable").await;
        browser.shows("The webhook is enabled.").await;
        browser.press("Remove").await;
        browser.press("Remove the webhook").await;
        browser.shows("The webhook is removed").await;
        browser.shows("No webhook yet").await;
        browser.close().await;
    })
    .await;
}
