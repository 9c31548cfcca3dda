//! Who is let in, for how long, and what ends a session.

use std::time::Duration;

use http::{Method, Request};
use spectrum_webhook_core::ports::Directory as _;

use crate::world::{OPERATOR, SECRET, World, sha};

#[tokio::test]
async fn a_session_is_in_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let world = World::new().await;
    let id = world.project.to_string();
    let mut visitor = world.nobody();
    let signed = visitor.sign_in(&id, SECRET).await;
    let cookie = signed.header("set-cookie").to_owned();
    assert!(cookie.starts_with("spectrum-dashboard=") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains("Secure"), "the loopback has no TLS: {cookie}");
    assert!(!cookie.contains(SECRET) && !cookie.contains(&id), "{cookie}");

    let mut elsewhere = world.nobody();
    elsewhere.host = "hooks.example.com";
    let cookie = elsewhere.sign_in(&id, SECRET).await.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-spectrum-dashboard=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(cookie.contains("; Path=/;"), "{cookie}");
    assert_eq!(elsewhere.get(&world.at("")).await.status, 200);
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_project_look_the_same_and_are_limited() {
    let world = World::new().await;
    let (id, unknown) = (world.project.to_string(), uuid::Uuid::now_v7().to_string());
    let mut visitor = world.nobody();
    let wrong = visitor.sign_in(&id, "x").await;
    wrong.says(401, "is not right");
    let same = visitor.sign_in(&unknown, SECRET).await;
    assert_eq!(wrong.body.replace(&id, ""), same.body.replace(&unknown, ""));
    assert!(visitor.cookie.is_none());
    for _ in 0..9 {
        visitor.sign_in(&id, "x").await.says(401, "is not right");
    }
    let limited = visitor.sign_in(&id, SECRET).await;
    limited.says(429, "Wait");
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|wait| wait <= 60));
    visitor.sign_in(&world.other.to_string(), "another-secret").await.leads_to("/dashboard");
    visitor.post_bare("/dashboard/sign-in", "as=operator&secret=x").await.says(401, "operator&#39;s token");
}

#[tokio::test]
async fn nobody_is_led_to_sign_in_and_back_again() {
    let world = World::new().await;
    let page = world.at("/log?outcome=failed");
    let mut visitor = world.nobody();
    let turned = visitor.get(&page).await;
    assert_eq!(turned.status, 303);
    let to = turned.header("location").to_owned();
    assert!(to.starts_with("/dashboard/sign-in?to=%2Fdashboard%2Fprojects"), "{to}");
    assert!(visitor.get(&to).await.body.contains("outcome=failed"));
    let form = format!("id={}&secret={SECRET}&to={}", world.project, page.replace('?', "%3F").replace('=', "%3D"));
    visitor.post_bare("/dashboard/sign-in", &form).await.leads_to(&page);
    assert_eq!(visitor.get(&page).await.status, 200);
    // But nowhere else.
    for to in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2Fdocs"] {
        let form = format!("id={}&secret={SECRET}&to={to}", world.project);
        world.nobody().post_bare("/dashboard/sign-in", &form).await.leads_to("/dashboard");
    }
    assert_eq!(world.nobody().get(&world.at("/live")).await.status, 401, "a stream is led nowhere");
}

#[tokio::test]
async fn a_session_is_known_to_every_process_with_the_same_key() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    visitor.process = 1;
    assert_eq!(visitor.get(&world.at("")).await.status, 200);
    visitor.process = 2;
    assert_eq!(visitor.get(&world.at("")).await.status, 303);
}

#[tokio::test]
async fn a_session_goes_on_under_another_key_where_its_own_is_known_and_then_rests_under_the_other() {
    let world = World::new().await;
    let webhook = world.webhook("https://a.example/").await;
    let page = world.at(&format!("/webhooks/{webhook}"));
    let mut visitor = world.visitor().await;
    visitor.process = 3;
    // The form came from a process with the key before.
    visitor.post(&format!("{page}/test"), "").await.leads_to(&format!("{page}?did=test"));
    world.pass(Duration::from_secs(61));
    assert_eq!(visitor.get(&page).await.status, 200);
    visitor.process = 2;
    assert_eq!(visitor.get(&page).await.status, 200, "the key before is not needed any more");
    visitor.process = 0;
    assert_eq!(visitor.get(&page).await.status, 303, "here the new one is not known");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_after_its_lifetime() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let unused = visitor.clone();
    for _ in 0..11 {
        world.pass(Duration::from_secs(3_600));
        assert_eq!(visitor.get(&world.at("")).await.status, 200, "it is used");
    }
    let ended = unused.clone().get(&world.at("")).await;
    assert!(ended.header("location").starts_with("/dashboard/sign-in?why=ended"), "{ended:?}");
    world.pass(Duration::from_secs(3_600));
    assert_eq!(visitor.get(&world.at("")).await.status, 303, "whatever it is used");
    assert!(visitor.cookie.is_none(), "it is forgotten");
    visitor.get("/dashboard/sign-in?why=ended").await.says(200, "Your session has ended");
}

