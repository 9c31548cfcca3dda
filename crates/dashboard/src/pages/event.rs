//! An event: where it stands at every webhook, as a timeline, and how to send it again.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use http::Method;
use serde_json::json;
use spectrum_webhook_core::attempt::AttemptRecord;
use spectrum_webhook_core::explain::{self, Code, Standing};
use spectrum_webhook_core::ids::{self, EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{AttemptFilter, EventFacts, Project};
use spectrum_webhook_core::time::Millis;

use super::Answer;
use super::attempt::Body;
use crate::frame::{Frame, Tab, page, part};
use crate::gate::{Posted, Signed};
use crate::live;
use crate::query::Place;
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Chip, Html};

/// How often a live page looks.
const EVERY: Duration = Duration::from_secs(1);
/// Attempts that a timeline shows at most.
const ATTEMPTS: u32 = 200;

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    project: Project,
    place: Place,
    facts: EventFacts,
    body: Option<Body>,
    timelines: Html,
    /// How many webhooks it can be sent to again.
    again: usize,
}

#[derive(Template)]
#[template(path = "event_timelines.html")]
struct Timelines {
    project: ProjectId,
    event: EventId,
    token: String,
    accepted_at: Millis,
    timelines: Vec<Timeline>,
}

/// An event's way to one webhook.
struct Timeline {
    webhook: WebhookId,
    url: String,
    deleted: bool,
    own: Track,
    resends: Vec<Track>,
    /// Whether it can be sent again.
    again: bool,
}

impl Timeline {
    /// The open dead letter that it ends in.
    fn letter(&self, event: EventId) -> Option<EventId> {
        let newest = self.resends.last().unwrap_or(&self.own);
        (newest.code == Code::DeadLetter).then(|| newest.resend.unwrap_or(event))
    }
}

/// The way of the event itself, or of a resend.
struct Track {
    resend: Option<EventId>,
    code: Code,
    chip: Chip,
    sentence: Html,
    attempts: Vec<AttemptRecord>,
    next_at: Option<Millis>,
}

/// What is on its way need not be sent again.
fn can_be_sent_again(standing: &Standing) -> bool {
    matches!(
        standing.code,
        Code::Delivered
            | Code::DeadLetter
            | Code::Resent
            | Code::Discarded
            | Code::Dropped
            | Code::Filtered
            | Code::RegisteredLater
            | Code::Unknown
    )
}

async fn read(shared: &Shared, project: &Project, event: EventId) -> Result<(EventFacts, Vec<Timeline>), Trouble> {
    let now = shared.now();
    let facts = shared.ports.insight.event(project.id, event).await?;
    let facts = facts.ok_or_else(|| Trouble::nothing(&sentence(explain::absent(event, now))))?;
    let filter = AttemptFilter { event: Some(facts.event), ..AttemptFilter::default() };
    let mut attempts = shared.ports.insight.attempts(project.id, &filter, ATTEMPTS).await?.attempts;
    attempts.reverse();
    let timelines = facts.recipients.iter().map(|recipient| {
        let (own, resends) = explain::event(&facts, recipient, now);
        let track = |resend: Option<EventId>, standing: &Standing| Track {
            resend,
            code: standing.code,
            chip: words::standing(standing.code),
            sentence: words::sentence(&standing.sentence, &project.id),
            attempts: attempts
                .iter()
                .filter(|attempt| attempt.key.webhook == recipient.webhook.id && attempt.resend == resend)
                .cloned()
                .collect(),
            next_at: standing.next_at,
        };
        let newest = resends.last().map_or(&own, |(_, newest)| newest);
        Timeline {
            webhook: recipient.webhook.id,
            url: recipient.webhook.url.clone(),
            deleted: recipient.deleted_at.is_some(),
            again: recipient.deleted_at.is_none() && recipient.webhook.disabled.is_none() && can_be_sent_again(newest),
            own: track(None, &own),
            resends: resends.iter().map(|(id, standing)| track(Some(*id), standing)).collect(),
        }
    });
    let timelines = timelines.collect();
    Ok((facts, timelines))
}

