//! A run of another program, on a small stage: one that is wrong on purpose, to see whether the oracle cries. Its one
//! fault is a `kill -9` of its one dispatcher.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::history::{At, Fault};
use crate::plan::Plan;
use crate::run::{Outcome, play};
use crate::stage::Stage;

/// How long the reason for the crash is waited for.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(50);

/// What is tried.
pub struct Trial {
    /// Who posts what and when, and what is changed. Its faults do not count.
    pub plan: Plan,
    /// The program; it takes the commands of the real one.
    pub program: PathBuf,
    /// Settings of all its processes beside those of every run.
    pub settings: &'static [(&'static str, &'static str)],
    /// A variable for the dispatcher's environment, made of the ids of the plan's projects.
    pub environment: fn(&[&str]) -> (&'static str, String),
    /// When the dispatcher is killed.
    pub crash: Crash,
}

/// A crash that comes when the dispatcher has said something several times.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// Not before the load has lasted so long.
    pub after: Duration,
    /// What it says in a line of its log.
    pub said: fn(&str) -> bool,
    /// How often, and within which time.
    pub times: (usize, Duration),
}

/// Runs it to its end. The outcome's logs are there if anything is wrong.
///
/// # Panics
/// When a service or a process cannot be started.
pub async fn run(trial: Trial, tell: impl Fn(String) + Send + Sync) -> Outcome {
    let Trial { plan, program, settings, environment, crash } = trial;
    let plan = Arc::new(plan);
    let mut stage =
        Stage::small(&program, |quick| settings.iter().fold(quick, |all, (name, value)| all.set(name, *value))).await;
    let projects = stage.make_projects(plan.setup.projects).await;
    let ids: Vec<&str> = projects.iter().map(|project| project.id.as_str()).collect();
    stage.add_dispatcher_with(environment(&ids)).await;
    let stage = Arc::new(stage);
    let nemesis = async |clock: Clock, begun: At| {
        let fault = strike(&stage, crash, clock, begun).await;
        clock.until(begun.plus(plan.setup.seconds * 1_000_000)).await;
        fault.into_iter().collect()
    };
    play(&plan, &stage, projects, nemesis, &tell).await
}

async fn strike(stage: &Stage, crash: Crash, clock: Clock, begun: At) -> Option<Fault> {
    let dispatcher = stage.dispatchers.first()?;
    let mut server = dispatcher.server.lock().await;
    clock.until(begun.plus(u64::try_from(crash.after.as_micros()).unwrap_or(0))).await;
    let log = server.log().clone();
    let deadline = Instant::now() + PATIENCE;
    let count = || log.lines().iter().filter(|line| (crash.said)(line)).count();
    let (times, within) = crash.times;
    let (mut before, mut said) = (count(), VecDeque::new());
    while said.len() < times {
        if Instant::now() > deadline {
            stage.trouble(format!("{} gave no reason for its crash within {PATIENCE:?}", dispatcher.name));
            return None;
        }
        // How often within a time cannot be waited for: it is asked again.
        tokio::time::sleep(LOOK).await;
        let now = count();
        said.extend((before..now).map(|_| Instant::now()));
        before = now;
        while said.front().is_some_and(|at| at.elapsed() > within) {
            said.pop_front();
        }
    }
    let begun = clock.now();
    server.kill().await;
    server.restart().await;
    let (kind, target) = ("kill-dispatcher".to_owned(), dispatcher.name.clone());
    Some(Fault { kind, target, begun, ended: clock.now(), freezes: false, clean: false })
}
