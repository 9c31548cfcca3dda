//! One webhook: how it is, how its attempts went, its outages, its delivery log, and what can be done about it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Outage, OutageKey, Project, Scope, Steered, WebhookFacts};
use spectrum_webhook_core::rates::{Rates, Span, Summary};
use spectrum_webhook_core::time::Millis;
use tokio::time::Instant;

use super::log::{self, Filters};
use super::secrets::Report;
use super::{Answer, webhook_id};
use crate::frame::{Frame, Tab, page, part};
use crate::gate::Signed;
use crate::live;
use crate::plot::{self, Plot};
use crate::query::Place;
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Chip, Html};

/// How often a live page looks at the log and the state.
const EVERY: Duration = Duration::from_secs(1);
/// How often it draws its plots anew.
const PLOTS_EVERY: Duration = Duration::from_secs(10);
/// Outages and steerings of a page.
const FEW: u32 = 10;

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage {
    frame: Frame,
    project: Project,
    place: Place,
    facts: WebhookFacts,
    /// The version of the webhook that the forms are about.
    version: i64,
    state_part: Html,
    plots_part: Html,
    filters: Filters,
    rows: Html,
    outages: Vec<Outage>,
    more_outages: Option<String>,
    steerings: Vec<Steered>,
    check: Option<(Report, Html)>,
    now: Millis,
}

impl WebhookPage {
    fn can_resume(&self) -> bool {
        self.facts.lane.is_some() && self.facts.webhook.disabled.is_none()
    }
}

#[derive(Template)]
#[template(path = "webhook_state.html")]
struct StatePart {
    project: ProjectId,
    webhook: WebhookId,
    chip: Chip,
    sentence: Html,
    facts: WebhookFacts,
    oldest: Option<Millis>,
    now: Millis,
}

/// How a span of time went, as pictures.
#[derive(Template)]
#[template(path = "plots.html")]
pub(super) struct PlotsPart {
    /// The links of the spans to choose from, and which one it is.
    spans: [(&'static str, String, bool); 2],
    whole: Summary,
    rate: Plot,
    latency: Plot,
    table: Vec<plot::Row>,
}

impl PlotsPart {
    fn of(rates: &Rates, place: &Place) -> Self {
        let day = is_day(place);
        Self {
            spans: [("Hour", place.with("span", None), !day), ("Day", place.with("span", Some("day")), day)],
            whole: rates.whole(),
            rate: plot::outcomes(rates),
            latency: plot::latency(rates),
            table: plot::table(rates),
        }
    }
}

fn is_day(place: &Place) -> bool {
    place.text("span") == Some("day")
}

/// The plots of a page.
pub(super) async fn plots(shared: &Shared, scope: Scope, place: &Place) -> Result<Html, Trouble> {
    let now = shared.now();
    let span = if is_day(place) { Span::until(now, 1_800_000, 48, 100) } else { Span::until(now, 120_000, 30, 200) };
    let rates = shared.ports.survey.rates(scope, span).await?;
    Ok(Html(part(&PlotsPart::of(&rates, place))))
}

async fn state(shared: &Shared, project: &Project, id: WebhookId) -> Result<(WebhookFacts, Html), Trouble> {
    let facts = shared.ports.insight.webhook(project.id, id).await?.ok_or_else(|| Trouble::not_found("webhook"))?;
    let now = shared.now();
    let state = explain::webhook(&facts, now);
    let shown = StatePart {
        project: project.id,
        webhook: id,
        chip: words::state(state.code, &facts),
        sentence: words::sentence(&state.sentence, &project.id),
        facts: facts.clone(),
        oldest: state.oldest,
        now,
    };
    Ok((facts, Html(part(&shown))))
}

/// `GET /dashboard/projects/{project}/webhooks/{webhook}`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let id = webhook_id(&place)?;
    let shared = &signed.shared;
    let (facts, state_part) = state(shared, &project, id).await?;
    let plots_part = plots(shared, Scope::Webhook(id), &place).await?;
    let (filters, rows) = log::of_webhook(shared, &project, id, &place).await?;
    let after = place.text("outages").and_then(spectrum_webhook_core::cursor::decode::<OutageKey>);
    let mut outages = shared.ports.survey.outages(Scope::Webhook(id), after, FEW + 1).await?;
    let more = outages.len() > FEW as usize;
    outages.truncate(FEW as usize);
    let more_outages = outages.last().filter(|_| more).map(|last| {
        let key = OutageKey { since: last.since, webhook: last.webhook };
        place.with("outages", Some(&spectrum_webhook_core::cursor::encode(&key)))
    });
    let steerings = shared.ports.steerings.steerings(project.id, id, None, FEW).await?;
    let checked = steerings.iter().find(|steered| steered.command == "check" && steered.done_at.is_some());
    let now = shared.now();
    let check = checked.and_then(|steered| {
        let report = serde_json::from_str(steered.outcome.as_deref()?).ok()?;
        Some((Report::of(&report)?, words::ago(steered.asked_at, now)))
    });
    let frame = Frame::of(&signed, &project, &place, facts.webhook.url.clone(), Tab::Webhooks);
    let version = facts.webhook.updated_at.0;
    Ok(page(&WebhookPage {
        frame,
        project,
        place,
        facts,
        version,
        state_part,
        plots_part,
        filters,
        rows,
        outages,
        more_outages,
        steerings,
        check,
        now,
    }))
}

/// `GET /dashboard/projects/{project}/webhooks/{webhook}/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    let project = Arc::new(signed.project(&place).await?);
    let id = webhook_id(&place)?;
    state(&signed.shared, &project, id).await?;
    let place = Arc::new(Place::of_page(&place));
    let drawn = Arc::new(parking_lot::Mutex::new(None::<Instant>));
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (project, place, drawn) = (Arc::clone(&project), Arc::clone(&place), Arc::clone(&drawn));
        async move {
            let (_, state) = state(&shared, &project, id).await?;
            let (_, rows) = log::of_webhook(&shared, &project, id, &place).await?;
            let mut parts = vec![("state", state.0), ("log", rows.0)];
            let due = drawn.lock().is_none_or(|at| at.elapsed() >= PLOTS_EVERY);
            if due {
                *drawn.lock() = Some(Instant::now());
                parts.push(("plots", plots(&shared, Scope::Webhook(id), &place).await?.0));
            }
            Ok(parts)
        }
    }))
}
