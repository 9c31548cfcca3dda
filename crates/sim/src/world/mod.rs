//! The simulated world: one process over one data folder, its clients, and the endpoints.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `event` | everything that can happen |
//! | `ports` | the real backends, opened, failing and abandoned |
//! | `process` | the process: it starts, takes partitions over, and crashes |
//! | `owner` | one ownership: it feeds the real state machine and performs what that asks for |
//! | `io` | what an ownership does to the store, the queue and the lock |
//! | `attempts` | attempts on their way to endpoints and back |
//! | `ingest` | clients that post events |
//! | `people` | people who change webhooks |
//! | `steer` | people who steer lanes and send dead letters again |
//! | `end` | the faults stop, time passes, and the checker looks at what is left |

mod attempts;
mod end;
mod event;
mod ingest;
mod io;
mod owner;
mod people;
mod ports;
mod process;
mod steer;

use std::collections::BTreeMap;

use spectrum_webhook_core::ids::{PartitionId, ProjectId, WebhookId};
use spectrum_webhook_core::time::{Millis, Mono, Now};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::checker::{Calm, Checker};
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::timeline::Timeline;
use crate::trace::Trace;
use crate::{Options, Report};
use event::Event;
use ingest::Post;
use people::{Operation, Site};
use process::Process;

/// The wall clock when the simulation starts.
const START: i64 = 1_700_000_000_000;
/// Events of the simulation after which it counts as one that never ends.
const MOST_STEPS: u64 = 60_000;

/// A project of the simulation.
struct ProjectSite {
    id: ProjectId,
    partition: PartitionId,
}

/// Everything there is.
pub struct World {
    plan: Plan,
    dice: Dice,
    trace: Trace,
    checker: Checker,
    sabotage: Option<Sabotage>,
    runtime: Runtime,
    folder: TempDir,
    now: u64,
    steps: u64,
    events: Timeline<Event>,
    /// The faults stop for good.
    calm: bool,
    process: Option<Process>,
    /// Counts processes, ownerships, attempts: names that are never used twice.
    names: u64,
    wall_offset: i64,
    projects: Vec<ProjectSite>,
    posts: Vec<Post>,
    posted: u64,
    sites: BTreeMap<WebhookId, Site>,
    endpoints: BTreeMap<String, Endpoint>,
    /// Attempts that arrived, for endpoints that count.
    arrivals: BTreeMap<(WebhookId, spectrum_webhook_core::ids::EventId), u64>,
    operations: Vec<Operation>,
    rounds: u64,
    crashes: u64,
}

impl World {
    /// The world of a plan, before anything has happened.
    ///
    /// # Errors
    /// When there is no temporary folder or no runtime.
    pub fn new(mut plan: Plan, options: Options) -> anyhow::Result<Self> {
        let shm = std::path::Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("spectrum-webhook-sim-");
        let folder = if shm.is_dir() { builder.tempdir_in(shm)? } else { builder.tempdir()? };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let dice = plan.dice.fork();
        Ok(Self {
            checker: Checker::new(plan.limits, if plan.faults.none() { Calm::Still } else { Calm::No }),
            plan,
            dice,
            trace: Trace::new(options.print),
            sabotage: options.sabotage,
            runtime,
            folder,
            now: 0,
            steps: 0,
            events: Timeline::new(),
            calm: false,
            process: None,
            names: 0,
            wall_offset: 0,
            projects: Vec::new(),
            posts: Vec::new(),
            posted: 0,
            sites: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            operations: Vec::new(),
            rounds: 0,
            crashes: 0,
        })
    }

    /// Lets everything happen, and judges it.
    ///
    /// # Errors
    /// When the simulation itself cannot go on: the temporary folder is gone, say.
    pub fn run(mut self) -> anyhow::Result<Report> {
        self.set_up()?;
        loop {
            while let Some((at, event)) = self.events.next() {
                self.now = self.now.max(at);
                self.steps += 1;
                self.happens(event)?;
                self.interfere()?;
                if self.steps > MOST_STEPS {
                    self.checker.cry(|| "it does not come to rest".to_owned());
                }
                if self.checker.violation().is_some() {
                    break;
                }
            }
            if self.checker.violation().is_some() || !self.go_on_after_quiet()? {
                break;
            }
        }
        let dead = if self.checker.violation().is_none() { self.judge_the_end()? } else { 0 };
        self.shut_down();
        Ok(Report {
            seed: self.plan.seed,
            violation: self.checker.violation().map(str::to_owned),
            trace_hash: self.trace.hash(),
            tail: self.trace.tail(),
            steps: self.steps,
            delivered: self.checker.deliveries(),
            dead,
            crashes: self.crashes,
        })
    }

    fn happens(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Start => self.start_process()?,
            Event::Heal => self.heal(),
            Event::HealPoison => self.heal_all(),
            Event::EnableAll => self.enable_all(),
            Event::NewPost { project } => self.new_post(project),
            Event::Post { post } => self.post(post),
            Event::NewOperation => self.new_operation(),
            Event::Operate { operation } => self.operate(operation),
            Event::Steer { tries } => self.steer(tries),
            Event::TakeOver { process, partition } => self.take_over(process, partition),
            Event::Owned { ownership, happening } => self.owned(ownership, happening),
        }
        Ok(())
    }

    /// Plans an event for later.
    fn later(&mut self, wait: u64, event: Event) {
        self.events.plan(self.now + wait, event);
    }

    /// Plans an event after some latency.
    fn soon(&mut self, event: Event) {
        let wait = if self.calm { self.dice.range(1, 5) } else { self.dice.latency() };
        self.later(wait, event);
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn trace(&mut self, text: &str) {
        self.trace.line(self.now, text);
    }

    /// Both clocks of the process.
    fn clocks(&self) -> Now {
        let wall = START + self.now.cast_signed() + self.wall_offset;
        Now { mono: Mono(self.now), wall: Millis(wall) }
    }
}

/// The start of an id: enough to tell a run's ids apart.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    let mut text = id.to_string();
    text.truncate(8);
    text
}
