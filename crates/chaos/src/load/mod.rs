//! The load: events at a steady rate, and meanwhile changes of webhooks. Everything that was asked and answered is
//! written down.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `api` | calls over HTTP |
//! | `poster` | one project's events, one after the other |
//! | `deeds` | changes of webhooks |

mod api;
mod deeds;
mod poster;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use spectrum_webhook_testkit::process::Project;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

pub(crate) use api::Api;

use crate::clock::Clock;
use crate::history::{At, Post, ProjectNo, Webhook};
use crate::plan::Plan;
use crate::receivers::Receivers;

/// Events of one project that may wait for their turn to be posted; more are not posted at all.
const WAITING: usize = 50;
/// Registrations that run at a time before the load begins.
const AT_ONCE: usize = 8;
/// How often those are enabled again that their receivers may have disabled.
const REVIVAL: Duration = Duration::from_secs(15);

/// A webhook, and what may still be done to it.
#[derive(Debug)]
struct Hook {
    seen: Webhook,
    /// A deed is being done to it, or it was deleted.
    busy: bool,
    rotated: bool,
}

/// A project, and its webhooks.
#[derive(Debug)]
struct Tenant {
    project: Project,
    hooks: Mutex<Vec<Hook>>,
}

/// What everything here shares.
struct World {
    plan: Arc<Plan>,
    clock: Clock,
    api: Api,
    receivers: Arc<Receivers>,
    tenants: Vec<Tenant>,
    posts: Mutex<Vec<Post>>,
    uncertain: Mutex<Vec<Arc<str>>>,
    /// What was answered and should not have been.
    oddities: Mutex<Vec<String>>,
    skipped: AtomicUsize,
}

/// What the load saw.
pub(crate) struct Seen {
    /// All posts.
    pub(crate) posts: Vec<Post>,
    /// All webhooks.
    pub(crate) webhooks: Vec<Webhook>,
    /// Paths of registrations whose answer was lost.
    pub(crate) uncertain: Vec<Arc<str>>,
    /// Answers that should not have been.
    pub(crate) oddities: Vec<String>,
    /// Posts of the plan that were not made, because their project was still at an earlier one.
    pub(crate) skipped: usize,
}

/// The projects with their webhooks, ready to be posted to.
#[derive(Clone)]
pub(crate) struct Load(Arc<World>);

impl Load {
    /// Registers all URLs of the plan.
    pub(crate) async fn set_up(
        plan: Arc<Plan>,
        clock: Clock,
        api: Api,
        receivers: Arc<Receivers>,
        projects: Vec<Project>,
    ) -> Self {
        let tenants = projects.into_iter().map(|project| Tenant { project, hooks: Mutex::default() }).collect();
        let world = Arc::new(World {
            plan,
            clock,
            api,
            receivers,
            tenants,
            posts: Mutex::default(),
            uncertain: Mutex::default(),
            oddities: Mutex::default(),
            skipped: AtomicUsize::new(0),
        });
        let (turns, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for (number, urls) in (0..).zip(world.plan.urls.clone()) {
            let (world, turns) = (Arc::clone(&world), Arc::clone(&turns));
            tasks.spawn(async move {
                let Ok(_turn) = turns.acquire().await else { return };
                for (place, temper) in urls.iter().enumerate() {
                    let path = format!("/p{number}/{place}/{}", temper.name());
                    deeds::register(&world, ProjectNo(number), path.into()).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        Self(world)
    }

    /// Posts and changes by the plan, until its time is over and everything begun has ended.
    pub(crate) async fn run(&self) {
        let world = &self.0;
        let began = world.clock.now();
        let mut tasks = JoinSet::new();
        let mut wishes = Vec::new();
        for number in (0..).map(ProjectNo).take(world.tenants.len()) {
            let (wish, wished) = mpsc::channel(WAITING);
            wishes.push(wish);
            tasks.spawn(poster::run(Arc::clone(world), number, wished));
        }
        for change in world.plan.changes.clone() {
            let world = Arc::clone(world);
            tasks.spawn(async move {
                world.clock.until(began.plus(change.at.0)).await;
                deeds::run(&world, change).await;
            });
        }
        let (rate, seconds) = (world.plan.setup.rate.max(1), world.plan.setup.seconds);
        for round in 1..=seconds / REVIVAL.as_secs() {
            let world = Arc::clone(world);
            tasks.spawn(async move {
                world.clock.until(began.plus(round * REVIVAL.as_secs() * 1_000_000)).await;
                deeds::revive(&world).await;
            });
        }
        for tick in 0..rate * seconds {
            world.clock.until(began.plus(tick * 1_000_000 / rate)).await;
            let project = usize::try_from(world.plan.poster(tick).0).unwrap_or(0);
            if wishes[project].try_send(()).is_err() {
                world.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(wishes);
        while tasks.join_next().await.is_some() {}
    }

    /// Enables what its receivers' `410` has disabled.
    pub(crate) async fn revive(&self) {
        deeds::revive(&self.0).await;
    }

    /// Posts with a `202` so far.
    pub(crate) fn accepted(&self) -> usize {
        self.0.posts.lock().iter().filter(|post| post.id.is_some()).count()
    }

    /// The projects.
    pub(crate) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.0.tenants.iter().map(|tenant| &tenant.project)
    }

    /// Everything that it saw.
    pub(crate) fn seen(&self) -> Seen {
        let world = &self.0;
        let hooks = world.tenants.iter().flat_map(|tenant| {
            let hooks = tenant.hooks.lock();
            hooks.iter().map(|hook| hook.seen.clone()).collect::<Vec<_>>()
        });
        Seen {
            posts: world.posts.lock().clone(),
            webhooks: hooks.collect(),
            uncertain: world.uncertain.lock().clone(),
            oddities: world.oddities.lock().clone(),
            skipped: world.skipped.load(Ordering::Relaxed),
        }
    }
}

impl World {
    fn tenant(&self, number: ProjectNo) -> &Tenant {
        &self.tenants[usize::try_from(number.0).unwrap_or(0)]
    }

    fn odd(&self, what: String) {
        self.oddities.lock().push(what);
    }
}

/// How long something is tried: longer than any fault lasts and is mended.
const PATIENCE: u64 = 150_000_000;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// Whether there is time for another try.
async fn again(clock: &Clock, begun: At) -> bool {
    tokio::time::sleep(AGAIN).await;
    clock.now() < begun.plus(PATIENCE)
}
