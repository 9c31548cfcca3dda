//! First arrivals come in order at each URL, whatever happens to it.

use std::time::Duration;

use spectrum_webhook_receiver::{Accepted, Always, Receiver, Recorded, Reply, check};
use spectrum_webhook_testkit::process::{Hook, Server, Settings};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, report, requests, taken, text};

fn unavailable() -> Reply {
    Reply::status(http::StatusCode::SERVICE_UNAVAILABLE)
}

#[tokio::test]
async fn many_projects_with_healthy_slow_and_failing_urls_each_keep_their_order() {
    const PROJECTS: usize = 20;
    const EVENTS: usize = 40;
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(|request: &Recorded| match request.path.rsplit('/').next() {
        Some("slow") => Reply::ok().after(Duration::from_millis(15)),
        // It fails each event twice at first, and heals.
        Some("failing") if request.nth_for_path <= 30 && request.nth_for_event <= 2 => unavailable(),
        _ => Reply::ok(),
    })
    .expect("a receiver");
    let mut posts = JoinSet::new();
    for number in 0..PROJECTS {
        let name = format!("p{number}");
        let project = server.create_project(&name).await;
        let mut hooks = Vec::new();
        for kind in ["healthy", "slow", "failing"] {
            hooks.push(client.register(&project, &receiver.url(&format!("/{name}/{kind}"))).await);
        }
        let client = client.clone();
        posts.spawn(async move { (accept_texts(&client, &project, &name, EVENTS).await, hooks) });
    }
    let projects: Vec<(Vec<Accepted>, Vec<Hook>)> = posts.join_all().await;
    for (accepted, hooks) in &projects {
        for hook in hooks {
            let report = all_arrive(&receiver, hook, accepted).await;
            assert_eq!(report.duplicates, 0, "{}", hook.url);
        }
    }
    let delivered = (PROJECTS * EVENTS * 3) as i64;
    client.wait_for_metric("deliveries_delivered_total", |count| count == delivered, PATIENCE).await;
    assert_eq!(client.metric("deliveries_dead_total").await, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_down_gets_everything_in_order_when_it_is_back() {
    let server = Server::start(Settings::quick().set("SPECTRUM_HOLD_AFTER", "200ms")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let witness = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("down").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let watching = client.register(&project, &witness.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "down", 5).await;
    all_arrive(&receiver, &hook, &accepted).await;

    receiver.down().await.expect("a receiver that goes down");
    for number in 5..85 {
        accepted.push(accept(&client, &project, text("down", number)).await);
    }
    all_arrive(&witness, &watching, &accepted).await;
    // It is down for longer than all the attempts of one event take.
    let mut refused = 0;
    let outage = server.log().wait_for(
        |line| {
            let attempt = line.contains("\"connect\"");
            refused += u32::from(attempt);
            (attempt && refused >= 8).then_some(())
        },
        PATIENCE,
    );
    assert!(outage.await.is_some(), "no attempts are logged as refused connections");
    assert_eq!(client.metric("deliveries_dead_total").await, 0, "an outage's events were given up");

    receiver.up().await.expect("a receiver that comes back");
    for number in 85..95 {
        accepted.push(accept(&client, &project, text("down", number)).await);
    }
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.duplicates, 0);
    assert_eq!(client.metric("deliveries_dead_total").await, 0);
}

#[tokio::test]
async fn an_endpoint_that_answers_with_failures_for_long_gets_everything_in_order_when_it_heals() {
    let server = Server::start(Settings::quick().set("SPECTRUM_RETRY_ATTEMPTS", "3")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(unavailable())).expect("a receiver");
    let project = server.create_project("broken").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "broken", 20).await;
    // Three events exhausted, and a probe after them.
    requests(&receiver, "/", 10).await;
    assert_eq!(client.metric("deliveries_dead_total").await, 0, "an outage's events were given up");
    receiver.behave(Always(Reply::ok()));
    for number in 20..30 {
        accepted.push(accept(&client, &project, text("broken", number)).await);
    }
    all_arrive(&receiver, &hook, &accepted).await;
    // All that was taken came in order too: nothing overtook in the end.
    let taken: Vec<_> = receiver.look(|memory| memory.requests().filter(|request| request.taken()).cloned().collect());
    let again = check(&accepted, &taken, &hook.key);
    assert!(again.swapped.is_empty() && again.duplicates == 0, "{again:#?}");
    assert_eq!(client.metric("deliveries_dead_total").await, 0);
}

#[tokio::test]
async fn a_poison_event_becomes_a_dead_letter_and_those_behind_it_arrive_in_order() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(|request: &Recorded| {
        let poison = request.body.windows(8).any(|part| part == b"poison-0");
        if poison { Reply::status(http::StatusCode::INTERNAL_SERVER_ERROR) } else { Reply::ok() }
    })
    .expect("a receiver");
    let project = server.create_project("poisoned").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "before", 3).await;
    let poison = accept(&client, &project, text("poison", 0)).await;
    accepted.push(poison.clone());
    for number in 0..10 {
        accepted.push(accept(&client, &project, text("after", number)).await);
    }
    taken(&receiver, "/", accepted.len() - 1).await;
    client.wait_for_metric("deliveries_dead_total", |dead| dead == 1, PATIENCE).await;
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    let report = report(&receiver, &hook, &accepted);
    assert_eq!(report.missing, std::slice::from_ref(&poison.id));
    assert!(report.swapped.is_empty() && report.refused.is_empty() && report.changed.is_empty(), "{report:#?}");
    let tries: Vec<_> = receiver.look(|memory| {
        let of_it = memory.requests().filter(|request| request.event_id() == Some(&poison.id));
        of_it.filter_map(|request| request.attempt()).collect()
    });
    assert_eq!(tries, [1, 2, 3, 4, 5, 6]);
}