/// The same with a capital and an end.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn event_id(place: &Place) -> Result<EventId, Trouble> {
    place.id(4).map(EventId).ok_or_else(|| Trouble::not_found("event"))
}

fn shown(project: &Project, facts: &EventFacts, timelines: Vec<Timeline>, token: &str) -> Html {
    Html(part(&Timelines {
        project: project.id,
        event: facts.event,
        token: token.to_owned(),
        accepted_at: facts.accepted_at,
        timelines,
    }))
}

/// `GET /dashboard/projects/{project}/events/{event}`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let (facts, timelines) = read(&signed.shared, &project, event_id(&place)?).await?;
    let message = signed.shared.ports.insight.message(project.id, facts.event).await?;
    let again = timelines.iter().filter(|timeline| timeline.again).count();
    let frame = Frame::of(&signed, &project, &place, format!("Event {}", facts.event), Tab::Log);
    let timelines = shown(&project, &facts, timelines, &signed.token);
    let body = message.map(|message| Body::of(&message.body));
    Ok(page(&EventPage { frame, project, place, facts, body, timelines, again }))
}

/// `GET /dashboard/projects/{project}/events/{event}/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    let project = Arc::new(signed.project(&place).await?);
    let (event, token) = (event_id(&place)?, Arc::new(signed.token.clone()));
    read(&signed.shared, &project, event).await?;
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (project, token) = (Arc::clone(&project), Arc::clone(&token));
        async move {
            let (facts, timelines) = read(&shared, &project, event).await?;
            Ok(vec![("timelines", shown(&project, &facts, timelines, &token).0)])
        }
    }))
}

/// `POST /dashboard/projects/{project}/events/{event}/again`
///
/// To one webhook, or to all that it can be sent to; not where it is on its way, so that a form that is sent twice sends
/// one. A dead letter of it is closed by it.
pub(crate) async fn again(Posted { signed, form, place }: Posted) -> Answer {
    let project = signed.project(&place).await?;
    let (facts, timelines) = read(&signed.shared, &project, event_id(&place)?).await?;
    let wanted = ids::usual(form.text("webhook")).map(WebhookId);
    let chosen = timelines.iter().filter(|timeline| wanted.is_none_or(|id| id == timeline.webhook));
    let (mut sent, mut refused) = (0, None);
    for timeline in chosen.filter(|timeline| timeline.again) {
        let (webhook, event) = (timeline.webhook, facts.event);
        let (path, body) = match timeline.letter(event) {
            Some(letter) => (format!("/webhooks/{webhook}/dead-letters/{letter}/resend"), None),
            None => (format!("/events/{event}/resend"), Some(json!({ "webhookId": webhook }))),
        };
        match signed.shared.api.call(project.id, Method::POST, &path, body).await {
            Ok(_) => sent += 1,
            Err(refusal) => refused = Some(refusal),
        }
    }
    match refused {
        Some(refusal) if sent == 0 => Err(refusal.into()),
        _ if sent == 0 => Err(Trouble::unfit(
            "It is on its way there already, or the webhook is disabled or removed. Look at its timeline.",
        )),
        refused => {
            let did = if refused.is_some() { "some-resent" } else { "resent" };
            let to = format!("/dashboard/projects/{}/events/{}?did={did}", project.id, facts.event);
            Ok(Redirect::to(&to).into_response())
        }
    }
}

/// `GET /dashboard/projects/{project}/find?id=…`
pub(crate) async fn find(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let id = place.text("id").and_then(ids::usual);
    let id = id
        .ok_or_else(|| Trouble::unfit("An event's id has 36 characters, like 019b7cb2-0000-7000-8000-000000000001."))?;
    Ok(Redirect::to(&format!("/dashboard/projects/{}/events/{id}", project.id)).into_response())
}
