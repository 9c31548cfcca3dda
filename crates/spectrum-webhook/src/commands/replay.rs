//! `replay`: many events once more.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::lists::{Columns, list};
use super::output::{Tint, text};
use super::with_api;
use crate::api_client::call::Call;
use crate::cli::replay::{One, Replay, Start};

/// The fields of a replay that come first.
const FIRST: [&str; 6] = ["id", "webhookId", "what", "state", "sent", "total"];

const REPLAYS: Columns = Columns {
    columns: &[
        ("begun", |replay| text(replay, "createdAt")),
        ("id", |replay| text(replay, "id")),
        ("what", |replay| text(replay, "what")),
        ("state", |replay| text(replay, "state")),
        ("sent", |replay| format!("{} of {}", text(replay, "sent"), text(replay, "total"))),
        ("reason", |replay| text(replay, "reason")),
    ],
    tint: |replay| match replay["state"].as_str() {
        Some("done") => Tint::Good,
        Some("running" | "paused") => Tint::Waiting,
        _ => Tint::Plain,
    },
};

/// Runs one of them.
///
/// # Errors
/// When the server is not known or does not answer, or it refuses.
pub(super) fn replay(command: Replay) -> anyhow::Result<ExitCode> {
    match command {
        Replay::Start(start) => begin(&start),
        Replay::List { webhook, paging, common } => with_api(&common, async |api, output| {
            list(api, output, &format!("webhooks/{webhook}/replays"), Vec::new(), &paging, &REPLAYS).await
        }),
        Replay::Show(one) => {
            with_api(&one.common, async |api, output| output.one(&api.make(Call::get(&path(&one))).await?, &FIRST))
        }
        Replay::Pause(one) => turn(&one, "pause"),
        Replay::Resume(one) => turn(&one, "resume"),
        Replay::Cancel(one) => turn(&one, "cancel"),
    }
}

fn path(one: &One) -> String {
    format!("webhooks/{}/replays/{}", one.webhook, one.replay)
}

fn begin(start: &Start) -> anyhow::Result<ExitCode> {
    with_api(&start.common, async |api, output| {
        let fields = [
            ("from", start.from.map(|from| json!(from.to_string()))),
            ("to", start.to.map(|to| json!(to.to_string()))),
            ("ratePerSecond", start.rate.map(Value::from)),
            ("reason", start.reason.as_ref().map(|reason| json!(reason))),
            ("dryRun", start.dry_run.then_some(Value::Bool(true))),
        ];
        let mut body = json!({ "what": start.what.code() });
        for (name, value) in fields {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let path = format!("webhooks/{}/replays", start.webhook);
        output.one(&api.make(Call::post(&path, Some(&body))).await?, &FIRST)
    })
}

fn turn(one: &One, to: &str) -> anyhow::Result<ExitCode> {
    with_api(&one.common, async |api, output| {
        output.one(&api.make(Call::post(&format!("{}/{to}", path(one)), None)).await?, &FIRST)
    })
}
