//! What to plan with: what a webhook, a connection and an event take of memory and disk, and an event of the processor,
//! by process and service. Docs/operating.md has what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::Stage;
use crate::http1::{Connection, Head, request};
use crate::load::{self, Plan};
use crate::progress::step;
use crate::report::Unit;
use crate::system::{Backend, Contender, PATIENCE, Services, System};

const NAME: &str = "sizing";
/// Webhooks of a project.
const URLS: usize = 4;
/// Webhooks at most: all of them keep their connections.
const WEBHOOKS: usize = 2_000;
/// Events at most of each phase, and bytes of a small and of a large one.
const EVENTS: u64 = 20_000;
const SIZES: [usize; 2] = [600, 10_240];
/// Connections that clients keep.
const CLIENTS: usize = 1_000;
/// Events a second at which processor time is taken.
const RATE: f64 = 1_000.0;
/// Between two looks at the memory of what is under way.
const LOOK: Duration = Duration::from_millis(50);
/// Longer than a lane's oldest delivery stays in memory.
const HOLDING: Duration = Duration::from_secs(3);

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    for backend in stage.suite.backends.clone() {
        for contender in stage.contenders.clone() {
            if let Contender::Product(binary) | Contender::Base(binary) = &contender {
                one(stage, backend, &contender, binary).await.context(contender.name())?;
            }
        }
    }
    Ok(())
}

async fn one(stage: &mut Stage, backend: Backend, contender: &Contender, binary: &Path) -> Result<()> {
    let projects = (stage.suite.webhooks.min(WEBHOOKS) / URLS).max(1);
    let services = Services::of(backend).await?;
    let system = System::start(contender, stage.scene(backend, projects, URLS), services.as_ref()).await?;
    let events = stage.suite.backlog.min(EVENTS).next_multiple_of(stage.suite.batch as u64);
    let mut sizing = Sizing { stage, backend, system, services, events };
    sizing.memory(binary, projects).await.context("memory")?;
    sizing.processor().await.context("processor time")?;
    for size in SIZES {
        sizing.disk(size).await.with_context(|| format!("disk, {size} bytes"))?;
    }
    sizing.held(binary).await.context("memory of what is under way")?;
    sizing.queued().await.context("the queue's disk")?;
    sizing.system.stop().await
}

/// The product, running, and where its figures go.
struct Sizing<'a> {
    stage: &'a mut Stage,
    backend: Backend,
    system: System,
    services: Option<Services>,
    events: u64,
}

type Memory = BTreeMap<&'static str, u64>;

