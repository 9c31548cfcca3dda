//! What is shown, and that nothing of it can run.

use std::time::Instant;

use http::Request;
use http_body_util::BodyExt as _;
use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::ports::Store as _;

use crate::world::{HOSTILE, World};

#[tokio::test]
async fn an_attempt_opens_to_its_request_and_its_response() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/hook?x=1").await;
    let attempt = AttemptRecord { event_type: "messages".to_owned(), ..world.attempt(webhook, 422, 1_000) };
    world.embedded.store.record(std::slice::from_ref(&attempt)).await.expect("recorded");
    let page = visitor.get(&world.at(&format!("/webhooks/{webhook}"))).await;
    page.says(200, "Refused");
    let event = attempt.key.event;
    let path = format!("/webhooks/{webhook}/attempts/{event}/{}/1", attempt.started_at.0);
    assert!(page.body.contains(&path), "the log leads there");
    let shown = visitor.get(&world.at(&path)).await;
    shown.says(200, "because the URL answered 422");
    for words in [
        "X-Spectrum-Signature",
        "given up, and kept as a dead letter",
        "203.0.113.7:443",
        "class=\"wait\"",
        "not kept any more",
    ] {
        assert!(shown.body.contains(words), "{words}");
    }
    assert!(shown.body.contains("&lt;script&gt;") || shown.body.contains("&#60;script&#62;"), "{}", shown.body);
    for none in [format!("{path}9"), path.replace(&event.to_string(), "x"), path.replace("/1", "/x")] {
        assert_eq!(visitor.get(&world.at(&none)).await.status, 404, "{none}");
    }
}

#[tokio::test]
async fn hostile_names_and_urls_are_text_everywhere() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook(&format!("https://a.example/?{}", HOSTILE.replace(' ', "%20"))).await;
    let attempt =
        AttemptRecord { event_type: "<script>alert(1)</script>".to_owned(), ..world.attempt(webhook, 500, 10) };
    world.embedded.store.record(std::slice::from_ref(&attempt)).await.expect("recorded");
    let query =
        "outcome=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&event=%3Cimg%20src=x%3E&type=%22%3E%3Cscript%3Ealert(1)";
    for page in [
        String::new(),
        format!("?after={query}&{query}"),
        format!("/log?{query}&status=%3Cscript%3Ealert(1)"),
        format!("/webhooks/{webhook}?{query}&span=%22%3E%3Cscript%3Ealert(1)"),
        format!("/events/{}", attempt.key.event),
        format!("/webhooks/{webhook}/attempts/{}/{}/1", attempt.key.event, attempt.started_at.0),
        format!("/dead-letters?from={query}&webhook={query}"),
        format!("/webhooks/{webhook}/replays?what=%22%3E%3Cscript%3Ealert(1)"),
    ] {
        // Each answer is looked through when it comes.
        assert_eq!(visitor.get(&world.at(&page)).await.status, 200, "{page}");
    }
    let form = "url=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&types=%3Cimg%20src=x%3E&headers=%3C/textarea%3E%3Cscript%3Ealert(1)";
    assert_eq!(visitor.post(&world.at("/add"), form).await.status, 422);
}

#[tokio::test]
async fn the_log_is_filtered_and_goes_on_page_by_page() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let attempts: Vec<AttemptRecord> =
        (0..60).map(|number| world.attempt(webhook, if number % 20 == 0 { 503 } else { 200 }, number * 10)).collect();
    world.embedded.store.record(&attempts).await.expect("recorded");
    let rows = |body: &str| body.matches("<td class=\"nowrap\"><a href=").count();
    let first = visitor.get(&world.at("/log")).await;
    assert_eq!(rows(&first.body), 50);
    let next = first
        .body
        .split("class=\"button\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a next page");
    let next = visitor.get(&next.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert_eq!(rows(&next.body), 10);
    assert!(!next.body.contains("data-live"), "what is old does not change");
    let failed = visitor.get(&world.at("/log?outcome=failed&status=5xx")).await;
    assert_eq!(rows(&failed.body), 3);
    visitor.get(&world.at("/log?event=x")).await.says(200, "36 characters");
    visitor.get(&world.at("/log?type=nothing")).await.says(200, "fits these filters");
}

#[tokio::test]
async fn pages_stay_quick_over_ten_thousand_attempts() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let attempts: Vec<AttemptRecord> = (0..10_000)
        .map(|number| world.attempt(webhook, if number % 9 == 0 { 503 } else { 200 }, number * 300))
        .collect();
    for part in attempts.chunks(500) {
        world.embedded.store.record(part).await.expect("recorded");
    }
    let own = world.at(&format!("/webhooks/{webhook}"));
    for page in
        [world.at(""), own.clone(), format!("{own}?span=day&outcome=failed&type=none"), world.at("/log?status=404")]
    {
        let begun = Instant::now();
        assert_eq!(visitor.get(&page).await.status, 200);
        let took = begun.elapsed();
        println!("{page}: {took:?}");
        // A debug build on a busy machine; what reads without a bound takes much longer.
        assert!(took.as_secs() < 5, "{page}: {took:?}");
    }
}

#[tokio::test]
async fn a_live_page_sends_what_changes() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let webhook = world.webhook("https://a.example/").await;
    let request = Request::builder()
        .uri(world.at(&format!("/webhooks/{webhook}/live")))
        .header("host", crate::world::HOST)
        .header("cookie", visitor.cookie.clone().expect("a cookie"));
    let mut body = world.stream(request).await;
    let mut seen = String::new();
    let mut recorded = false;
    while !seen.contains("the URL answered 503") {
        let frame = tokio::time::timeout(std::time::Duration::from_secs(20), body.frame()).await;
        let data = frame.expect("in time").expect("a frame").expect("no error").into_data().expect("data");
        seen.push_str(&String::from_utf8_lossy(&data));
        if !recorded && seen.contains("Nothing was sent yet") {
            recorded = true;
            let attempt = world.attempt(webhook, 503, 10);
            world.embedded.store.record(&[attempt]).await.expect("recorded");
        }
    }
    assert!(seen.contains("event: part") && seen.contains("\"id\":\"state\""), "{seen}");
    assert!(!seen.contains("<script>alert"), "{seen}");
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_names_that_change_with_them() {
    let world = World::new().await;
    let mut visitor = world.nobody();
    let page = visitor.get("/dashboard/sign-in").await;
    for kind in ["style", "script", "icon"] {
        let start = format!("/dashboard/assets/{kind}-");
        let rest = page.body.split(&start).nth(1).and_then(|rest| rest.split('"').next()).expect("it is linked");
        let asset = visitor.get(&format!("{start}{rest}")).await;
        assert_eq!(
            (asset.status.as_u16(), asset.header("cache-control")),
            (200, "public, max-age=31536000, immutable")
        );
        assert!(asset.body.len() > 100);
    }
    visitor.get("/dashboard/assets/style-0000000000000000.css").await.says(404, "There is no such");
    visitor.get("/dashboard/nothing/here").await.says(404, "There is no such");
}
