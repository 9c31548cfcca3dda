//! The delivery log: newest first, page by page, filtered; of one webhook, or of the whole project.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use spectrum_webhook_core::attempt::{AttemptRecord, Failure};
use spectrum_webhook_core::ids::{self, EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ports::{AttemptFilter, AttemptKey, Project};

use super::{Answer, Choice, ROWS, webhooks_of};
use crate::frame::{Frame, Tab, page, part};
use crate::gate::Signed;
use crate::live;
use crate::query::Place;
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Html};

/// How often a live page looks.
const EVERY: Duration = Duration::from_secs(1);

/// One line, as it is shown.
#[derive(Template)]
#[template(path = "log_rows.html")]
struct Rows<'a> {
    project: ProjectId,
    attempts: &'a [AttemptRecord],
    /// The URLs of the webhooks; `None` where all are of one.
    urls: Option<&'a HashMap<WebhookId, String>>,
    filtered: bool,
    next: Option<String>,
}

impl Rows<'_> {
    fn url(&self, webhook: &WebhookId) -> &str {
        self.urls.and_then(|urls| urls.get(webhook)).map_or("a removed webhook", String::as_str)
    }
}

/// What the fields above the log say.
pub(super) struct Filters {
    pub(super) outcomes: Vec<Choice>,
    pub(super) statuses: Vec<Choice>,
    pub(super) event: String,
    pub(super) kind: String,
    pub(super) from: String,
    pub(super) to: String,
    /// The webhooks to choose from; none on a webhook's own page.
    pub(super) webhooks: Vec<Choice>,
    /// What cannot be read of them.
    pub(super) problem: Option<String>,
    pub(super) any: bool,
}

const OUTCOMES: [(&str, &str); 3] = [("", "Any outcome"), ("delivered", "Delivered"), ("failed", "Failed")];
const STATUSES: [(&str, &str); 7] = [
    ("", "Any answer"),
    ("2xx", "2xx"),
    ("3xx", "3xx"),
    ("4xx", "4xx"),
    ("5xx", "5xx"),
    ("timeout", "No answer in time"),
    ("connect", "No connection"),
];

impl Filters {
    fn of(place: &Place, webhooks: Vec<Choice>) -> Self {
        let text = |name: &str| place.text(name).unwrap_or_default().to_owned();
        let mut statuses = Choice::list(&STATUSES, place.text("status"));
        if let Some(other) = place.text("status").filter(|_| statuses.iter().all(|choice| !choice.selected)) {
            statuses.push(Choice { value: other.to_owned(), label: other.to_owned(), selected: true });
        }
        let fields = ["outcome", "status", "event", "type", "from", "to", "webhook"];
        Self {
            outcomes: Choice::list(&OUTCOMES, place.text("outcome")),
            statuses,
            event: text("event"),
            kind: text("type"),
            from: text("from"),
            to: text("to"),
            webhooks,
            problem: None,
            any: fields.iter().any(|field| place.text(field).is_some()),
        }
    }
}

/// The filter of a page's query, and what cannot be read of it.
fn filter(place: &Place) -> (AttemptFilter, Option<String>) {
    let mut problem = None;
    let mut filter = AttemptFilter {
        delivered: match place.text("outcome") {
            Some("delivered") => Some(true),
            Some("failed") => Some(false),
            _ => None,
        },
        event_type: place.text("type").map(str::to_owned),
        webhook: place.text("webhook").and_then(ids::usual).map(WebhookId),
        from: place.moment("from"),
        to: place.moment("to"),
        after: place.cursor::<AttemptKey>(),
        ..AttemptFilter::default()
    };
    if let Some(event) = place.text("event") {
        filter.event = ids::usual(event).map(EventId);
        if filter.event.is_none() {
            problem = Some("An event's id has 36 characters, like 019b7cb2-0000-7000-8000-000000000001.".to_owned());
        }
    }
    if let Some(status) = place.text("status") {
        filter.status = range(status);
        filter.failure = Failure::from_code(status);
        if filter.status.is_none() && filter.failure.is_none() {
            problem = Some("A status is a number like 503, or a class like 5xx.".to_owned());
        }
    }
    for name in ["from", "to"] {
        if place.text(name).is_some() && place.moment(name).is_none() {
            problem = Some("A time is a date and an hour, like 2026-01-02T03:04, in UTC.".to_owned());
        }
    }
    (filter, problem)
}

