//! `event`: posting events, where one stands, and one once more.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::{Row, Tint, text};
use super::{say, send, with_api};
use crate::api_client::call::Call;
use crate::cli::event::{Event, Resend, Show};

/// The fields of an answer to `resend`.
const RESENT: [&str; 2] = ["id", "eventId"];
const HEAD: [&str; 7] = ["webhook", "stands", "since", "attempts", "last attempt", "next", "URL"];

/// Runs one of them.
///
/// # Errors
/// When the server is not known or does not answer, or it refuses.
pub(super) fn event(command: Event) -> anyhow::Result<ExitCode> {
    match command {
        Event::Send(arguments) => send::send(arguments),
        Event::Show(arguments) => show(&arguments),
        Event::Resend(arguments) => resend(&arguments),
    }
}

fn resend(arguments: &Resend) -> anyhow::Result<ExitCode> {
    with_api(&arguments.common, async |api, output| {
        let path = format!("events/{}/resend", arguments.event);
        let to = json!({ "webhookId": arguments.webhook });
        output.one(&api.make(Call::post(&path, Some(&to))).await?, &RESENT)
    })
}

/// Where an event stands: one line for each webhook, and then why in words.
fn show(arguments: &Show) -> anyhow::Result<ExitCode> {
    with_api(&arguments.common, async |api, output| {
        let data = api.make(Call::get(&format!("events/{}", arguments.event))).await?;
        if output.json {
            say(data);
            return Ok(());
        }
        let event: Value = serde_json::from_str(data.get())?;
        let [id, kind, accepted] = ["id", "eventType", "acceptedAt"].map(|name| text(&event, name));
        let size = event["size"].as_u64().map_or_else(String::new, |size| format!(", {size} bytes"));
        say(format_args!("event {id}, {kind}{size}, accepted {accepted}"));
        let none = Vec::new();
        let webhooks = event["webhooks"].as_array().unwrap_or(&none);
        let rows = webhooks.iter().map(|webhook| {
            let names = ["webhookId", "code", "since", "attempts", "lastAttemptAt", "nextAt", "webhookUrl"];
            Row { cells: names.map(|name| text(webhook, name)).into(), tint: Tint::of(&text(webhook, "code")) }
        });
        output.table(&HEAD, &rows.collect::<Vec<_>>());
        for webhook in webhooks {
            say(format_args!("{}: {}", text(webhook, "webhookUrl"), text(webhook, "sentence")));
            for resend in webhook["resends"].as_array().into_iter().flatten() {
                say(format_args!("    sent again as {}: {}", text(resend, "resendId"), text(resend, "sentence")));
            }
        }
        Ok(())
    })
}
