//! Replays: many events once more to one webhook, counted first, watched, paused, cancelled.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use spectrum_webhook_core::ids::{self, ProjectId, ReplayId, WebhookId};
use spectrum_webhook_core::ports::{Project, Replay, ReplayState};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use super::{Answer, Choice, webhook_id, webhooks_of};
use crate::form::Form;
use crate::frame::{Frame, Tab, page, part};
use crate::gate::{Posted, Signed};
use crate::live;
use crate::query::{Place, moment};
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Html};

/// How often a live page looks.
const EVERY: Duration = Duration::from_secs(1);
/// Replays of a page.
const ROWS: u32 = 20;

const WHAT: [(&str, &str); 2] = [("dead", "Its open dead letters"), ("all", "Everything in the archive that it takes")];

#[derive(Template)]
#[template(path = "replays.html")]
struct ReplaysPage {
    frame: Frame,
    project: Project,
    place: Place,
    webhook: Webhook,
    what: Vec<Choice>,
    from: String,
    to: String,
    rate: String,
    reason: String,
    /// What was counted.
    counted: Option<u64>,
    problem: Option<String>,
    list: Html,
}

impl ReplaysPage {
    fn refused(self, problem: String) -> Response {
        let mut response = page(&Self { problem: Some(problem), ..self });
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        response
    }
}

#[derive(Template)]
#[template(path = "replays_list.html")]
struct List {
    project: ProjectId,
    webhook: WebhookId,
    token: String,
    replays: Vec<Replay>,
    next: Option<String>,
}

impl List {
    fn percent(&self, replay: &Replay) -> u64 {
        if replay.state == ReplayState::Done {
            100
        } else {
            (replay.sent * 100).checked_div(replay.total).unwrap_or(0).min(100)
        }
    }

    fn is_open(&self, replay: &Replay) -> bool {
        matches!(replay.state, ReplayState::Running | ReplayState::Paused)
    }

    fn is_running(&self, replay: &Replay) -> bool {
        replay.state == ReplayState::Running
    }

    fn what(&self, replay: &Replay) -> &'static str {
        match replay.selection.what.code() {
            "dead" => "Open dead letters",
            _ => "Everything in the archive",
        }
    }
}

async fn list(
    shared: &Shared,
    project: &Project,
    webhook: WebhookId,
    token: &str,
    place: &Place,
) -> Result<Html, Trouble> {
    let after = place.cursor::<(Millis, ReplayId)>();
    let mut replays = shared.ports.replays.replays(project.id, webhook, after, ROWS + 1).await?;
    let more = replays.len() > ROWS as usize;
    replays.truncate(ROWS as usize);
    let next = replays.last().filter(|_| more).map(|last| place.after(&(last.created_at, last.id)));
    Ok(Html(part(&List { project: project.id, webhook, token: token.to_owned(), replays, next })))
}

async fn page_with(signed: &Signed, place: Place, form: &Form) -> Result<ReplaysPage, Trouble> {
    let project = signed.project(&place).await?;
    let id = webhook_id(&place)?;
    let webhook = webhooks_of(signed, &project).await?.into_iter().find(|webhook| webhook.id == id);
    let webhook = webhook.ok_or_else(|| Trouble::not_found("webhook"))?;
    let list = list(&signed.shared, &project, id, &signed.token, &place).await?;
    let field = |name: &str| form.raw(name).to_owned();
    let what = Some(form.text("what")).filter(|what| !what.is_empty()).or(place.text("what")).unwrap_or("dead");
    Ok(ReplaysPage {
        frame: Frame::of(signed, &project, &place, "Replays", Tab::Webhooks),
        what: Choice::list(&WHAT, Some(what)),
        from: field("from"),
        to: field("to"),
        rate: field("rate"),
        reason: field("reason"),
        counted: None,
        problem: None,
        project,
        place,
        webhook,
        list,
    })
}

/// `GET /dashboard/projects/{project}/webhooks/{webhook}/replays`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    Ok(page(&page_with(&signed, place, &Form::of(b"")).await?))
}

