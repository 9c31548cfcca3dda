//! Two ingests, some dispatchers, a load, and what must have come of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use spectrum_webhook_receiver::{Accepted, Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Hook, Project, Server, Settings};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, all_arrive, text};

/// The time of a lease here.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
const PROJECTS: usize = 4;

/// The settings of a deployment of its own over these services.
pub(crate) fn settings(amqp: &str, redis: &str, database: &str) -> Settings {
    Settings::quick_cluster(amqp, redis, database).set("SPECTRUM_LEASE", format!("{}s", LEASE.as_secs()))
}

/// Processes, and receivers.
pub(crate) struct Stage {
    settings: Settings,
    pub(crate) ingests: Vec<Server>,
    pub(crate) dispatchers: Vec<Server>,
    pub(crate) receiver: Receiver,
}

/// A quick URL and a slow one.
fn tempers(request: &Recorded) -> Reply {
    if request.path.ends_with("/slow") { Reply::ok().after(Duration::from_millis(15)) } else { Reply::ok() }
}

impl Stage {
    /// Two ingests and so many dispatchers, ready.
    pub(crate) async fn start(settings: Settings, dispatchers: usize) -> Self {
        let receiver = Receiver::on_loopback(tempers).expect("a receiver");
        let ingests = vec![
            Server::start_as("ingest", settings.clone()).await,
            Server::start_as("ingest", settings.clone()).await,
        ];
        let mut stage = Self { settings, ingests, dispatchers: Vec::new(), receiver };
        for _ in 0..dispatchers {
            stage.add_dispatcher().await;
        }
        stage
    }

    pub(crate) async fn add_dispatcher(&mut self) {
        self.dispatchers.push(Server::start_as("dispatcher", self.settings.clone()).await);
    }

    /// Starts an ingest and a dispatcher again with other settings, while the others go on.
    pub(crate) async fn restart_with(&mut self, number: usize, change: impl Fn(Settings) -> Settings) {
        let again = async |server: &mut Server| {
            assert_eq!(server.terminate().await.0, Some(0));
            server.change(&change);
            server.restart().await;
        };
        tokio::join!(again(&mut self.ingests[number]), again(&mut self.dispatchers[number]));
    }

    /// How many partitions each dispatcher delivers.
    pub(crate) async fn shares(&self) -> Vec<i64> {
        let mut shares = Vec::new();
        for dispatcher in &self.dispatchers {
            shares.push(dispatcher.client().metric("partitions_held").await);
        }
        shares
    }

    /// Waits until they have shares like these; returns how long that took.
    pub(crate) async fn wait_for_shares(&self, wanted: &[i64]) -> Duration {
        let begun = Instant::now();
        loop {
            let shares = self.shares().await;
            if shares == wanted {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "{shares:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts a steady load on all projects, through both ingests.
    pub(crate) async fn load(&self) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicUsize::new(0));
        let mut posters = JoinSet::new();
        for number in 0..PROJECTS {
            let ingest = &self.ingests[number % self.ingests.len()];
            let (client, name) = (ingest.client(), format!("project-{number}"));
            let project = ingest.create_project(&name).await;
            let mut hooks = Vec::new();
            for temper in ["quick", "slow"] {
                hooks.push(client.register(&project, &self.receiver.url(&format!("/{name}/{temper}"))).await);
            }
            let poster = Poster { client, project, name, stop: Arc::clone(&stop), taken: Arc::clone(&taken) };
            posters.spawn(async move { (poster.run().await, hooks) });
        }
        Load { stop, taken, posters }
    }
}

/// What one project posts, one after the other, each until it is taken.
struct Poster {
    client: Client,
    project: Project,
    name: String,
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
}

impl Poster {
    async fn run(self) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let body = text(&self.name, accepted.len());
            let posted = Instant::now();
            let id = self.take(&body, accepted.len()).await;
            accepted.push(Accepted { id, body, posted });
            self.taken.fetch_add(1, Ordering::Relaxed);
            // A steady load, not all that the machine can bear.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        accepted
    }

    async fn take(&self, body: &Bytes, number: usize) -> String {
        let key = format!("{}-{number}", self.name);
        let begun = Instant::now();
        loop {
            if let Ok(answer) = self.client.post(&self.project, body.clone(), Some(&key)).await {
                match answer.status {
                    202 => return answer.data()["id"].as_str().expect("an id").to_owned(),
                    503 => {}
                    status => panic!("{}: {status} {}", self.name, answer.message()),
                }
            }
            assert!(begun.elapsed() < PATIENCE, "{key} is not taken");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A load under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    posters: JoinSet<(Vec<Accepted>, Vec<Hook>)>,
}

impl Load {
    /// Waits until so many more events were accepted.
    pub(crate) async fn more(&self, events: usize) {
        let until = self.taken.load(Ordering::Relaxed) + events;
        let begun = Instant::now();
        while self.taken.load(Ordering::Relaxed) < until {
            assert!(begun.elapsed() < PATIENCE, "nothing is taken any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the load, waits until all arrived, in order, signed and to the byte; returns the duplicates.
    pub(crate) async fn all_arrive(self, stage: &Stage, fault: &str) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (mut events, mut duplicates, mut longest) = (0, 0, Duration::ZERO);
        for (accepted, hooks) in self.posters.join_all().await {
            events += accepted.len();
            for hook in &hooks {
                let report = all_arrive(&stage.receiver, hook, &accepted).await;
                duplicates += report.duplicates;
                longest = longest.max(report.latency(1.0));
            }
        }
        println!(
            "{fault}: {events} events accepted, {duplicates} duplicates among {} deliveries; from post to arrival an \
             event took {longest:.1?} at the longest",
            events * 2
        );
        duplicates
    }
}
