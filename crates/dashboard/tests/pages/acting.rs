//! What people do, and what comes of it.

use spectrum_webhook_core::ports::Directory as _;

use crate::world::World;

/// What stands between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before).nth(1).and_then(|rest| rest.split(after).next()).unwrap_or_default()
}

#[tokio::test]
async fn a_webhook_is_added_and_its_secrets_are_shown_once() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    visitor.get(&world.at("/add")).await.says(200, "Add a webhook");
    let form = "url=https://a.example/hook&types=message.*&ordering=space&rate=5&headers=X-Tenant: acme";
    let added = visitor.post(&world.at("/add"), form).await;
    added.says(200, "this one time");
    let secret = between(&added.body, "id=\"signing-secret\" class=\"mono\" value=\"", "\"").to_owned();
    assert_eq!(secret.len(), 64, "{secret}");
    assert!(added.body.contains("value=\"whsec_"));
    for language in ["TypeScript", "Python", "Go", "Rust"] {
        assert!(added.body.contains(language));
    }
    assert_eq!(added.body.matches(&secret).count(), 5, "once to copy, and in each snippet");
    assert!(!added.body.contains("{secret}"));

    let webhook = world.embedded.store.list(world.project).await.expect("list").remove(0);
    assert_eq!((webhook.url.as_str(), webhook.shape.ordering.code()), ("https://a.example/hook", "space"));
    for page in [world.at(""), world.at(&format!("/webhooks/{}", webhook.id)), world.at("/add")] {
        let page = visitor.get(&page).await;
        assert!(!page.body.contains(&secret) && !page.body.contains("whsec_") && !page.body.contains("acme\""));
    }
    // Sending the form again makes no second one, and shows no secret.
    let again = visitor.post(&world.at("/add"), form).await;
    again.says(422, "registered for this project already");
    assert!(again.body.contains("https://a.example/hook") && !again.body.contains("whsec_"), "what was typed stays");
}

#[tokio::test]
async fn a_form_that_does_not_do_says_why_and_keeps_what_was_typed() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    for (form, says) in [
        ("url=ftp://a.example", "The URL does not do"),
        ("url=https://a.example&rate=many", "whole number"),
        ("url=https://a.example&rate=5000", "1 to 1,000"),
        ("url=https://a.example&headers=X-Spectrum-A: b", "X-Spectrum"),
        ("url=https://a.example&headers=none", "Name: value"),
        ("url=https://a.example&types=a%C3%A9", "event types"),
    ] {
        visitor.post(&world.at("/add"), form).await.says(422, says);
    }
    let kept = visitor.post(&world.at("/add"), "url=nonsense&types=kept.type").await;
    assert!(kept.body.contains("value=\"nonsense\"") && kept.body.contains("value=\"kept.type\""));
}

#[tokio::test]
async fn a_rotation_shows_new_secrets_and_its_form_is_good_for_one_time() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let page = world.at(&format!("/webhooks/{webhook}"));
    let form = visitor.get(&page).await;
    let version = between(&form.body, "name=\"version\" value=\"", "\"").to_owned();
    world.pass(std::time::Duration::from_secs(1));
    let rotated = visitor.post(&format!("{page}/rotate"), &format!("version={version}&overlap=3600")).await;
    rotated.says(200, "this one time");
    assert!(rotated.body.contains("The old secret signs too until"));
    // A reload sends the same form: nothing is made by it.
    let again = visitor.post(&format!("{page}/rotate"), &format!("version={version}&overlap=3600")).await;
    again.says(409, "was changed meanwhile");
    assert!(!again.body.contains("whsec_"));
}

#[tokio::test]
async fn a_webhook_is_tested_disabled_enabled_and_removed() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let page = world.at(&format!("/webhooks/{webhook}"));
    for (verb, did) in [("test", "test"), ("disable", "disabled"), ("enable", "enabled"), ("check", "asked")] {
        visitor.post(&format!("{page}/{verb}"), "").await.leads_to(&format!("{page}?did={did}"));
    }
    visitor.get(&format!("{page}?did=test")).await.says(200, "A test event is on its way");
    let shown = visitor.get(&format!("{page}?did=%3Cscript%3Ealert(1)")).await;
    assert!(!shown.body.contains("alert(1)"), "no text of a URL is shown");
    visitor.post(&format!("{page}/resume"), "reason=").await.says(422, "Say why");
    visitor.post(&format!("{page}/nonsense"), "").await.says(404, "There is no such");
    visitor.post(&format!("{page}/disable"), "").await;
    visitor.post(&format!("{page}/test"), "").await.says(409, "Enable it first");
    visitor.get(&page).await.says(200, "someone switched it off");
    visitor.post(&format!("{page}/remove"), "").await.leads_to(&format!("{}?did=removed", world.at("")));
    visitor.get(&page).await.says(404, "There is no such");
}

#[tokio::test]
async fn a_replay_is_counted_before_it_begins() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let page = world.at(&format!("/webhooks/{webhook}/replays"));
    visitor.get(&page).await.says(200, "No replay yet");
    visitor.post(&page, "what=all&do=count&rate=7").await.says(200, "Nothing would be sent again");
    visitor.post(&page, "what=all&do=start").await.says(422, "Say why");
    visitor.post(&page, "what=all&do=count&from=x").await.says(422, "in UTC");
    visitor.post(&page, "what=all&do=start&reason=mended&rate=7").await.leads_to(&format!("{page}?did=replay"));
    let shown = visitor.get(&page).await;
    shown.says(200, "at most 7 a second");
    let before = shown.body.split("/pause").next().unwrap_or_default();
    let replay = before.rsplit('/').next().unwrap_or_default().to_owned();
    visitor.post(&format!("{page}/{replay}/pause"), "").await.leads_to(&format!("{page}?did=paused"));
    visitor.get(&page).await.says(200, "Go on");
    visitor.post(&format!("{page}/{replay}/cancel"), "").await.leads_to(&format!("{page}?did=cancelled"));
    visitor.post(&format!("{page}/{replay}/resume"), "").await.says(409, "done or cancelled");
}

#[tokio::test]
async fn what_is_selected_must_be_something() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let page = world.at("/dead-letters");
    visitor.get(&page).await.says(200, "No dead letters");
    visitor.post(&page, "do=resend").await.says(422, "Select at least one");
    visitor.post(&page, "do=resend&letter=../x").await.says(422, "Select at least one");
}
