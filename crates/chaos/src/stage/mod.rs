//! The real thing: services and processes, each on ports of its own, with a proxy on each way from a process to a
//! service.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `role` | one process and its ways to the services |
//! | `books` | what the processes say of themselves |

mod books;
mod role;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use spectrum_webhook_testkit::process::{Disk, Project, Settings, run};
use spectrum_webhook_testkit::services::{Form, Postgres, PostgresSetup, Rabbit, Redis, RedisSetup};
use tokio::task::JoinSet;

pub(crate) use role::{Links, Role};

/// Ingests.
const INGESTS: usize = 2;
/// Dispatchers.
const DISPATCHERS: usize = 3;
/// The disk of PostgreSQL, in memory: an hour's log and archive, and the ballast that fills it.
const DISK: &str = "1200m";
/// Little of the disk is kept for the write-ahead log, so that a full disk is felt at once.
const WRITE_AHEAD: [&str; 2] = ["min_wal_size=32MB", "max_wal_size=128MB"];
/// Projects that are made at a time.
const AT_ONCE: usize = 3;

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) rabbit: Rabbit,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    /// PostgreSQL's, or why there can be none.
    pub(crate) disk: Result<Arc<Disk>, String>,
    /// Which of the two servers of Redis is the one that is used.
    pub(crate) master: AtomicUsize,
    pub(crate) ingests: Vec<Role>,
    pub(crate) dispatchers: Vec<Role>,
    settings: Settings,
    /// What went wrong with the processes themselves.
    pub(crate) troubles: Mutex<Vec<String>>,
}

impl Stage {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn start() -> Self {
        let disk = Disk::of_size(DISK).map(Arc::new);
        let settings = WRITE_AHEAD.to_vec();
        let setup = PostgresSetup { disk: disk.clone().ok(), settings, ..PostgresSetup::default() };
        let redis = RedisSetup { form: Form::Replica, ..RedisSetup::default() };
        let services = tokio::join!(Rabbit::cluster(), Postgres::start_with(setup), Redis::start_with(redis));
        let mut stage = Self::over(services, disk, |settings| settings).await;
        for number in 0..INGESTS {
            let role = stage.add("ingest", number).await;
            stage.ingests.push(role);
        }
        for number in 0..DISPATCHERS {
            let role = stage.add("dispatcher", number).await;
            stage.dispatchers.push(role);
        }
        stage
    }

    /// One of each service, and an ingest: a stage for a program that is tried, with settings of its own.
    pub(crate) async fn small(program: &Path, settings: impl FnOnce(Settings) -> Settings) -> Self {
        let services = tokio::join!(Rabbit::start(), Postgres::start(), Redis::start());
        let disk = Err("it has none".to_owned());
        let mut stage = Self::over(services, disk, |quick| settings(quick.of_program(program))).await;
        let ingest = stage.add("ingest", 0).await;
        stage.ingests.push(ingest);
        stage
    }

    async fn over(
        (rabbit, postgres, redis): (Rabbit, Postgres, Redis),
        disk: Result<Arc<Disk>, String>,
        settings: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let database = postgres.database().await;
        let quick = Settings::quick_cluster(&rabbit.url(), &redis.url_of(0), &database)
            .set("SPECTRUM_ATTEMPT_TIMEOUT", "2s")
            .set("SPECTRUM_GRACE", "10s");
        Self {
            rabbit,
            redis,
            postgres,
            disk,
            master: AtomicUsize::new(0),
            ingests: Vec::new(),
            dispatchers: Vec::new(),
            settings: settings(quick),
            troubles: Mutex::default(),
        }
    }

    /// A dispatcher with one variable more in its environment.
    pub(crate) async fn add_dispatcher_with(&mut self, (name, value): (&str, String)) {
        let (links, settings) = self.linked().await;
        let dispatcher = Role::start("dispatcher", self.dispatchers.len(), settings.set(name, value), links).await;
        self.dispatchers.push(dispatcher);
    }

    /// One process more, with proxies of its own.
    pub(crate) async fn add(&self, role: &'static str, number: usize) -> Role {
        let (links, settings) = self.linked().await;
        Role::start(role, number, settings, links).await
    }

    async fn linked(&self) -> (Links, Settings) {
        // The settings name the first server of Redis, whichever is used.
        let named = self.redis.address(0);
        let links = Links::start(&self.rabbit.addresses(), named, self.postgres.address()).await;
        links.aim_redis(self.redis.address(self.master.load(Ordering::Relaxed)));
        let mut settings = self.settings.clone();
        for name in ["SPECTRUM_AMQP_URL", "SPECTRUM_REDIS_URL", "SPECTRUM_DATABASE_URL"] {
            let mut url = settings.get(name).unwrap_or_default().to_owned();
            for (far, near) in links.addresses() {
                url = url.replace(&far.to_string(), &near.to_string());
            }
            settings = settings.set(name, url);
        }
        (links, settings)
    }

    /// All processes.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &Role> {
        self.ingests.iter().chain(&self.dispatchers)
    }

    /// Where the ingests take calls.
    pub(crate) fn apis(&self) -> Vec<SocketAddr> {
        self.ingests.iter().map(|role| role.api).collect()
    }

    /// Makes projects, as an operator would.
    pub(crate) async fn make_projects(&self, count: u32) -> Vec<Project> {
        let mut making = JoinSet::new();
        let mut projects = Vec::new();
        for number in 0..count {
            if making.len() >= AT_ONCE
                && let Some(Ok(Some(project))) = making.join_next().await
            {
                projects.push(project);
            }
            let settings = self.settings.clone();
            making.spawn(async move {
                let name = format!("project-{number}");
                let done = run(&settings, &std::env::temp_dir(), &["project", "create", "--name", &name]).await;
                let made: serde_json::Value = serde_json::from_str(&done.stdout).ok()?;
                let text = |name: &str| made[name].as_str().map(str::to_owned);
                Some(Project { id: text("projectId")?, secret: text("projectSecret")? })
            });
        }
        while let Some(made) = making.join_next().await {
            projects.extend(made.ok().flatten());
        }
        projects
    }

    /// Writes down what should not have happened to a process.
    pub(crate) fn trouble(&self, what: String) {
        self.troubles.lock().push(what);
    }
}
