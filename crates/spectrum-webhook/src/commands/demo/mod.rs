//! `demo`: the whole promise in one run. A server (or a cluster of them), two projects, four URLs each with a trouble
//! of its own, events of every content type, a `kill -9` in the middle; and at the end an independent verifier's word
//! on all of it.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `server` | the child processes |
//! | `endpoints` | the URLs and their troubles |
//! | `events` | the corpus |
//! | `report` | the table |

mod endpoints;
mod events;
mod report;
mod server;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde::Deserialize;
use spectrum_webhook_receiver::Accepted;
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use super::{asked_to_end, client, say, small_runtime};
use crate::api_client::{Api, Credentials, TIMEOUT};
use crate::cli::Demo;
use endpoints::{Endpoint, Trouble};
use server::{Servers, Stage};

/// How many projects there are.
const PROJECTS: u32 = 2;
/// How long one post may be tried: longer than a restart of the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// Two minutes are promised for the default of events; more of them take longer.
const DEADLINE: Duration = Duration::from_secs(110);
/// What `--events` is by default, as the deadline counts it.
const USUAL: u32 = 1_000;

/// A project, its URLs, and what was accepted for it, in order.
struct Project {
    api: Api,
    endpoints: Vec<Endpoint>,
    accepted: Mutex<Vec<Accepted>>,
}

/// Runs the demo; ends with 0 only when nothing was lost or swapped and every signature verified.
///
/// # Errors
/// When something could not be done at all, or not in time.
pub(super) fn demo(arguments: &Demo) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("spectrum-webhook-demo-").tempdir()?;
    let stage = Stage { folder: folder.path(), cluster: arguments.cluster };
    let outcome = small_runtime()?.block_on(async {
        let ended = asked_to_end()?;
        tokio::select! {
            outcome = run(stage, arguments.events) => anyhow::Ok(Some(outcome)),
            _ = ended => Ok(None),
        }
    })?;
    let Some(outcome) = outcome else { bail!("interrupted") };
    if !matches!(outcome, Ok(true)) {
        say(format_args!("the server's data and log stay in {}", folder.keep().display()));
    }
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(stage: Stage<'_>, all: u32) -> anyhow::Result<bool> {
    let events = all / PROJECTS;
    let began = Instant::now();
    say("settings of this demo that are not the defaults:");
    let of_cluster = if stage.cluster { &server::OF_CLUSTER[..] } else { &[] };
    for (name, value) in server::SETTINGS.iter().chain(of_cluster) {
        say(format_args!("  {name}={value}"));
    }
    let servers = Servers::start(stage).await?;
    let apis = servers.apis();
    let mut projects = Vec::new();
    for (_, api) in (0..PROJECTS).zip(apis.iter().cycle()) {
        projects.push(Project::create(stage, *api, events).await?);
    }
    let at: Vec<String> = apis.iter().map(|api| format!("http://{api}")).collect();
    say(format_args!(
        "posting {events} events to each of {PROJECTS} projects at {}; each has {} URLs",
        at.join(" and "),
        Trouble::ALL.len()
    ));

    let deadline = DEADLINE.mul_f64(f64::from(all.max(USUAL)) / f64::from(USUAL));
    let screen = Screen::new(&projects, events);
    let (count, counted) = watch::channel(0);
    let story = async {
        let mut taken = Vec::new();
        let mut endpoints = Vec::new();
        for project in &projects {
            taken.push(project.post_all(events, &count));
            endpoints.extend(project.endpoints.iter().map(|endpoint| endpoint.live(events, deadline)));
        }
        let killing = async {
            let half = u64::from(events) * u64::from(PROJECTS) / 2;
            counted.clone().wait_for(|count| *count >= half).await?;
            let (servers, done) = servers.kill_one().await?;
            screen.note(&format!("after {half} accepted events: {done}"));
            anyhow::Ok(servers)
        };
        let everything = async { tokio::try_join!(try_join_all(taken), try_join_all(endpoints), killing) };
        tokio::time::timeout(deadline, everything).await
    };
    let finished = {
        let watching = screen.watch(&counted);
        tokio::pin!(story, watching);
        tokio::select! {
            finished = &mut story => finished,
            never = &mut watching => match never {},
        }
    };
    screen.finish();
    let delivered = match finished {
        Ok(Ok((_, _, servers))) => {
            servers.stop().await?;
            true
        }
        Ok(Err(error)) if error.is::<spectrum_webhook_receiver::TimedOut>() => false,
        Ok(Err(error)) => return Err(error),
        Err(_) => false,
    };
    let clean = report::report(&projects);
    say(format_args!("{:.1} s", began.elapsed().as_secs_f64()));
    if !delivered {
        bail!("not everything was delivered within {} s", deadline.as_secs());
    }
    if clean {
        say("nothing was lost, swapped or changed, and every signature verified");
    }
    Ok(clean)
}

