//! Webhooks whose events do not all wait for one another: `ordering` is `space` or `none`.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server};

use crate::world::{accept, on_both, requests, taken, text};

/// Events of the space `bad` get no answer; all others are taken.
fn one_space_hangs(request: &Recorded) -> Reply {
    let bad = request.body.windows(9).any(|part| part == b"space-bad");
    if bad { Reply::hang() } else { Reply::ok() }
}

/// Posts these events, each of a space by its name, one after the other.
async fn post<'a>(
    client: &Client,
    project: &Project,
    events: impl Iterator<Item = (&'a str, usize)>,
) -> Vec<(&'a str, Accepted)> {
    let mut accepted = Vec::new();
    for (space, number) in events {
        accepted.push((space, accept(client, project, text(space, number)).await));
    }
    accepted
}

/// The first arrivals of each space, as places among what was accepted.
fn arrivals<'a>(receiver: &Receiver, path: &str, accepted: &[(&'a str, Accepted)]) -> BTreeMap<&'a str, Vec<usize>> {
    let requests: Vec<String> =
        receiver.look(|memory| memory.at(path).filter_map(|request| request.event_id().map(str::to_owned)).collect());
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for id in requests {
        if let Some(place) = accepted.iter().position(|(_, event)| event.id == id) {
            let of_space = places.entry(accepted[place].0).or_default();
            if !of_space.contains(&place) {
                of_space.push(place);
            }
        }
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_that_hangs_holds_up_no_other_once_the_order_is_by_spaces() {
    on_both(&[], async |server: Server| {
        let client = server.client();
        let receiver = Receiver::on_loopback(one_space_hangs).expect("a receiver");
        let project = server.create_project("spaces").await;
        let wish = json!({ "webhookUrl": receiver.url("/hook"), "attemptTimeoutSeconds": 5 });
        let hook = client.register_with(&project, &wish).await;
        let mut accepted = post(&client, &project, (0..5).map(|number| ("bad", number))).await;
        requests(&receiver, "/hook", 1).await;
        accepted.extend(post(&client, &project, (0..60).map(|number| (["a", "b", "c"][number % 3], number))).await);
        assert_eq!(receiver.look(|memory| memory.count("/hook").taken), 0, "all wait for the first");

        let changed = client.patch(&project, &hook.id, &json!({ "ordering": "space" })).await.expect_data(200);
        assert_eq!(changed["ordering"], "space");
        taken(&receiver, "/hook", 60).await;
        let places = arrivals(&receiver, "/hook", &accepted);
        for space in ["a", "b", "c"] {
            assert!(places[space].is_sorted() && places[space].len() == 20, "{space}: {:?}", places[space]);
        }
        assert_eq!(places["bad"], [0], "its others wait for it");

        // And back: the space that hung comes too, in its order.
        receiver.behave(Always(Reply::ok()));
        client.patch(&project, &hook.id, &json!({ "ordering": null })).await.expect_data(200);
        taken(&receiver, "/hook", 65).await;
        assert_eq!(arrivals(&receiver, "/hook", &accepted)["bad"], [0, 1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_order_an_event_that_hangs_holds_up_no_other() {
    on_both(&[], async |server: Server| {
        let client = server.client();
        let receiver = Receiver::on_loopback(one_space_hangs).expect("a receiver");
        let project = server.create_project("none").await;
        let wish = json!({ "webhookUrl": receiver.url("/hook"), "ordering": "none", "attemptTimeoutSeconds": 30 });
        let hook = client.register_with(&project, &wish).await;
        assert_eq!(hook.data["ordering"], "none");
        let listed = client.call(&project, Method::GET, "/webhooks/", None).await.expect_data(200);
        assert_eq!(listed[0]["ordering"], "none");
        post(&client, &project, [("bad", 0)].into_iter()).await;
        requests(&receiver, "/hook", 1).await;
        post(&client, &project, (0..40).map(|number| ("same", number))).await;
        taken(&receiver, "/hook", 40).await;
        assert_eq!(receiver.look(|memory| memory.count("/hook").requests), 41, "the first is still under way");
    })
    .await;
}
