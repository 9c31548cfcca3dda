//! The limit's stages, each alone: what none of them can be faster than.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::Stage;
use crate::progress::step;
use crate::receiver::Receiver;
use crate::report::Unit;
use crate::system::{Backend, Services};

const NAME: &str = "stages";

pub(super) async fn measure(stage: &mut Stage) -> Result<()> {
    let (seconds, size) = (stage.suite.seconds.min(3.0), stage.suite.size);
    let with = |backend| stage.suite.backends.contains(&backend);
    let (cluster, embedded) = (with(Backend::Cluster), with(Backend::Embedded));
    let services = if cluster { Some(Services::start().await?) } else { None };
    for round in 0..stage.suite.rounds {
        let mut note = |name: &str, rate: f64| {
            step(&format!("round {round}: {name} {rate:.0}/s"));
            stage.report.note((NAME, name), Unit::PerSecond, "limit", rate);
            stage.report.aim((NAME, name), None, None);
        };
        note("POST with signing, 64 URLs", post(64, seconds, size, Duration::ZERO).await?);
        if let Some(services) = &services {
            let settings = services.settings();
            let run = |kind| alone(kind, seconds, size, &[], settings.clone());
            note("publish with confirm", run("publish").await?);
            note("consume with acknowledgement", run("consume").await?);
            note("Redis script", run("script").await?);
        }
        if embedded {
            let folder = tempfile::tempdir()?;
            note("SQLite group commit, 64 callers", commit(seconds, size, folder.path()).await?);
        }
    }
    Ok(())
}

/// Requests a second of so many URLs, one after the other at each.
pub(super) async fn post(urls: usize, seconds: f64, size: usize, delay: Duration) -> Result<f64> {
    let receiver = Receiver::start(urls, urls, 1).await?;
    receiver.delay(delay);
    let words = ["--in-flight", &urls.to_string(), "--receiver", &receiver.address().to_string()];
    let rate = alone("post", seconds, size, &words, Vec::new()).await?;
    receiver.wait_for(receiver.total(), Duration::ZERO).await?;
    Ok(rate)
}

async fn commit(seconds: f64, size: usize, folder: &Path) -> Result<f64> {
    let folder = folder.to_str().context("a folder's name")?;
    alone("commit", seconds, size, &["--folder", folder], Vec::new()).await
}

async fn alone(
    kind: &str,
    seconds: f64,
    size: usize,
    words: &[&str],
    settings: Vec<(&'static str, String)>,
) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["limit-stage", kind, "--seconds", &seconds.to_string(), "--size", &size.to_string()]);
    let output = command.args(words).envs(settings).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}
