//! Dead letters: what was given up, to be sent again or discarded.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use http::Method;
use serde_json::json;
use spectrum_webhook_core::delivery::{DeadReason, LastAttempt};
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ids::{self, EventId, WebhookId};
use spectrum_webhook_core::ports::{DeadLetter, LetterQuery, Project};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use super::attempt::Body;
use super::{Answer, Choice, ROWS, webhook_id, webhooks_of};
use crate::frame::{Frame, Tab, page};
use crate::gate::{Posted, Signed};
use crate::query::Place;
use crate::trouble::Trouble;
use crate::words::{self, Chip, Html};

/// Letters of one webhook that one form may name: what the API takes at once.
const AT_ONCE: usize = 100;

const STATES: [(&str, &str); 3] = [("", "Open"), ("closed", "Closed"), ("all", "Open and closed")];
const REASONS: [(&str, &str); 6] = [
    ("", "Any reason"),
    ("fatal", "Refused"),
    ("poison", "Poison"),
    ("expired", "Expired"),
    ("skipped", "Skipped"),
    ("dropped", "Dropped"),
];

#[derive(Template)]
#[template(path = "letters.html")]
struct LettersPage {
    frame: Frame,
    project: Project,
    letters: Vec<Shown>,
    states: Vec<Choice>,
    reasons: Vec<Choice>,
    webhooks: Vec<Choice>,
    from: String,
    to: String,
    /// This page, to come back to.
    back: String,
    /// The one webhook that is looked at.
    only: Option<WebhookId>,
    any_open: bool,
    filtered: bool,
    next: Option<String>,
    now: Millis,
}

/// A dead letter, as it is shown.
struct Shown {
    letter: DeadLetter,
    url: String,
    chip: Chip,
    why: String,
    is_open: bool,
    resent: Option<EventId>,
}

/// Why a delivery was given up, as a sentence.
fn why(letter: &DeadLetter) -> String {
    let last = letter.last.as_deref().and_then(LastAttempt::from_code).map(explain::cause);
    let because = last.map_or_else(String::new, |why| format!(" because {why}"));
    match letter.reason {
        DeadReason::Fatal => format!("Given up{because}: a repetition would not help."),
        DeadReason::Poison => {
            format!("All {} attempts failed while a later event was delivered, the last{because}.", letter.attempts)
        }
        DeadReason::Expired => "It waited longer than events are kept for a webhook that is disabled.".to_owned(),
        DeadReason::Skipped => "Someone took it out of the way of those behind it.".to_owned(),
        DeadReason::Dropped => "Someone dropped it with all that waited.".to_owned(),
    }
}

impl Shown {
    fn of(letter: DeadLetter, webhooks: &[Webhook]) -> Self {
        let chip = match letter.closed.map(|(_, closing)| closing.code()) {
            None => Chip { word: "Open", tone: "bad" },
            Some("resent") => Chip { word: "Sent again", tone: "busy" },
            Some("discarded") => Chip { word: "Discarded", tone: "idle" },
            Some(_) => Chip { word: "Dropped", tone: "idle" },
        };
        let webhook = webhooks.iter().find(|webhook| webhook.id == letter.webhook);
        let url = webhook.map_or("a removed webhook", |webhook| webhook.url.as_str()).to_owned();
        let resent = letter.resent_as.filter(|_| letter.closed.is_some());
        Self { url, chip, why: why(&letter), is_open: letter.closed.is_none(), resent, letter }
    }
}

/// `GET /dashboard/projects/{project}/dead-letters`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let webhooks = webhooks_of(&signed, &project).await?;
    let only = place.text("webhook").and_then(ids::usual).map(WebhookId);
    let query = LetterQuery {
        project: project.id,
        webhook: only,
        closed: match place.text("state") {
            None => Some(false),
            Some("closed") => Some(true),
            Some(_) => None,
        },
        reason: place.text("reason").and_then(DeadReason::from_code),
        fault: None,
        from: place.moment("from"),
        to: place.moment("to"),
        after: place.cursor::<(Millis, EventId, WebhookId)>(),
        limit: ROWS + 1,
    };
    let mut found = signed.shared.ports.dead_letters.letters(&query).await?;
    let more = found.len() > ROWS as usize;
    found.truncate(ROWS as usize);
    let next = found.last().filter(|_| more).map(|last| place.after(&(last.died_at, last.id, last.webhook)));
    let mut choices = vec![Choice { value: String::new(), label: "Any webhook".to_owned(), selected: only.is_none() }];
    choices.extend(webhooks.iter().map(|webhook| Choice {
        value: webhook.id.to_string(),
        label: webhook.url.clone(),
        selected: only == Some(webhook.id),
    }));
    let letters: Vec<Shown> = found.into_iter().map(|letter| Shown::of(letter, &webhooks)).collect();
    let text = |name: &str| place.text(name).unwrap_or_default().to_owned();
    let filtered = ["webhook", "state", "reason", "from", "to"].iter().any(|field| place.text(field).is_some());
    Ok(page(&LettersPage {
        frame: Frame::of(&signed, &project, &place, "Dead letters", Tab::DeadLetters),
        project,
        any_open: letters.iter().any(|shown| shown.is_open),
        letters,
        states: Choice::list(&STATES, place.text("state")),
        reasons: Choice::list(&REASONS, place.text("reason")),
        webhooks: choices,
        from: text("from"),
        to: text("to"),
        back: place.with("did", None),
        only,
        filtered,
        next,
        now: signed.shared.now(),
    }))
}

