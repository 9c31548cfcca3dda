//! A run from beginning to end: set up, load and faults, heal, quiet, judge.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use spectrum_webhook_testkit::process::Project;

use crate::clock::Clock;
use crate::history::{At, EventId, Fault, History, Letter, WebhookId};
use crate::load::{Api, Load};
use crate::nemesis;
use crate::oracle::{Bounds, Judgement, judge};
use crate::plan::{Plan, Setup};
use crate::receivers::Receivers;
use crate::stage::Stage;

/// How long the system may take until all is quiet, after everything was mended.
const QUIET: Duration = Duration::from_secs(240);
/// It is quiet when nothing came for so long, in microseconds.
const STILL: u64 = 4_000_000;
/// How long anything may take that is asked once all is quiet.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a run.
pub struct Outcome {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What happened.
    pub history: History,
    /// What the oracle says.
    pub judgement: Judgement,
    /// What else should not have been: answers of the API, processes, requests that are no HTTP.
    pub troubles: Vec<String>,
    /// Posts of the plan that were not made because their project was still at an earlier one.
    pub skipped: usize,
    /// When load and faults began and ended.
    pub load: (At, At),
    /// How long it took until all was quiet, in microseconds; `None` when it never was.
    pub quiet: Option<u64>,
    /// The logs of the processes, by name, as far as they are kept; only of a run that failed.
    pub logs: Vec<(String, Vec<String>)>,
}

impl Outcome {
    /// Whether all is as it must be.
    pub fn is_clean(&self) -> bool {
        self.judgement.violations.is_empty() && self.troubles.is_empty()
    }
}

/// Runs a plan. `tell` is told what is going on.
///
/// # Panics
/// When a service or a process cannot be started.
pub async fn run(setup: Setup, tell: impl Fn(String) + Send + Sync + 'static) -> Outcome {
    let plan = Arc::new(Plan::of(setup));
    tell(format!("seed {}: starting 3 nodes of RabbitMQ, 2 of Redis, PostgreSQL, 5 processes", plan.setup.seed));
    let stage = Arc::new(Stage::start().await);
    tell(format!("making {} projects", plan.setup.projects));
    let projects = stage.make_projects(plan.setup.projects).await;
    let nemesis = async |clock, begun| nemesis::run(&stage, &plan, clock, begun, &tell).await;
    play(&plan, &stage, projects, nemesis, &tell).await
}

/// A plan on a stage, with whatever strikes it meanwhile: it ends when everything is mended.
#[expect(clippy::expect_used, reason = "without its parts there is no run")]
pub(crate) async fn play(
    plan: &Arc<Plan>,
    stage: &Arc<Stage>,
    projects: Vec<Project>,
    nemesis: impl AsyncFnOnce(Clock, At) -> Vec<Fault>,
    tell: &(impl Fn(String) + Send + Sync),
) -> Outcome {
    assert_eq!(projects.len(), plan.urls.len(), "not all projects were made");
    let clock = Clock::start();
    let receivers = Arc::new(Receivers::start(clock).await.expect("a free port"));
    let api = Api::new(&stage.apis()).expect("an HTTP client");
    let load = Load::set_up(Arc::clone(plan), clock, api.clone(), Arc::clone(&receivers), projects).await;
    tell(format!("load and faults for {} s", plan.setup.seconds));
    let begun = clock.now();
    let posting = {
        let load = load.clone();
        tokio::spawn(async move { load.run().await })
    };
    let faults = nemesis(clock, begun).await;
    let mut troubles = Vec::new();
    if posting.await.is_err() {
        troubles.push("the load ended by a panic".to_owned());
    }
    let ended = clock.now();
    receivers.be_well();
    load.revive().await;
    tell(format!("{} events accepted; waiting until all is quiet", load.accepted()));
    let quiet = wait_until_quiet(stage, &load, &api, &receivers, clock).await;
    if quiet.is_none() {
        troubles.push(format!("not quiet within {QUIET:?}"));
    }
    let mut history = History { origin: clock.origin(), faults, ..History::default() };
    history.books = stage.books(&api).await.unwrap_or_else(|| {
        troubles.push("not all processes are ready at the end".to_owned());
        Vec::new()
    });
    for (number, project) in (0..).zip(load.projects()) {
        match letters(&api, number, project).await {
            Some(letters) => history.letters.extend(letters),
            None => troubles.push(format!("the dead letters of project {number} cannot be read")),
        }
    }
    let seen = load.seen();
    let (arrivals, malformed) = receivers.take();
    troubles.extend(seen.oddities);
    troubles.extend(malformed);
    troubles.append(&mut stage.troubles.lock());
    (history.posts, history.webhooks, history.uncertain) = (seen.posts, seen.webhooks, seen.uncertain);
    history.arrivals = arrivals;
    let judgement = judge(&history, &Bounds::default());
    let skipped = seen.skipped;
    let load = (begun, ended);
    let plan = Arc::clone(plan);
    let mut outcome = Outcome { plan, history, judgement, troubles, skipped, load, quiet, logs: Vec::new() };
    if !outcome.is_clean() {
        for role in stage.roles() {
            outcome.logs.push((role.name.clone(), role.log().await));
        }
    }
    outcome
}

async fn wait_until_quiet(
    stage: &Arc<Stage>,
    load: &Load,
    api: &Api,
    receivers: &Receivers,
    clock: Clock,
) -> Option<u64> {
    let begun = clock.now();
    let deadline = tokio::time::Instant::now() + QUIET;
    for round in 1_u32.. {
        if tokio::time::Instant::now() > deadline {
            break;
        }
        // A `410` may be written down only after its webhook was enabled again.
        if round.is_multiple_of(20) {
            load.revive().await;
        }
        // Metrics cannot be waited for: they are asked again.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let still = clock.now() > receivers.last().max(begun).plus(STILL);
        let Some(books) = stage.books(api).await.filter(|_| still) else { continue };
        if books.iter().any(|books| books.pending != 0) {
            continue;
        }
        let asked = Arc::clone(stage);
        let queued = tokio::task::spawn_blocking(move || asked.queued()).await.ok().flatten();
        if queued == Some(0) {
            return Some(receivers.last().max(begun).0 - begun.0);
        }
    }
    None
}

/// All dead letters of a project.
async fn letters(api: &Api, number: u64, project: &Project) -> Option<Vec<Letter>> {
    let (mut letters, mut cursor) = (Vec::new(), String::new());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let path = format!("/dead-letters?state=all&limit=200{cursor}");
        let Some((200, page)) = api.call(number, project, (Method::GET, path.as_str()), None, None).await else {
            if tokio::time::Instant::now() > deadline {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        for letter in page["data"].as_array()? {
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            let id = text("id");
            let event = text("eventId");
            letters.push(Letter {
                webhook: WebhookId(text("webhookId").into()),
                resend: id != event,
                event: EventId(event.into()),
                reason: text("reason"),
                last: text("last"),
            });
        }
        let Some(next) = page["nextCursor"].as_str() else { return Some(letters) };
        cursor = format!("&cursor={next}");
    }
}
