//! Calls on their way. A call takes effect some time after it was sent, and is answered some time after that; it can be
//! lost before it takes effect, or its answer can be lost after. What is not answered in time has failed, as far as the
//! caller knows.

use super::Cluster;
use super::services::Service;

/// Something that will be done.
pub(super) type Task = Box<dyn FnOnce(&mut Cluster)>;

/// What can happen.
pub(super) enum Event {
    /// To the world, whoever lives.
    World(Task),
    /// To a process, if it still lives, and when it is not frozen.
    To { process: u64, task: Task },
}

/// It may or may not have taken effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unavailable;

/// What is done to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Lost,
    Unanswered,
}

/// How long a call to the queue and to the store may take, in milliseconds.
const QUEUE: u64 = 5_000;
const STORE: u64 = 8_000;

impl Cluster {
    /// Plans something for the world.
    pub(super) fn later(&mut self, wait: u64, task: impl FnOnce(&mut Self) + 'static) {
        self.events.plan(self.now + wait, Event::World(Box::new(task)));
    }

    /// Plans something for a process.
    pub(super) fn later_to(&mut self, process: u64, wait: u64, task: impl FnOnce(&mut Self) + 'static) {
        self.events.plan(self.now + wait, Event::To { process, task: Box::new(task) });
    }

    pub(super) fn happens(&mut self, event: Event) {
        match event {
            Event::World(task) => task(self),
            Event::To { process, task } => match self.processes.get_mut(&process) {
                Some(process) if process.is_frozen => process.parked.push(task),
                Some(_) => task(self),
                None => {}
            },
        }
    }

    /// How long one way takes, or anything else that is quick.
    pub(super) fn latency(&mut self) -> u64 {
        if self.calm || self.plan.is_quiet() { self.dice.range(1, 5) } else { self.dice.latency() }
    }

    /// Calls a service; `answer` is told what came of it.
    pub(super) fn call<R: 'static>(
        &mut self,
        process: u64,
        service: Service,
        effect: impl FnOnce(&mut Self) -> R + 'static,
        answer: impl FnOnce(&mut Self, Result<R, Unavailable>) + 'static,
    ) {
        let fate = self.fate(process, service);
        let slow = self.slowness(service);
        let (mut there, back) = (self.latency() + slow, self.latency());
        if service == Service::Redis {
            // All scripts of a process go over one connection.
            let last = self.last_script.entry(process).or_default();
            *last = (*last).max(self.now + there);
            there = *last - self.now;
        }
        let patience = match service {
            Service::Redis => self.plan.timing.patience,
            Service::Rabbit => QUEUE,
            Service::Postgres => STORE,
        };
        if fate == Fate::Lost {
            // Refused at once, or swallowed.
            let wait = if self.dice.per_mille(500) { there.min(patience) } else { patience };
            return self.later_to(process, wait, move |world| answer(world, Err(Unavailable)));
        }
        let in_time = fate == Fate::Answered && there + back < patience;
        if in_time {
            self.later(there, move |world| {
                let result = effect(world);
                world.later_to(process, back, move |world| answer(world, Ok(result)));
            });
        } else {
            // A transaction takes several ways to and fro: whoever gave up before its last one sent no commit, and one
            // that was sent holds the lock that the next try waits for.
            if service != Service::Postgres || there < patience {
                self.later(there, move |world| drop(effect(world)));
            }
            let wait = (there + back).min(patience);
            self.later_to(process, wait, move |world| answer(world, Err(Unavailable)));
        }
    }

    fn fate(&mut self, process: u64, service: Service) -> Fate {
        if self.calm {
            return Fate::Answered;
        }
        if self.is_cut(process, service) {
            return Fate::Lost;
        }
        let (lost, unanswered) = self.plan.flaky;
        match self.dice.range(0, 999) {
            drawn if drawn < lost => Fate::Lost,
            drawn if drawn < lost + unanswered => Fate::Unanswered,
            _ => Fate::Answered,
        }
    }
}
