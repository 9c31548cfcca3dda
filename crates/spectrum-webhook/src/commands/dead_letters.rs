//! `dead-letters`: what was given up.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};
use uuid::Uuid;

use super::lists::{Columns, list};
use super::output::{Output, Row, Tint, text};
use super::{say, with_api};
use crate::api_client::Api;
use crate::api_client::call::{Call, CallError};
use crate::cli::dead_letters::{DeadLetters, List};
use crate::exit::Usage;

/// The fields of a dead letter that come first.
const FIRST: [&str; 8] = ["id", "eventId", "webhookId", "eventType", "state", "reason", "fault", "last"];
/// The fields of an answer to `discard`.
const DISCARDED: [&str; 1] = ["discarded"];
/// The longest answer to a question that is read, in bytes.
const LONGEST_WORD: u64 = 64;

const LETTERS: Columns = Columns {
    columns: &[
        ("died", |letter| text(letter, "diedAt")),
        ("webhook", |letter| text(letter, "webhookId")),
        ("id", |letter| text(letter, "id")),
        ("type", |letter| text(letter, "eventType")),
        ("state", |letter| text(letter, "state")),
        ("reason", |letter| text(letter, "reason")),
        ("fault", |letter| text(letter, "fault")),
        ("attempts", |letter| text(letter, "attempts")),
        ("last", |letter| text(letter, "last")),
    ],
    tint: |letter| if letter["state"] == json!("open") { Tint::Bad } else { Tint::Plain },
};

/// Runs one of them.
///
/// # Errors
/// When the server is not known or does not answer, or it refuses.
pub(super) fn dead_letters(command: DeadLetters) -> anyhow::Result<ExitCode> {
    match command {
        DeadLetters::List(arguments) => letters(&arguments),
        DeadLetters::Show { webhook, letter, common } => {
            with_api(&common, async |api, output| show(api, output, webhook, letter).await)
        }
        DeadLetters::Resend { webhook, letters, common } => {
            with_api(&common, async |api, output| resend(api, output, webhook, &letters).await)
        }
        DeadLetters::Discard { webhook, letters, all, yes, reason, common } => {
            if all && !yes {
                confirm(webhook)?;
            }
            with_api(&common, async |api, output| {
                let mut body = if all { json!({ "all": true }) } else { json!({ "ids": letters }) };
                body["reason"] = json!(reason);
                let path = format!("webhooks/{webhook}/dead-letters/discard");
                output.one(&api.make(Call::post(&path, Some(&body))).await?, &DISCARDED)
            })
        }
    }
}

fn letters(arguments: &List) -> anyhow::Result<ExitCode> {
    with_api(&arguments.common, async |api, output| {
        let query = [
            ("webhook", arguments.webhook.map(|id| id.to_string())),
            ("state", Some(arguments.state.code().to_owned())),
            ("reason", arguments.reason.clone()),
            ("fault", arguments.fault.clone()),
            ("from", arguments.from.map(|from| from.to_string())),
            ("to", arguments.to.map(|to| to.to_string())),
        ];
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        list(api, output, "dead-letters", query, &arguments.paging, &LETTERS).await
    })
}

async fn show(api: &Api, output: &Output, webhook: Uuid, letter: Uuid) -> anyhow::Result<()> {
    let path = format!("webhooks/{webhook}/dead-letters/{letter}");
    output.one(&api.make(Call::get(&path)).await?, &FIRST)
}

/// Sends them again in the order in which they are named, and fails when one of them was refused.
async fn resend(api: &Api, output: &Output, webhook: Uuid, letters: &[Uuid]) -> anyhow::Result<()> {
    let path = format!("webhooks/{webhook}/dead-letters/resend");
    let data = api.make(Call::post(&path, Some(&json!({ "ids": letters })))).await?;
    let outcomes: Vec<Value> = serde_json::from_str(data.get())?;
    if output.json {
        say(data);
    } else {
        let rows = outcomes.iter().map(|outcome| {
            let tint = if outcome["code"].is_null() { Tint::Good } else { Tint::Bad };
            Row { cells: ["letter", "id", "code"].map(|name| text(outcome, name)).into(), tint }
        });
        output.table(&["dead letter", "sent again as", "refused"], &rows.collect::<Vec<_>>());
    }
    let refused: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome["code"].is_null()).map(|outcome| text(outcome, "code")).collect();
    let Some(code) = refused.first() else { return Ok(()) };
    let status = if refused.iter().all(|code| code == "not_found") { 404 } else { 409 };
    let message = format!("{} of {} were not sent again", refused.len(), letters.len());
    Err(CallError::Refused { status, code: code.clone(), message, retry_after: None }.into())
}

/// Asks whether all are meant, on a terminal; elsewhere nobody can answer.
fn confirm(webhook: Uuid) -> anyhow::Result<()> {
    let (input, mut screen) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() || !screen.is_terminal() {
        return Err(Usage("without a terminal nobody can be asked whether all are meant: add --yes".to_owned()).into());
    }
    write!(screen, "Discard all open dead letters of webhook {webhook}? [y/N] ")?;
    screen.flush()?;
    let mut word = String::new();
    input.lock().take(LONGEST_WORD).read_line(&mut word)?;
    if matches!(word.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(anyhow::anyhow!("nothing was discarded"))
}