#[tokio::test]
async fn a_session_ends_with_the_secret_it_was_begun_with_and_with_its_project() {
    let world = World::new().await;
    let store = &world.embedded.store;
    let mut visitor = world.visitor().await;
    store.rotate_project_secret(world.project, sha("a new one")).await.expect("rotated");
    assert_eq!(visitor.get(&world.at("")).await.status, 303);
    visitor.sign_in(&world.project.to_string(), "a new one").await.leads_to("/dashboard");
    assert_eq!(visitor.get(&world.at("")).await.status, 200);
    store.delete_project(world.project, world.now()).await.expect("deleted");
    assert_eq!(visitor.get(&world.at("")).await.status, 303);
}

#[tokio::test]
async fn signing_out_forgets_the_cookie() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    visitor.post("/dashboard/sign-out", "").await.leads_to("/dashboard/sign-in");
    assert!(visitor.cookie.is_none());
}

#[tokio::test]
async fn a_form_is_taken_from_our_own_pages_alone() {
    let world = World::new().await;
    let webhook = world.webhook("https://a.example/").await;
    let path = world.at(&format!("/webhooks/{webhook}/test"));
    let (mut visitor, other) = (world.visitor().await, world.visitor().await);
    let good = format!("token={}", visitor.token);
    for form in ["", "token=", "token=x", &format!("token={}", other.token)] {
        visitor.post_bare(&path, form).await.says(403, "not taken");
    }
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("x-none", "x")] {
        let request = Request::builder().method(Method::POST).uri(&path).header(name, value);
        visitor.request(request, &good).await.says(403, "not taken");
        let request = Request::builder().method(Method::POST).uri("/dashboard/sign-in").header(name, value);
        visitor.request(request, &format!("as=operator&secret={OPERATOR}")).await.says(403, "not taken");
    }
    let request = Request::builder().method(Method::POST).uri(&path).header("origin", "http://127.0.0.1:8080");
    visitor.request(request, &good).await.leads_to(&format!("{}?did=test", world.at(&format!("/webhooks/{webhook}"))));
}

#[tokio::test]
async fn another_projects_pages_are_not_there() {
    let world = World::new().await;
    let webhook = world.webhook("https://a.example/").await;
    let event = uuid::Uuid::now_v7();
    let mut stranger = world.nobody();
    stranger.sign_in(&world.other.to_string(), "another-secret").await.leads_to("/dashboard");
    stranger.learn_token().await;
    let own = format!("/dashboard/projects/{}", world.other);
    for page in [
        String::new(),
        "/live".to_owned(),
        "/add".to_owned(),
        "/log".to_owned(),
        "/log/live".to_owned(),
        "/signature".to_owned(),
        "/dead-letters".to_owned(),
        format!("/events/{event}"),
        format!("/find?id={event}"),
        format!("/webhooks/{webhook}"),
        format!("/webhooks/{webhook}/live"),
        format!("/webhooks/{webhook}/replays"),
        format!("/webhooks/{webhook}/attempts/{event}/1/1"),
        format!("/dead-letters/{webhook}/{event}"),
    ] {
        stranger.get(&world.at(&page)).await.says(404, "There is no such");
        // Nor under the stranger's own project.
        if page.contains("webhooks") {
            assert_eq!(stranger.get(&format!("{own}{page}")).await.status, 404, "{page}");
        }
    }
    for verb in ["test", "check", "enable", "disable", "remove", "resume", "rotate", "replays"] {
        for project in [world.at(""), own.clone()] {
            let form = "version=0&overlap=0&what=all&reason=x&do=start";
            let seen = stranger.post(&format!("{project}/webhooks/{webhook}/{verb}"), form).await;
            assert_eq!(seen.status, 404, "{verb}: {}", seen.body);
        }
    }
    stranger.post(&world.at("/add"), "url=https://b.example/").await.says(404, "There is no such");
    stranger.post(&world.at("/dead-letters"), "do=resend").await.says(404, "There is no such");
    for page in ["/dashboard/overview", "/dashboard/overview/live", "/dashboard/projects"] {
        stranger.get(page).await.says(404, "There is no such");
    }
    assert_eq!(world.embedded.store.list(world.project).await.expect("list").len(), 1, "nothing was changed");
}

#[tokio::test]
async fn an_operator_has_the_overview_and_every_project() {
    let world = World::new().await;
    let mut operator = world.operator().await;
    operator.get("/dashboard").await.leads_to("/dashboard/overview");
    operator.get("/dashboard/overview").await.says(200, "The books");
    let projects = operator.get("/dashboard/projects").await;
    assert!(projects.body.contains("Acme") && projects.body.contains("Other"));
    let found = operator.get("/dashboard/projects?search=acm").await;
    assert!(found.body.contains("Acme") && !found.body.contains(">Other<"));
    operator.get(&world.at("")).await.says(200, "No webhook yet");
    operator.get(&format!("/dashboard/projects/{}", uuid::Uuid::now_v7())).await.says(404, "There is no such");
}
