//! One project's events, one after the other, each until it is taken.

use std::sync::Arc;

use reqwest::Method;
use tokio::sync::mpsc;

use super::{World, again};
use crate::history::{EventId, Post, ProjectNo};

/// Posts one for each wish, until there are no more.
pub(super) async fn run(world: Arc<World>, project: ProjectNo, mut wishes: mpsc::Receiver<()>) {
    let mut number = 0;
    while wishes.recv().await.is_some() {
        let post = post(&world, project, number).await;
        let taken = post.id.is_some();
        world.posts.lock().push(post);
        // What came after one that may still come would have no certain order.
        if !taken {
            return;
        }
        number += 1;
    }
}

async fn post(world: &World, project: ProjectNo, number: u32) -> Post {
    let body = world.plan.body(project, number);
    let text = String::from_utf8_lossy(&body).into_owned();
    let key = format!("p{}-n{number}", project.0);
    let begun = world.clock.now();
    let mut post = Post { project, number, body, begun, answered: None, id: None, repeats: 0 };
    let tenant = world.tenant(project);
    loop {
        // The same event goes to another ingest when one does not take it.
        let ingest = u64::from(project.0 + number + post.repeats);
        let call = (Method::POST, "/events");
        let answer = world.api.call(ingest, &tenant.project, call, Some(text.clone()), Some(&key)).await;
        match answer {
            Some((202, json)) => {
                post.answered = Some(world.clock.now());
                post.id = json["data"]["id"].as_str().map(|id| EventId(id.into()));
                if post.id.is_none() {
                    world.odd(format!("{key}: a 202 without an id: {json}"));
                }
                return post;
            }
            Some((503, _)) | None => {}
            Some((status, json)) => world.odd(format!("{key}: {status} {json}")),
        }
        post.repeats += 1;
        if !again(&world.clock, begun).await {
            world.odd(format!("{key}: not taken in time"));
            return post;
        }
    }
}