/// `POST /dashboard/projects/{project}/dead-letters`
///
/// What is selected may be of several webhooks: the API takes those of one at a time.
pub(crate) async fn act(Posted { signed, form, place }: Posted) -> Answer {
    let project = signed.project(&place).await?;
    let call = async |webhook: &str, what: &str, body| {
        let path = format!("/webhooks/{webhook}/dead-letters/{what}");
        signed.shared.api.call(project.id, Method::POST, &path, Some(body)).await
    };
    let back = |did: &str| {
        let own = crate::gate::own_page(form.text("back")).filter(|page| page.contains("/dead-letters"));
        let own = own.map_or_else(|| place.path().to_owned(), str::to_owned);
        let (path, query) = own.split_once('?').unwrap_or((&own, ""));
        Redirect::to(&Place::of(path, query).with("did", Some(did))).into_response()
    };
    let reason = form.text("reason");
    if form.text("do") == "discard-all" {
        let webhook = ids::usual(form.text("webhook")).ok_or_else(|| Trouble::not_found("webhook"))?;
        call(&webhook.to_string(), "discard", json!({ "all": true, "reason": reason })).await?;
        return Ok(back("discarded"));
    }
    let mut chosen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (webhook, letter) in form.all("letter").filter_map(|letter| letter.split_once('/')) {
        if ids::usual(webhook).is_some() && ids::usual(letter).is_some() {
            chosen.entry(webhook.to_owned()).or_default().push(letter.to_owned());
        }
    }
    if chosen.is_empty() {
        return Err(Trouble::unfit("Select at least one dead letter first."));
    }
    let mut left_out = false;
    for (webhook, letters) in &chosen {
        for letters in letters.chunks(AT_ONCE) {
            match form.text("do") {
                "resend" => {
                    // In the order in which they died, which is the other way round on the page.
                    let letters: Vec<&String> = letters.iter().rev().collect();
                    match call(webhook, "resend", json!({ "ids": letters })).await {
                        Ok(outcomes) => {
                            let sent = outcomes
                                .as_array()
                                .map_or(0, |all| all.iter().filter(|one| !one["id"].is_null()).count());
                            left_out |= sent < letters.len();
                        }
                        Err(refusal) if refusal.status.is_client_error() && chosen.len() > 1 => left_out = true,
                        Err(refusal) => return Err(refusal.into()),
                    }
                }
                "discard" => {
                    call(webhook, "discard", json!({ "ids": letters, "reason": reason })).await?;
                }
                _ => return Err(Trouble::unfit("Choose what to do with what you selected.")),
            }
        }
    }
    let did = match (form.text("do"), left_out) {
        ("discard", _) => "discarded",
        (_, true) => "some-resent",
        _ => "resent",
    };
    Ok(back(did))
}

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    frame: Frame,
    project: Project,
    shown: Shown,
    body: Body,
}

/// `GET /dashboard/projects/{project}/dead-letters/{webhook}/{letter}`
pub(crate) async fn one(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let webhook = webhook_id(&place)?;
    let id = place.id(5).map(EventId).ok_or_else(|| Trouble::not_found("dead letter"))?;
    let found = signed.shared.ports.dead_letters.letter(project.id, webhook, id).await?;
    let (letter, message) = found.ok_or_else(|| Trouble::not_found("dead letter"))?;
    let webhooks = webhooks_of(&signed, &project).await?;
    let frame = Frame::of(&signed, &project, &place, "Dead letter", Tab::DeadLetters);
    let (shown, body) = (Shown::of(letter, &webhooks), Body::of(&message.body));
    Ok(page(&LetterPage { frame, project, shown, body }))
}

impl Shown {
    fn closed(&self) -> Option<(Html, String)> {
        let (at, _) = self.letter.closed?;
        Some((words::when(at), self.letter.closed_reason.clone().unwrap_or_default()))
    }
}
