//! `webhook`: registering, changing and steering webhooks.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::lists::{Columns, list};
use super::output::{Output, Tint, note, text};
use super::{say, with_api};
use crate::api_client::Api;
use crate::api_client::call::Call;
use crate::cli::access::Common;
use crate::cli::paging::Paging;
use crate::cli::webhook::{One, Options, Steer, Webhook};

/// The fields of a webhook that come first.
const FIRST: [&str; 7] = ["id", "webhookUrl", "status", "disabledReason", "disabledAt", "eventTypes", "state"];
/// The fields of a steering that come first.
const STEERED: [&str; 5] = ["id", "command", "event", "done", "deliveries"];

const WEBHOOKS: Columns = Columns {
    columns: &[
        ("id", |webhook| text(webhook, "id")),
        ("status", status),
        (
            "types",
            |webhook| if webhook["eventTypes"].is_null() { "all".to_owned() } else { text(webhook, "eventTypes") },
        ),
        ("created", |webhook| text(webhook, "createdAt")),
        ("URL", |webhook| text(webhook, "webhookUrl")),
    ],
    tint: |webhook| if webhook["enabled"] == json!(false) { Tint::Bad } else { Tint::Plain },
};

const STEERINGS: Columns = Columns {
    columns: &[
        ("asked", |steering| text(steering, "askedAt")),
        ("command", |steering| text(steering, "command")),
        ("event", |steering| text(steering, "event")),
        ("done", |steering| text(steering, "doneAt")),
        ("deliveries", |steering| text(steering, "deliveries")),
        ("reason", |steering| text(steering, "reason")),
    ],
    tint: |steering| if steering["done"] == json!(true) { Tint::Plain } else { Tint::Waiting },
};

/// `enabled`, or `disabled` and why.
fn status(webhook: &Value) -> String {
    let status = text(webhook, "status");
    if webhook["disabledReason"].is_null() { status } else { format!("{status} ({})", text(webhook, "disabledReason")) }
}

/// Runs one of them.
///
/// # Errors
/// When the server is not known or does not answer, or it refuses.
pub(super) fn webhook(command: Webhook) -> anyhow::Result<ExitCode> {
    match command {
        Webhook::Add { webhook_url, check, options, common } => {
            let mut body = fields(&options);
            body.insert("webhookUrl".to_owned(), webhook_url.into());
            if check {
                body.insert("check".to_owned(), true.into());
            }
            change(&common, Method::POST, "webhooks/".to_owned(), Some(body), Shown::Secrets)
        }
        Webhook::List(common) => with_api(&common, async |api, output| {
            let paging = Paging { limit: 1, all: true };
            list(api, output, "webhooks/", Vec::new(), &paging, &WEBHOOKS).await
        }),
        Webhook::Show(one) => with_api(&one.common, async |api, output| {
            output.one(&api.make(Call::get(&format!("webhooks/{}", one.webhook))).await?, &FIRST)
        }),
        Webhook::Set {
            webhook,
            webhook_url,
            all_event_types,
            no_headers,
            no_rate_limit,
            default_attempt_timeout,
            options,
            common,
        } => {
            let mut body = fields(&options);
            if let Some(url) = webhook_url {
                body.insert("webhookUrl".to_owned(), url.into());
            }
            let cleared = [
                (all_event_types, "eventTypes"),
                (no_headers, HEADERS),
                (no_rate_limit, RATE_LIMIT),
                (default_attempt_timeout, ATTEMPT_TIMEOUT),
            ];
            body.extend(
                cleared.into_iter().filter(|(cleared, _)| *cleared).map(|(_, name)| (name.to_owned(), Value::Null)),
            );
            change(&common, Method::PATCH, format!("webhooks/{webhook}"), Some(body), Shown::Plain)
        }
        Webhook::Remove(one) => {
            change(&one.common, Method::DELETE, format!("webhooks/{}", one.webhook), None, Shown::Plain)
        }
        Webhook::Rotate { webhook, overlap, common } => {
            let body =
                overlap.map(|overlap| object(json!({ "overlapSeconds": overlap.as_millis().div_ceil(1_000) as u64 })));
            change(&common, Method::POST, format!("webhooks/{webhook}/secret/rotate"), body, Shown::Secrets)
        }
        Webhook::Enable(one) => enable(&one.common, one.webhook, true),
        Webhook::Disable(one) => enable(&one.common, one.webhook, false),
        Webhook::Check(one) => check(&one),
        Webhook::Test(one) => {
            change(&one.common, Method::POST, format!("webhooks/{}/test", one.webhook), None, Shown::Plain)
        }
        Webhook::Resume(steer) => steered(&steer, "resume", None),
        Webhook::Skip { event, steer } => steered(&steer, "skip", event),
        Webhook::Drop(steer) => steered(&steer, "drop", None),
        Webhook::Steerings { webhook, paging, common } => with_api(&common, async |api, output| {
            list(api, output, &format!("webhooks/{webhook}/steerings"), Vec::new(), &paging, &STEERINGS).await
        }),
    }
}

