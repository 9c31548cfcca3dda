//! Dead letters: sent again, discarded, replayed.

use http::StatusCode;
use spectrum_webhook_receiver::{Always, Receiver, Reply};

use super::{SETTINGS, page, signed_in};
use crate::world::{accept_texts, on_both, taken};

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_sent_again_discarded_and_replayed() {
    on_both(&SETTINGS, async |server| {
        let (client, project) = (server.client(), server.create_project("letters").await);
        let receiver =
            Receiver::on_loopback(Always(Reply::status(StatusCode::UNPROCESSABLE_ENTITY))).expect("a receiver");
        let hook = client.register(&project, &receiver.url("/hook")).await;
        accept_texts(&client, &project, "letter", 12).await;
        client.wait_for_metric("deliveries_dead_total", |dead| dead == 12, crate::world::PATIENCE).await;
        let browser = signed_in(&server, &project).await;
        browser.shows("Refusing").await;
        browser.press("12 dead letters").await;
        browser.shows("because the URL answered 422").await;
        assert_eq!(browser.count("input[name=letter]").await, 12);
        browser.click("[data-all] input").await;
        browser.shows("12 selected").await;
        browser.click("[data-all] input").await;

        // One is opened and looked at, one is discarded with a reason, two are sent again.
        browser.click(".letter a.strong").await;
        browser.shows("As it was posted").await;
        assert!(browser.text("pre.code").await.contains("\"letter-11\""), "the last one comes first");
        browser.go(&page(&project, "/dead-letters")).await;
        browser.click("input[name=letter]").await;
        browser.press("Discard").await;
        browser.shows("Say why").await;
        browser.go(&page(&project, "/dead-letters")).await;
        browser.click("input[name=letter]").await;
        browser.fill("#reason", "known to the customer").await;
        browser.press("Discard").await;
        browser.shows("Discarded. Nothing more happens").await;
        assert_eq!(browser.count("input[name=letter]").await, 11);
        receiver.behave(Always(Reply::ok()));
        browser.click(".letter:nth-child(1) input").await;
        browser.click(".letter:nth-child(2) input").await;
        browser.press("Send again").await;
        browser.shows("It is sent again").await;
        taken(&receiver, "/hook", 2).await;
        assert_eq!(browser.count("input[name=letter]").await, 9);
        browser.choose("select[name=state]", "closed").await;
        browser.press("Filter").await;
        browser.wait("the closed ones", "document.querySelectorAll('.letter').length === 3").await;

        // The rest is replayed: counted, begun, paused, gone on with, seen to its end.
        browser.go(&page(&project, &format!("/webhooks/{}/replays", hook.id))).await;
        browser.press("Count first").await;
        browser.shows("9 events would be sent again. Nothing was sent yet.").await;
        browser.fill("#rate", "2").await;
        browser.fill("#reason", "they mended their server").await;
        browser.press("Start the replay").await;
        browser.shows("The replay has begun").await;
        browser.wait("progress", "document.querySelector('progress')?.value > 0").await;
        browser.press("Pause").await;
        browser.shows("The replay is paused").await;
        browser.shows("Go on").await;
        browser.press("Go on").await;
        browser.shows("The replay goes on").await;
        browser.wait("its end", "document.querySelector('.replay .chip.good')").await;
        browser.shows("9 of 9 sent").await;
        taken(&receiver, "/hook", 11).await;
        // Another is cancelled.
        browser.choose("#what", "all").await;
        browser.fill("#rate", "1").await;
        browser.fill("#reason", "a mistake").await;
        browser.press("Start the replay").await;
        browser.shows("Running").await;
        browser.press("Cancel").await;
        browser.shows("The replay is cancelled").await;
        browser.shows("Cancelled").await;
        browser.close().await;
    })
    .await;
}