/// What `project create` prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    project_id: Uuid,
    project_secret: String,
}

impl Project {
    /// Made by the command line beside the running server; its URLs are registered over HTTP.
    async fn create(stage: Stage<'_>, api: SocketAddr, events: u32) -> anyhow::Result<Self> {
        let output = server::command(stage)?.args(["project", "create", "--name", "demo"]).output().await?;
        if !output.status.success() {
            bail!("`project create` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let created: Created = serde_json::from_slice(&output.stdout).context("the output of `project create`")?;
        let base = Url::parse(&format!("http://{api}/"))?;
        let credentials = Credentials::Project(created.project_secret);
        let api = Api::new(client(TIMEOUT)?, base, created.project_id, credentials)?;
        let mut endpoints = Vec::new();
        for trouble in Trouble::ALL {
            endpoints.push(Endpoint::register(trouble, &api, events).await?);
        }
        Ok(Self { api, endpoints, accepted: Mutex::new(Vec::new()) })
    }

    /// Posts all events, each after the `202` of the one before it.
    async fn post_all(&self, events: u32, count: &watch::Sender<u64>) -> anyhow::Result<()> {
        for number in 0..events {
            let body = events::event(number);
            let posted = Instant::now();
            let taken = self.api.post(&format!("demo-{number}"), &body, PATIENCE).await?;
            self.accepted.lock().push(Accepted { id: taken.id, body, posted });
            count.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

/// Progress on a terminal; on anything else the notes alone.
struct Screen<'a> {
    bars: MultiProgress,
    accepted: ProgressBar,
    delivered: Vec<(ProgressBar, &'a Endpoint)>,
}

impl<'a> Screen<'a> {
    fn new(projects: &'a [Project], events: u32) -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>38} {bar:40} {pos:>6}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let add =
            |name: String, length: u64| bars.add(ProgressBar::new(length).with_style(style.clone()).with_prefix(name));
        let accepted = add("accepted".to_owned(), u64::from(events) * u64::from(PROJECTS));
        let mut delivered = Vec::new();
        for (number, project) in (1..).zip(projects) {
            for endpoint in &project.endpoints {
                let name = format!("project {number}: {}", endpoint.trouble.name());
                delivered.push((add(name, u64::from(events)), endpoint));
            }
        }
        Self { bars, accepted, delivered }
    }

    /// Draws for ever.
    async fn watch(&self, count: &watch::Receiver<u64>) -> std::convert::Infallible {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            self.accepted.set_position(*count.borrow());
            for (bar, endpoint) in &self.delivered {
                bar.set_position(endpoint.taken());
            }
        }
    }

    fn note(&self, note: &str) {
        if self.bars.is_hidden() {
            say(note);
        } else {
            // A line that cannot be drawn is lost; the table comes in any case.
            let _ = self.bars.println(note);
        }
    }

    fn finish(&self) {
        // A screen that cannot be cleared stays as it is.
        let _ = self.bars.clear();
    }
}