const HEADERS: &str = "headers";
const RATE_LIMIT: &str = "rateLimit";
const ATTEMPT_TIMEOUT: &str = "attemptTimeoutSeconds";

/// What a webhook takes and how it is called, as far as it was named.
fn fields(options: &Options) -> Map<String, Value> {
    let mut body = Map::new();
    if !options.event_types.is_empty() {
        body.insert("eventTypes".to_owned(), json!(options.event_types));
    }
    if !options.headers.is_empty() {
        let headers = options.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
        body.insert(HEADERS.to_owned(), Value::Object(headers.collect()));
    }
    if let Some(limit) = options.rate_limit {
        body.insert(RATE_LIMIT.to_owned(), json!(limit));
    }
    if let Some(seconds) = options.attempt_timeout {
        body.insert(ATTEMPT_TIMEOUT.to_owned(), json!(seconds));
    }
    if let Some(ordering) = &options.ordering {
        body.insert("ordering".to_owned(), json!(ordering));
    }
    body
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// What an answer holds beside the webhook.
#[derive(PartialEq, Eq)]
enum Shown {
    Plain,
    /// Secrets, which are never shown again.
    Secrets,
}

fn enable(common: &Common, webhook: Uuid, enabled: bool) -> anyhow::Result<ExitCode> {
    let body = object(json!({ "enabled": enabled }));
    change(common, Method::PATCH, format!("webhooks/{webhook}"), Some(body), Shown::Plain)
}

/// Makes a call that changes something, and prints its answer.
fn change(
    common: &Common,
    method: Method,
    path: String,
    body: Option<Map<String, Value>>,
    shown: Shown,
) -> anyhow::Result<ExitCode> {
    with_api(common, async |api, output| {
        let body = body.map(Value::Object);
        let call = Call { method, path: &path, query: &[], body: body.as_ref() };
        let mut data = api.make(call).await?;
        let answer: Value = serde_json::from_str(data.get())?;
        let report = answer["check"]["report"].clone();
        if !output.json && !report.is_null() {
            // The steps come as lines of their own.
            let mut webhook = object(answer);
            webhook.remove("check");
            data = serde_json::value::to_raw_value(&webhook)?;
        }
        output.one(&data, &FIRST)?;
        if !output.json {
            print_steps(output, &report);
        }
        if shown == Shown::Secrets {
            note("the signing secret is not shown again: keep it now");
        }
        Ok(())
    })
}

/// How the steps of a check went, a line each.
fn print_steps(output: &Output, report: &Value) {
    for step in report["steps"].as_array().into_iter().flatten() {
        let [name, outcome, sentence] = ["step", "outcome", "sentence"].map(|name| text(step, name));
        output.line(&format!("{name:10}  {outcome:11}  {sentence}"), Tint::of(&outcome));
    }
}

/// Has one request made to a webhook; fails when that was not taken.
fn check(one: &One) -> anyhow::Result<ExitCode> {
    with_api(&one.common, async |api, output| {
        let data = api.make(Call::post(&format!("webhooks/{}/check", one.webhook), None)).await?;
        let answer: Value = serde_json::from_str(data.get())?;
        let report = &answer["report"];
        if output.json {
            say(data);
        } else {
            print_steps(output, report);
        }
        anyhow::ensure!(answer["done"] == json!(true), "not done yet: `webhook steerings` tells when it is");
        anyhow::ensure!(!report.is_null(), "the webhook was disabled or deleted meanwhile: nothing was sent");
        anyhow::ensure!(report["passed"] == json!(true), "the webhook does not take what it is sent");
        Ok(())
    })
}

/// Makes a wish for a webhook's deliveries.
fn steered(steer: &Steer, command: &str, event: Option<Uuid>) -> anyhow::Result<ExitCode> {
    with_api(&steer.common, async |api: &Api, output: &Output| {
        let mut body = json!({ "reason": steer.reason });
        if let Some(event) = event {
            body["eventId"] = json!(event);
        }
        let data = api.make(Call::post(&format!("webhooks/{}/{command}", steer.webhook), Some(&body))).await?;
        output.one(&data, &STEERED)?;
        let answer: Value = serde_json::from_str(data.get())?;
        if answer["done"] == json!(false) {
            note("taken, and not done yet: `webhook steerings` tells when it is");
        }
        Ok(())
    })
}
