//! The faults, and what they break.

use super::Cluster;
use super::plan::{Kind, When};
use super::services::Service;
use crate::rule::Rule;

/// A service that cannot be reached, or that is slow.
pub(super) struct Cut {
    service: Service,
    /// By whom; `None` is everybody.
    process: Option<u64>,
    until: u64,
    /// It answers, so much later.
    slow: Option<u64>,
}

const SERVICES: [Service; 3] = [Service::Rabbit, Service::Redis, Service::Postgres];
/// How often a standby of the database catches up, in milliseconds.
const LAG: u64 = 250;

impl Cluster {
    /// Plans what has a time of its own.
    pub(super) fn plan_faults(&mut self) {
        for fault in self.plan.faults.clone() {
            if let When::At(at) = fault.when {
                self.later(at, move |world| world.strike(fault.kind, None));
            }
        }
        if !self.holds(Rule::ReadWhatWasWritten) || !self.holds(Rule::RegistryFromPrimary) {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        self.standby = (!self.calm).then(|| self.services.postgres.clone());
        self.later(LAG, Self::catch_up);
    }

    /// Faults that wait for something that a process has just done, the `count`-th time in this run.
    pub(super) fn after(&mut self, process: u64, is_lease: bool, count: u64) {
        let due = self.plan.faults.iter().filter_map(|fault| match fault.when {
            When::AfterLease { nth, wait } if is_lease && nth == count => Some((wait, fault.kind.clone())),
            When::AfterRenewal { nth, wait } if !is_lease && nth == count => Some((wait, fault.kind.clone())),
            _ => None,
        });
        for (wait, kind) in due.collect::<Vec<_>>() {
            self.later(wait, move |world| world.strike(kind, Some(process)));
        }
    }

    /// The dispatcher that is named, or one by chance.
    fn dispatcher(&mut self, named: Option<u64>) -> Option<u64> {
        let delivers = |name: &u64| {
            let process = self.processes.get(name);
            process.is_some_and(|process| process.owner.is_some() && !process.is_stopping)
        };
        if let Some(named) = named.filter(delivers) {
            return Some(named);
        }
        let dispatchers: Vec<u64> = self.processes.keys().copied().filter(delivers).collect();
        (!dispatchers.is_empty()).then(|| self.dice.pick(&dispatchers))
    }

    /// A fault comes.
    pub(super) fn strike(&mut self, kind: Kind, named: Option<u64>) {
        if self.calm {
            return;
        }
        self.trace(|| format!("fault: {kind:?}"));
        match kind {
            Kind::Kill => {
                if let Some(name) = self.dispatcher(named) {
                    self.kill(name);
                }
            }
            Kind::Freeze(lasts) => {
                if let Some(name) = self.dispatcher(named) {
                    self.freeze(name, lasts, false);
                }
            }
            Kind::Pause(lasts) => {
                if let Some(name) = self.dispatcher(named) {
                    self.freeze(name, lasts, true);
                }
            }
            Kind::Stop => {
                if let Some(name) = self.dispatcher(named) {
                    self.stop(name);
                }
            }
            Kind::LoseChannel(wait) => {
                let channels: Vec<u64> = self.owners.values().filter_map(|owner| owner.channel).collect();
                if !channels.is_empty() {
                    let channel = self.dice.pick(&channels);
                    self.lose_channel(channel, wait);
                }
            }
            Kind::Flush => {
                self.services.redis.data = Default::default();
                self.checker.forgot(self.now);
            }
            Kind::FailOver(lag) => self.fail_over(lag),
            Kind::Jump(by) => {
                self.services.redis.jumped += by;
                if by > 0 {
                    self.checker.forgot(self.now);
                }
            }
            Kind::Cut { service, all, lasts } => {
                let process = if all { None } else { self.dispatcher(named) };
                self.cut(SERVICES[service], process, lasts);
            }
            Kind::Slow { by, lasts } => {
                let until = self.now + lasts;
                self.cuts.push(Cut { service: Service::Postgres, process: None, until, slow: Some(by) });
            }
            Kind::KillIngest => self.kill_ingest(),
            Kind::Eclipse => self.eclipse(named),
        }
    }

    fn eclipse(&mut self, process: Option<u64>) {
        let lease = self.plan.timing.lease;
        self.cut(Service::Redis, process, lease);
        self.strike(Kind::Slow { by: lease / 2, lasts: lease }, None);
        let wait = self.dice.range(1, lease / 4);
        self.later(wait, |world| world.strike(Kind::Flush, None));
        let wait = self.dice.range(lease / 4, lease);
        self.later(wait, move |world| {
            let others: Vec<u64> = world
                .owners
                .values()
                .filter(|owner| Some(owner.process) != process)
                .filter_map(|owner| owner.channel)
                .collect();
            for channel in others {
                world.lose_channel(channel, 0);
            }
        });
    }

    /// The replica follows no more, and some time later it is the master.
    fn fail_over(&mut self, lag: u64) {
        let replica = self.services.redis.data.clone();
        self.later(lag, move |world| {
            if world.calm {
                return;
            }
            let redis = &mut world.services.redis;
            redis.data = replica;
            redis.made += 1;
            redis.remembers = world.now;
            world.checker.forgot(world.now);
            world.trace(|| "the replica is the master".to_owned());
        });
    }

    fn cut(&mut self, service: Service, process: Option<u64>, lasts: u64) {
        let until = self.now + lasts;
        self.cuts.push(Cut { service, process, until, slow: None });
        if service != Service::Rabbit {
            return;
        }
        // Both ends notice, each in its time.
        let concerned = self.owners.values().filter(|owner| process.is_none_or(|process| owner.process == process));
        let channels: Vec<u64> = concerned.filter_map(|owner| owner.channel).collect();
        let heartbeat = self.plan.timing.heartbeat;
        for channel in channels {
            let (there, here) = (self.dice.range(0, heartbeat), self.dice.range(0, heartbeat));
            self.later(there, move |world| world.lose_channel(channel, here));
        }
    }

    pub(super) fn is_cut(&self, process: u64, service: Service) -> bool {
        self.cuts.iter().any(|cut| {
            let concerns = cut.service == service && cut.process.is_none_or(|name| name == process);
            cut.slow.is_none() && concerns && cut.until > self.now
        })
    }

    /// How much longer a call takes.
    pub(super) fn slowness(&mut self, service: Service) -> u64 {
        let now = self.now;
        let slow = self.cuts.iter().filter(|cut| cut.service == service && cut.until > now);
        let most = slow.filter_map(|cut| cut.slow).max().unwrap_or(0);
        self.dice.range(0, most)
    }

    /// From here on nothing breaks any more, and what is broken is mended.
    pub(super) fn mend(&mut self) {
        self.calm = true;
        self.cuts.clear();
        for name in self.processes.keys().copied().collect::<Vec<_>>() {
            self.thaw(name);
        }
        if self.ingest == 0 {
            self.start_ingest();
        }
    }
}
