//! No URL waits for another.

use spectrum_webhook_receiver::{Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};

use crate::world::{accept_texts, all_arrive, requests};

#[tokio::test]
async fn a_hanging_url_delays_no_other() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let hanging = Receiver::on_loopback(Always(Reply::hang())).expect("a receiver");
    let project = server.create_project("one").await;
    let stuck = server.create_project("stuck").await;
    client.register(&project, &hanging.url("/mixed")).await;
    client.register(&stuck, &hanging.url("/alone")).await;
    let healthy = client.register(&project, &receiver.url("/")).await;
    accept_texts(&client, &stuck, "stuck", 3).await;
    let accepted = accept_texts(&client, &project, "one", 100).await;
    requests(&hanging, "/mixed", 1).await;
    requests(&hanging, "/alone", 1).await;
    all_arrive(&receiver, &healthy, &accepted).await;
    // Its first attempt is still under way: a second one would have come 30 s after it.
    assert_eq!(hanging.look(|memory| memory.total()), 2);
}

#[tokio::test]
async fn more_hanging_and_failing_urls_than_there_are_slots_delay_no_healthy_one() {
    const BAD: usize = 24;
    let server = Server::start(Settings::quick().set("SPECTRUM_ATTEMPT_SLOTS", "8")).await;
    let client = server.client();
    let bad = Receiver::on_loopback(|request: &Recorded| {
        if request.path.contains("hang") { Reply::hang() } else { Reply::status(http::StatusCode::BAD_GATEWAY) }
    })
    .expect("a receiver");
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let mut projects = Vec::new();
    for number in 0..4 {
        let project = server.create_project(&format!("crowd{number}")).await;
        for url in 0..BAD / 4 {
            let kind = if url % 3 == 0 { "fail" } else { "hang" };
            client.register(&project, &bad.url(&format!("/{number}/{url}/{kind}"))).await;
        }
        let hook = client.register(&project, &receiver.url(&format!("/{number}"))).await;
        projects.push((project, hook));
    }
    for (project, hook) in &projects {
        let accepted = accept_texts(&client, project, &hook.id, 30).await;
        all_arrive(&receiver, hook, &accepted).await;
    }
    let hung = bad.look(|memory| memory.requests().filter(|request| request.path.contains("hang")).count());
    assert!(hung <= BAD, "attempts that hang came to an end before the healthy ones were through");
}