impl Sizing<'_> {
    fn note(&mut self, what: &str, unit: Unit, value: f64) {
        let name = format!("{}, {what}", self.backend.name());
        step(&format!("{name}: {}", unit.show(value)));
        self.stage.report.note((NAME, &name), unit, self.system.contender.name(), value);
        self.stage.report.aim((NAME, &name), None, None);
    }

    /// What memory has grown by, for each of so many.
    fn note_growth(&mut self, what: &str, before: &Memory, after: &Memory, count: usize) {
        for (role, bytes) in after {
            let each = (*bytes as f64 - before.get(role).copied().unwrap_or_default() as f64) / count.max(1) as f64;
            self.note(&format!("memory of {role}, {what}"), Unit::Bytes, each);
        }
    }

    /// Batches of `events` in all.
    fn plan(&self, size: usize, events: u64) -> Plan {
        Plan { size, events, batch: self.stage.suite.batch, window: u64::MAX, seconds: 1e9, ..self.stage.plan() }
    }

    /// Posts them and waits until all have arrived and what goes on behind them is done.
    async fn deliver(&self, plan: Plan) -> Result<()> {
        load::post(plan, &self.system.target, Instant::now()).await?;
        self.system.receiver.wait_for(self.system.target.accepted() * URLS as u64, PATIENCE).await?;
        self.system.rest().await;
        Ok(())
    }

    async fn memory(&mut self, binary: &Path, projects: usize) -> Result<()> {
        self.system.restart(binary, self.services.as_ref()).await?;
        self.system.rest().await;
        let started = self.system.memory_by_role();
        for (role, bytes) in &started {
            self.note(&format!("memory of {role}, after a start"), Unit::Bytes, *bytes as f64);
        }

        let clients = self.clients().await?;
        self.system.rest().await;
        let connected = self.system.memory_by_role();
        self.note_growth("a client's connection", &started, &connected, clients.len());
        drop(clients);

        // One event for each project: first to a receiver that keeps no connection, then to one that does.
        let once = Plan { batch: 1, ..self.plan(SIZES[0], projects as u64) };
        self.system.receiver.close(true);
        self.deliver(once).await?;
        let used = self.system.memory_by_role();
        self.note_growth("a webhook just used, its part of the project included", &connected, &used, projects * URLS);
        self.system.receiver.close(false);
        self.deliver(once).await?;
        let kept = self.system.memory_by_role();
        self.note_growth("a connection to a URL", &used, &kept, projects * URLS);
        Ok(())
    }

    /// Clients that have asked for something once and keep their connection.
    async fn clients(&self) -> Result<Vec<Connection>> {
        let (api, mut bytes, mut clients) = (self.system.target.api, Vec::new(), Vec::new());
        for number in 0..CLIENTS.min(self.stage.suite.webhooks) {
            let project = &self.system.target.projects[number % self.system.target.projects.len()];
            let path = format!("/projects/{}", project.id);
            let authorization = &project.authorization;
            let head = Head { method: "GET", path: &path, host: api, authorization, content_type: "text/plain" };
            request(&mut bytes, &head, b"");
            let mut client = Connection::connect(api).await?;
            client.exchange(&bytes).await?;
            clients.push(client);
        }
        Ok(clients)
    }

    /// At a steady rate of single events, by process and service.
    async fn processor(&mut self) -> Result<()> {
        for _ in 0..self.stage.suite.rounds {
            let run = self.system.run(Plan { rate: Some(RATE), ..self.stage.plan() }).await?;
            for (role, used) in &run.cpu {
                let each = used.as_secs_f64() * 1e6 / run.posted.events.max(1) as f64;
                self.note(
                    &format!("processor time of {role}, an event with {URLS} URLs, {RATE:.0}/s"),
                    Unit::Micros,
                    each,
                );
            }
        }
        Ok(())
    }

    /// Of what was delivered, with its part of the log and the archive, and of what waits; and what Redis remembers.
    async fn disk(&mut self, size: usize) -> Result<()> {
        let (before, remembered) = (self.stored()?, self.system.memory_by_role());
        self.deliver(self.plan(size, self.events)).await?;
        let delivered = self.stored()?;
        let each = |from: u64, to: u64, events: u64| (to as f64 - from as f64) / events.max(1) as f64;
        let kept = each(before, delivered, self.events);
        self.note(&format!("disk of the store, a delivered event of {size} bytes, {URLS} URLs"), Unit::Bytes, kept);
        let memory = self.system.memory_by_role();
        let redis = |memory: &Memory| memory.get("redis").copied();
        if let (Some(from), Some(to)) = (redis(&remembered), redis(&memory)) {
            let events = self.events;
            self.note(
                &format!("memory of redis, an event remembered, {size} bytes"),
                Unit::Bytes,
                each(from, to, events),
            );
        }

        self.system.change_webhooks(r#"{"enabled":false}"#).await?;
        load::post(self.plan(size, self.events), &self.system.target, Instant::now()).await?;
        self.system.rest().await;
        sleep(HOLDING).await;
        let waiting = each(delivered, self.stored()?, self.events);
        self.note(&format!("disk of the store, an event that waits, {size} bytes, {URLS} URLs"), Unit::Bytes, waiting);
        self.system.change_webhooks(r#"{"enabled":true}"#).await?;
        self.system.receiver.wait_for(self.system.target.accepted() * URLS as u64, PATIENCE * 2).await?;
        self.system.rest().await;
        Ok(())
    }

    /// Bytes of the store.
    fn stored(&self) -> Result<u64> {
        match &self.services {
            Some(services) => services.stored(),
            None => self.system.stored(),
        }
    }

    /// The most memory while URLs hang and what came for them is not yet held in the store.
    async fn held(&mut self, binary: &Path) -> Result<()> {
        for size in SIZES {
            self.system.restart(binary, self.services.as_ref()).await?;
            self.system.rest().await;
            let before = self.system.memory_by_role();
            self.system.receiver.hang(100);
            let most = self.watched(size, before.clone()).await?;
            for (role, bytes) in &most {
                let grown = bytes.saturating_sub(before.get(role).copied().unwrap_or_default());
                let what = format!("memory of {role}, most beyond a start while {} of {size} bytes hang", self.events);
                self.note(&what, Unit::Bytes, grown as f64);
            }
            self.system.receiver.hang(0);
            self.system.receiver.wait_for(self.system.target.accepted() * URLS as u64, PATIENCE * 2).await?;
        }
        Ok(())
    }

    /// Posts, and looks at the memory until what was posted is held.
    async fn watched(&self, size: usize, mut most: Memory) -> Result<Memory> {
        let posting = load::post(self.plan(size, self.events), &self.system.target, Instant::now());
        tokio::pin!(posting);
        let mut posted = None;
        while posted.is_none_or(|at: Instant| at.elapsed() < HOLDING) {
            tokio::select! {
                done = &mut posting, if posted.is_none() => {
                    done?;
                    posted = Some(Instant::now());
                }
                () = sleep(LOOK) => {}
            }
            for (role, bytes) in self.system.memory_by_role() {
                let most = most.entry(role).or_default();
                *most = bytes.max(*most);
            }
        }
        Ok(most)
    }

    /// What RabbitMQ keeps of events that nobody takes.
    async fn queued(&mut self) -> Result<()> {
        let Some(services) = &self.services else { return Ok(()) };
        let folder = services.queue_folder().to_owned();
        self.system.end("dispatcher").await?;
        for size in SIZES {
            let (before, memory) = (bytes_in(&folder), self.system.memory_by_role());
            load::post(self.plan(size, self.events), &self.system.target, Instant::now()).await?;
            self.system.rest().await;
            let grown = bytes_in(&folder).saturating_sub(before) as f64 / self.events.max(1) as f64;
            self.note(&format!("disk of rabbitmq, an event of {size} bytes that waits there"), Unit::Bytes, grown);
            let after = self.system.memory_by_role();
            let rabbit: Memory = after.into_iter().filter(|(role, _)| *role == "rabbitmq").collect();
            let what = format!("an event of {size} bytes that waits there");
            self.note_growth(&what, &memory, &rabbit, usize::try_from(self.events)?);
        }
        Ok(())
    }
}

/// Bytes on the disk of all files in a folder and below it; what goes away meanwhile is none.
pub(crate) fn bytes_in(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(it) if it.is_dir() => bytes_in(&entry.path()),
            Ok(it) => it.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
