//! A simulated cluster: some dispatchers and an ingest, modelled services, and the faults of all of them.
//!
//! The partition's state machine is the real one. The thin shell and the services are modelled after theirs: every call is
//! a message that arrives later, or never, and an answer that comes later still, or never.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `plan` | what a seed stands for |
//! | `services` | RabbitMQ, Redis, PostgreSQL |
//! | `wire` | calls on their way, and what becomes of them |
//! | `process` | dispatchers: they live, share partitions, freeze and die |
//! | `takeover` | from a lease to the first delivery |
//! | `owner`, `io`, `attempts` | one ownership: it feeds the machine and performs what that asks for |
//! | `ingest`, `people` | clients that post, people who change webhooks |
//! | `nemesis` | the faults |
//! | `end` | the faults stop, time passes, and the checker looks at what is left |

mod attempts;
mod end;
mod ingest;
mod io;
mod nemesis;
mod owner;
mod people;
mod plan;
mod process;
mod services;
mod takeover;
mod wire;

use std::collections::BTreeMap;

use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, WebhookId};
use spectrum_webhook_core::time::{Millis, Mono, Now};

use crate::checker::Checker;
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::rule::Rule;
use crate::timeline::Timeline;
use crate::trace::Trace;
use crate::{Options, Report};
use ingest::Post;
use nemesis::Cut;
use owner::Owner;
use people::Site;
use plan::Plan;
use process::Process;
use services::Services;
use wire::Event;

/// The wall clock when the simulation starts.
const START: i64 = 1_700_000_000_000;
/// Events of the simulation after which it counts as one that never ends.
const MOST_STEPS: u64 = 200_000;

/// A project of the simulation.
struct ProjectSite {
    id: ProjectId,
    partition: PartitionId,
}

/// Everything there is.
pub(crate) struct Cluster {
    plan: Plan,
    dice: Dice,
    trace: Trace,
    checker: Checker,
    off: Option<Rule>,
    services: Services,
    now: u64,
    steps: u64,
    events: Timeline<Event>,
    /// The faults stop for good.
    calm: bool,
    over: bool,
    processes: BTreeMap<u64, Process>,
    owners: BTreeMap<u64, Owner>,
    cuts: Vec<Cut>,
    /// When the last script of each process reaches Redis.
    last_script: BTreeMap<u64, u64>,
    /// The process that takes posts and changes: another one after each crash.
    ingest: u64,
    trusted: BTreeMap<ProjectId, u64>,
    /// What a standby of the database had a moment ago, where something reads from it.
    standby: Option<services::postgres::Postgres>,
    /// Counts processes, ownerships, attempts, channels: names that are never used twice.
    names: u64,
    projects: Vec<ProjectSite>,
    posts: Vec<Post>,
    sites: BTreeMap<WebhookId, Site>,
    endpoints: BTreeMap<String, Endpoint>,
    /// Attempts that arrived, for endpoints that count.
    arrivals: BTreeMap<(WebhookId, EventId), u64>,
    crashes: u64,
    /// Leases that were granted.
    granted: u64,
    /// Renewals that were sent.
    renewals: u64,
}

impl Cluster {
    /// The cluster of a seed, before anything has happened.
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut plan = Plan::of(seed);
        let dice = plan.dice.fork();
        Self {
            checker: plan.checker(),
            plan,
            dice,
            trace: Trace::new(options.print),
            off: options.without,
            services: Services::default(),
            now: 0,
            steps: 0,
            events: Timeline::new(),
            calm: false,
            over: false,
            processes: BTreeMap::new(),
            owners: BTreeMap::new(),
            cuts: Vec::new(),
            last_script: BTreeMap::new(),
            ingest: 0,
            trusted: BTreeMap::new(),
            standby: None,
            names: 0,
            projects: Vec::new(),
            posts: Vec::new(),
            sites: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            crashes: 0,
            granted: 0,
            renewals: 0,
        }
    }

    /// Lets everything happen, and judges it.
    pub(crate) fn run(mut self) -> Report {
        self.set_up();
        while !self.over
            && self.checker.violation().is_none()
            && let Some((at, event)) = self.events.next()
        {
            self.now = self.now.max(at);
            self.steps += 1;
            self.happens(event);
            if self.steps > MOST_STEPS {
                self.checker.cry(|| "it does not come to rest".to_owned());
            }
        }
        let dead = if self.checker.violation().is_none() { self.judge_the_end() } else { 0 };
        Report {
            seed: self.plan.seed,
            violation: self.checker.violation().map(str::to_owned),
            trace_hash: self.trace.hash(),
            tail: self.trace.tail(),
            steps: self.steps,
            delivered: self.checker.deliveries(),
            dead,
            crashes: self.crashes,
        }
    }

    /// Whether a rule holds: all do but the one that is switched off.
    fn holds(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn trace(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.now, &text());
    }

    /// Redis's clock.
    fn redis_now(&self) -> i64 {
        START + self.now.cast_signed() + self.services.redis.jumped
    }

    /// The wall clock of whoever posts and changes.
    fn wall(&self) -> Millis {
        Millis(START + self.now.cast_signed())
    }

    /// Both clocks of a process.
    fn clocks(&self, process: u64) -> Now {
        let skew = self.processes.get(&process).map_or(0, |process| process.skew);
        Now { mono: Mono(self.mono(process)), wall: Millis(START + self.now.cast_signed() + skew) }
    }
}
