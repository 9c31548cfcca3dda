//! `kill -9` at random moments under load: whatever got its `202` arrives, in order, signed, to the byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use spectrum_webhook_receiver::{Accepted, End, Memory, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, all_arrive, text};

const KILLS: usize = 10;
/// Events that a project is ahead of its slow URL at most: however fast posts are taken, what is left at the end takes that
/// URL some ten seconds.
const AHEAD: u64 = 1_000;

/// The seed of the moments: `SEED`, or one of the clock. It is printed, to be given again.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64 % 1_000_000))
}

/// Endpoints of every temper, none of which refuses anything for good.
fn tempers(request: &Recorded) -> Reply {
    let reply = |status: u16| Reply::status(http::StatusCode::from_u16(status).expect("a status"));
    match request.path.rsplit('/').next() {
        Some("slow") => Reply::ok().after(Duration::from_millis(8)),
        Some("failing") if request.nth_for_event == 1 && request.nth_for_path.is_multiple_of(4) => reply(503),
        // The answer is lost: the event was taken, and comes again.
        Some("losing") if request.nth_for_event == 1 && request.nth_for_path.is_multiple_of(5) => {
            Reply::ok().ending(End::Reset)
        }
        _ => Reply::ok(),
    }
}

/// What one project posts, one after the other, each until it is taken.
struct Poster {
    client: Client,
    project: Project,
    name: String,
    batch: bool,
    receiver: Arc<Receiver>,
    stop: Arc<AtomicBool>,
}

impl Poster {
    async fn run(self) -> Vec<Accepted> {
        let mut accepted: Vec<Accepted> = Vec::new();
        let mut crashed = false;
        let slow = format!("/{}/slow", self.name);
        while !self.stop.load(Ordering::Relaxed) {
            let first = accepted.len();
            let near = |memory: &Memory| memory.count(&slow).taken + AHEAD >= first as u64;
            assert!(self.receiver.wait_until(near, PATIENCE).await.is_ok(), "{slow} gets nothing more");
            let bodies: Vec<Bytes> =
                (first..first + if self.batch { 10 } else { 1 }).map(|at| text(&self.name, at)).collect();
            let posted = Instant::now();
            let ids = loop {
                let outcome =
                    if self.batch { self.post_batch(&bodies).await } else { self.post(first, &bodies[0]).await };
                match outcome {
                    Some(ids) => break ids,
                    // It is being killed or started: what was posted is posted again.
                    None => {
                        crashed = true;
                        assert!(posted.elapsed() < PATIENCE, "{} is not taken", self.name);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            };
            if std::mem::take(&mut crashed) && !self.batch {
                self.last_is_remembered(accepted.last(), first).await;
            }
            for (body, id) in bodies.into_iter().zip(ids) {
                accepted.push(Accepted { id, body, posted });
            }
        }
        accepted
    }

    async fn post(&self, number: usize, body: &Bytes) -> Option<Vec<String>> {
        let key = format!("{}-{number}", self.name);
        let answer = self.client.post(&self.project, body.clone(), Some(&key)).await.ok()?;
        if answer.status == 503 {
            return None;
        }
        Some(vec![answer.expect_data(202)["id"].as_str().expect("an id").to_owned()])
    }

    /// Nothing when any line is not taken: a repeat finds those that were.
    async fn post_batch(&self, bodies: &[Bytes]) -> Option<Vec<String>> {
        let answer = self.client.post_batch(&self.project, bodies.join(&b'\n').into()).await.ok()?;
        let results: Vec<Value> =
            answer.body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let ids: Vec<String> =
            results.iter().filter_map(|result| result["data"]["id"].as_str().map(str::to_owned)).collect();
        (ids.len() == bodies.len()).then_some(ids)
    }

    /// The repeat of an event that was accepted before a crash is a duplicate after it.
    async fn last_is_remembered(&self, last: Option<&Accepted>, next: usize) {
        let Some(last) = last else { return };
        let key = format!("{}-{}", self.name, next - 1);
        // Unless it is killed again just now.
        let Ok(answer) = self.client.post(&self.project, last.body.clone(), Some(&key)).await else { return };
        if answer.status == 202 {
            let data = answer.data();
            assert_eq!((data["id"].as_str(), data["duplicate"].as_bool()), (Some(last.id.as_str()), Some(true)));
        }
    }
}

#[tokio::test]
async fn kills_at_random_moments_lose_swap_and_change_nothing() {
    let seed = seed();
    println!("SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let settings =
        Settings::quick().set("SPECTRUM_HOLD_AFTER", "300ms").set("SPECTRUM_LOG", "warn,spectrum_webhook=info");
    let mut server = Server::start(settings).await;
    let client = server.client();
    let receiver = Arc::new(Receiver::on_loopback(tempers).expect("a receiver"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut posters = JoinSet::new();
    for (name, batch) in [("one", false), ("two", false), ("three", false), ("batches", true)] {
        let project = server.create_project(name).await;
        let mut hooks = Vec::new();
        for temper in ["healthy", "slow", "failing", "losing"] {
            hooks.push(client.register(&project, &receiver.url(&format!("/{name}/{temper}"))).await);
        }
        let (name, receiver) = (name.to_owned(), Arc::clone(&receiver));
        let poster = Poster { client: client.clone(), project, name, batch, receiver, stop: Arc::clone(&stop) };
        posters.spawn(async move { (poster.run().await, hooks) });
    }
    for kill in 1..=KILLS {
        let moment = Duration::from_millis(dice.random_range(50..2_500));
        tokio::time::sleep(moment).await;
        println!("kill {kill} after {moment:?}");
        server.kill().await;
        server.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    let projects: Vec<(Vec<Accepted>, Vec<Hook>)> = posters.join_all().await;
    let (mut events, mut duplicates) = (0, 0);
    for (accepted, hooks) in &projects {
        events += accepted.len();
        for hook in hooks {
            duplicates += all_arrive(&receiver, hook, accepted).await.duplicates;
        }
    }
    println!("{events} events accepted, {duplicates} duplicates among their deliveries");
    assert!(events >= 100, "the load was no load: {events} events");
    client.wait_for_metric("deliveries_pending", |pending| pending == 0, PATIENCE).await;
    assert_eq!(client.metric("deliveries_dead_total").await, 0);
}