/// `GET /dashboard/projects/{project}/webhooks/{webhook}/replays/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    let project = Arc::new(signed.project(&place).await?);
    let (webhook, token) = (webhook_id(&place)?, Arc::new(signed.token.clone()));
    if !webhooks_of(&signed, &project).await?.iter().any(|known| known.id == webhook) {
        return Err(Trouble::not_found("webhook"));
    }
    let place = Arc::new(Place::of_page(&place));
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (project, token, place) = (Arc::clone(&project), Arc::clone(&token), Arc::clone(&place));
        async move { Ok(vec![("replays", list(&shared, &project, webhook, &token, &place).await?.0)]) }
    }))
}

/// What the form says, as the API takes it.
fn wish(form: &Form, dry_run: bool) -> Result<Value, String> {
    let mut body = json!({ "what": form.text("what"), "dryRun": dry_run });
    for name in ["from", "to"] {
        if !form.text(name).is_empty() {
            let at = moment(form.text(name)).ok_or("A time is a date and an hour, like 2026-01-02T03:04, in UTC.")?;
            body[name] = json!(words::iso(at));
        }
    }
    if !form.text("rate").is_empty() {
        let rate: u64 =
            form.text("rate").parse().map_err(|_| "The rate is a whole number from 1 to 1,000, or empty.")?;
        body["ratePerSecond"] = json!(rate);
    }
    if !dry_run {
        body["reason"] = json!(form.text("reason"));
    }
    Ok(body)
}

/// `POST /dashboard/projects/{project}/webhooks/{webhook}/replays`: counts them, or begins.
pub(crate) async fn create(Posted { signed, form, place }: Posted) -> Answer {
    let dry_run = form.text("do") != "start";
    let here = place.path().to_owned();
    let again = page_with(&signed, place, &form).await?;
    let (project, webhook) = (again.project.id, again.webhook.id);
    let body = match wish(&form, dry_run) {
        Ok(body) => body,
        Err(problem) => return Ok(again.refused(problem)),
    };
    let path = format!("/webhooks/{webhook}/replays");
    match signed.shared.api.call(project, Method::POST, &path, Some(body)).await {
        Ok(_) if !dry_run => Ok(Redirect::to(&format!("{here}?did=replay")).into_response()),
        Ok(answer) => Ok(page(&ReplaysPage { counted: answer["total"].as_u64(), ..again })),
        Err(refusal) if refusal.status.is_client_error() => Ok(again.refused(refusal.sentence())),
        Err(refusal) => Err(refusal.into()),
    }
}

/// `POST /dashboard/projects/{project}/webhooks/{webhook}/replays/{replay}/{pause,resume,cancel}`
pub(crate) async fn turn(Posted { signed, place, .. }: Posted) -> Answer {
    let project = signed.project(&place).await?;
    let webhook = webhook_id(&place)?;
    let replay = place.segment(6).and_then(ids::usual).ok_or_else(|| Trouble::not_found("replay"))?;
    let (verb, did) = match place.segment(7) {
        Some("pause") => ("pause", "paused"),
        Some("resume") => ("resume", "running"),
        Some("cancel") => ("cancel", "cancelled"),
        _ => return Err(Trouble::not_found("page")),
    };
    let path = format!("/webhooks/{webhook}/replays/{replay}/{verb}");
    signed.shared.api.call(project.id, Method::POST, &path, None).await?;
    let to = format!("/dashboard/projects/{}/webhooks/{webhook}/replays?did={did}", project.id);
    Ok(Redirect::to(&to).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_the_api_takes() {
        let form = Form::of(b"what=all&from=2026-01-02T03:04&to=&rate=20&reason=they+mended+it");
        let expected = json!({ "what": "all", "dryRun": false, "from": "2026-01-02T03:04:00.000Z", "ratePerSecond": 20,
            "reason": "they mended it" });
        assert_eq!(wish(&form, false), Ok(expected));
        let counted = wish(&form, true).expect("a wish");
        assert_eq!((counted["dryRun"].as_bool(), counted.get("reason")), (Some(true), None));
        assert!(wish(&Form::of(b"what=all&from=x"), true).is_err());
        assert!(wish(&Form::of(b"what=all&rate=x"), true).is_err());
    }
}
