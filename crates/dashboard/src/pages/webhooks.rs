//! A project's webhooks: each with its state, what waits for it, and how the last hour and day went.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use futures::{StreamExt as _, TryStreamExt as _};
use spectrum_webhook_core::explain;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::{Project, Scope};
use spectrum_webhook_core::rates::{Rates, Span};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use super::{Answer, webhooks_of};
use crate::frame::{Frame, Tab, page, part};
use crate::gate::Signed;
use crate::live;
use crate::plot;
use crate::query::Place;
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Chip, Html};

/// Webhooks of a page.
const ROWS: usize = 20;
/// Webhooks that are looked at together.
const TOGETHER: usize = 4;
/// How often a live page looks.
const EVERY: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    project: Project,
    place: Place,
    rows: Html,
    count: usize,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "webhooks_rows.html")]
struct Rows {
    project: Project,
    rows: Vec<Row>,
}

struct Row {
    id: WebhookId,
    url: String,
    chip: Chip,
    types: Option<usize>,
    success: Html,
    backlog: u64,
    oldest: Option<Html>,
    letters: u64,
    spans: [Went; 2],
}

/// How a span of time went.
struct Went {
    name: &'static str,
    spark: Html,
    taken: String,
    attempts: String,
    p50: String,
    p95: String,
}

impl Went {
    fn of(name: &'static str, rates: &Rates) -> Self {
        let whole = rates.whole();
        Self {
            name,
            spark: plot::spark(rates),
            taken: words::percent(whole.taken()),
            attempts: format!("{}{}", if whole.estimated { "~" } else { "" }, words::number(whole.attempts)),
            p50: words::took(whole.p50),
            p95: words::took(whole.p95),
        }
    }
}

async fn row(shared: &Shared, project: &Project, webhook: Webhook, now: Millis) -> Result<Option<Row>, Trouble> {
    let Some(facts) = shared.ports.insight.webhook(project.id, webhook.id).await? else { return Ok(None) };
    let scope = Scope::Webhook(webhook.id);
    let hour = shared.ports.survey.rates(scope, Span::until(now, 300_000, 12, 100)).await?;
    let day = shared.ports.survey.rates(scope, Span::until(now, 3_600_000, 24, 100)).await?;
    let state = explain::webhook(&facts, now);
    Ok(Some(Row {
        id: webhook.id,
        chip: words::state(state.code, &facts),
        types: webhook.event_types.as_ref().map(Vec::len),
        url: webhook.url,
        success: words::maybe_ago(&facts.last_success, &now, "never"),
        backlog: facts.backlog.ahead,
        oldest: state.oldest.map(|oldest| words::ago(oldest, now)),
        letters: facts.dead_letters,
        spans: [Went::of("Last hour", &hour), Went::of("Last day", &day)],
    }))
}

async fn rows(shared: &Shared, project: &Project, webhooks: Vec<Webhook>) -> Result<Html, Trouble> {
    let now = shared.now();
    let rows = futures::stream::iter(webhooks).map(|webhook| row(shared, project, webhook, now));
    let rows: Vec<Option<Row>> = rows.buffered(TOGETHER).try_collect().await?;
    Ok(Html(part(&Rows { project: project.clone(), rows: rows.into_iter().flatten().collect() })))
}

/// Those of a page, and the place of the next one.
fn of_page(mut webhooks: Vec<Webhook>, place: &Place) -> (Vec<Webhook>, Option<String>) {
    if let Some(after) = place.cursor::<(Millis, WebhookId)>() {
        webhooks.retain(|webhook| (webhook.created_at, webhook.id) > after);
    }
    let more = webhooks.len() > ROWS;
    webhooks.truncate(ROWS);
    let next = webhooks.last().filter(|_| more).map(|last| place.after(&(last.created_at, last.id)));
    (webhooks, next)
}

/// `GET /dashboard/projects/{project}`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let webhooks = webhooks_of(&signed, &project).await?;
    let count = webhooks.len();
    let (webhooks, next) = of_page(webhooks, &place);
    let rows = rows(&signed.shared, &project, webhooks).await?;
    let frame = Frame::of(&signed, &project, &place, format!("Webhooks of {}", project.name), Tab::Webhooks);
    Ok(page(&WebhooksPage { frame, project, place, rows, count, next }))
}

/// `GET /dashboard/projects/{project}/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let (project, place) = (Arc::new(project), Arc::new(place));
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (project, place) = (Arc::clone(&project), Arc::clone(&place));
        async move {
            let webhooks = shared.ports.directory.list(project.id).await.map_err(|_| Trouble::unavailable())?;
            let (webhooks, _) = of_page(webhooks, &place);
            Ok(vec![("webhooks", rows(&shared, &project, webhooks).await?.0)])
        }
    }))
}