/// A status, or all of a class.
fn range(text: &str) -> Option<(u16, u16)> {
    let (digits, factor) = text.strip_suffix("xx").map_or((text, 1), |class| (class, 100));
    let low = digits.parse::<u16>().ok()?.checked_mul(factor)?;
    (100..=999).contains(&low).then(|| (low, low + factor - 1))
}

/// A page of the log with its filters.
pub(super) async fn of_webhook(
    shared: &Shared,
    project: &Project,
    webhook: WebhookId,
    place: &Place,
) -> Result<(Filters, Html), Trouble> {
    read(shared, project, Some(webhook), None, Vec::new(), place).await
}

async fn read(
    shared: &Shared,
    project: &Project,
    webhook: Option<WebhookId>,
    urls: Option<&HashMap<WebhookId, String>>,
    choices: Vec<Choice>,
    place: &Place,
) -> Result<(Filters, Html), Trouble> {
    let (filter, problem) = filter(place);
    let filters = Filters { problem, ..Filters::of(place, choices) };
    let filter = AttemptFilter { webhook: webhook.or(filter.webhook), ..filter };
    // On a webhook's page other things come behind it.
    let most = if urls.is_some() { ROWS } else { ROWS / 2 };
    let found = shared.ports.insight.attempts(project.id, &filter, most).await?;
    let next = found.next.as_ref().map(|next| place.after(next));
    let rows = Rows { project: project.id, attempts: &found.attempts, urls, filtered: filters.any, next };
    let html = Html(part(&rows));
    Ok((filters, html))
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    frame: Frame,
    place: Place,
    filters: Filters,
    rows: Html,
}

async fn urls_of(signed: &Signed, project: &Project) -> Result<HashMap<WebhookId, String>, Trouble> {
    let webhooks = webhooks_of(signed, project).await?;
    Ok(webhooks.into_iter().map(|webhook| (webhook.id, webhook.url)).collect())
}

/// `GET /dashboard/projects/{project}/log`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let urls = urls_of(&signed, &project).await?;
    let selected = place.text("webhook").unwrap_or_default();
    let mut choices: Vec<Choice> = urls
        .iter()
        .map(|(id, url)| Choice { value: id.to_string(), label: url.clone(), selected: id.to_string() == selected })
        .collect();
    choices.sort_by(|a, b| a.label.cmp(&b.label));
    choices.insert(0, Choice { value: String::new(), label: "Any webhook".to_owned(), selected: selected.is_empty() });
    let (filters, rows) = read(&signed.shared, &project, None, Some(&urls), choices, &place).await?;
    let frame = Frame::of(&signed, &project, &place, "Delivery log", Tab::Log);
    Ok(page(&LogPage { frame, place, filters, rows }))
}

/// `GET /dashboard/projects/{project}/log/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    let project = Arc::new(signed.project(&place).await?);
    let urls = Arc::new(urls_of(&signed, &project).await?);
    let place = Arc::new(place);
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (project, urls, place) = (Arc::clone(&project), Arc::clone(&urls), Arc::clone(&place));
        async move {
            // The links of the page are not those of its stream.
            let here = Place::of_page(&place);
            let (_, rows) = read(&shared, &project, None, Some(&urls), Vec::new(), &here).await?;
            Ok(vec![("log", rows.0)])
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_what_cannot_be_is_said() {
        let id = "019b7cb2-0000-7000-8000-000000000001";
        let read = |query: &str| filter(&Place::of("/", query));
        let (found, problem) =
            read(&format!("outcome=failed&status=5xx&event={id}&from=2026-01-02T03:04&type=a&webhook={id}"));
        assert_eq!((found.delivered, found.status, problem), (Some(false), Some((500, 599)), None));
        assert!(found.event.is_some() && found.from.is_some() && found.webhook.is_some());
        assert_eq!(read("status=timeout").0.failure, Some(Failure::Timeout));
        assert_eq!(read("status=503").0.status, Some((503, 503)));
        for (query, says) in [("event=x", "36 characters"), ("status=6", "number like 503"), ("to=now", "UTC")] {
            assert!(read(query).1.is_some_and(|problem| problem.contains(says)), "{query}");
        }
        assert!(!Filters::of(&Place::of("/", "after=x&did=y"), Vec::new()).any);
    }
}
