//! One attempt: what was sent, what came back, how long each part took, and what that meant.

use askama::Template;
use spectrum_webhook_core::attempt::{AttemptRecord, Ended};
use spectrum_webhook_core::ids::EventId;
use spectrum_webhook_core::ports::{AttemptFilter, Project};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use super::json::pretty;
use super::{Answer, webhook_id, webhooks_of};
use crate::frame::{Frame, Tab, page};
use crate::gate::Signed;
use crate::query::Place;
use crate::trouble::Trouble;
use crate::words::{self, Html};

/// Of a body, so many bytes are shown.
pub(super) const SHOWN: usize = 64 << 10;

#[derive(Template)]
#[template(path = "attempt.html")]
struct AttemptPage {
    frame: Frame,
    project: Project,
    attempt: AttemptRecord,
    webhook: Option<Webhook>,
    verdict: String,
    next: Html,
    bar: Html,
    parts: Vec<(&'static str, &'static str, String)>,
    headers: Vec<(String, String)>,
    timestamp: i64,
    body: Option<Body>,
}

/// A body, as it is shown.
pub(super) struct Body {
    pub(super) size: String,
    pub(super) pretty: String,
    pub(super) raw: String,
    pub(super) cut: bool,
}

impl Body {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let cut = bytes.len() > SHOWN;
        let raw = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
        let pretty = if cut { raw.clone() } else { pretty(&raw) };
        Self { size: words::size(bytes.len() as u64), pretty, raw, cut }
    }
}

/// `GET /dashboard/projects/{project}/webhooks/{webhook}/attempts/{event}/{started}/{number}`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let unknown =
        || Trouble::nothing("There is no such attempt in the delivery log, or it is older than the log goes back.");
    let webhook = webhook_id(&place)?;
    let event = place.id(6).map(EventId).ok_or_else(unknown)?;
    let (started, number) = (place.number(7).ok_or_else(unknown)?, place.number(8).ok_or_else(unknown)?);
    let filter = AttemptFilter {
        webhook: Some(webhook),
        event: Some(event),
        from: Some(Millis(started)),
        to: Some(Millis(started.saturating_add(1))),
        ..AttemptFilter::default()
    };
    let found = signed.shared.ports.insight.attempts(project.id, &filter, 200).await?;
    let attempt = found.attempts.into_iter().find(|attempt| i64::from(attempt.number) == number).ok_or_else(unknown)?;
    let webhook = webhooks_of(&signed, &project).await?.into_iter().find(|known| known.id == webhook);
    let message = signed.shared.ports.insight.message(project.id, event).await?;
    let timestamp = attempt.started_at.0.div_euclid(1_000);
    let frame = Frame::of(&signed, &project, &place, format!("Attempt {}", attempt.number), Tab::Log);
    Ok(page(&AttemptPage {
        frame,
        verdict: words::verdict(&attempt),
        next: words::next(&attempt),
        bar: bar(&attempt),
        parts: parts(&attempt),
        headers: headers(&attempt, webhook.as_ref(), timestamp, &signed.shared.settings.version),
        timestamp,
        body: message.map(|message| Body::of(&message.body)),
        project,
        attempt,
        webhook,
    }))
}

/// The headers of the request, as they follow from what is logged. A signature is not kept.
fn headers(attempt: &AttemptRecord, webhook: Option<&Webhook>, timestamp: i64, version: &str) -> Vec<(String, String)> {
    let event = attempt.key.event.to_string();
    let signature = "not kept; made from the secret for each attempt".to_owned();
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", format!("spectrum-webhook/{version}")),
        ("X-Spectrum-Event", attempt.event_type.clone()),
        ("X-Spectrum-Event-Id", event.clone()),
        ("X-Spectrum-Webhook-Id", attempt.key.webhook.to_string()),
        ("X-Spectrum-Sequence", attempt.sequence.0.to_string()),
        ("X-Spectrum-Attempt", attempt.number.to_string()),
        ("X-Spectrum-Timestamp", timestamp.to_string()),
        ("X-Spectrum-Signature", format!("v0=… ({signature})")),
        ("webhook-id", event),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", format!("v1,… ({signature})")),
    ];
    if let Some(resend) = attempt.resend {
        headers.push(("X-Spectrum-Resend", resend.to_string()));
    }
    let mut headers: Vec<(String, String)> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let own = webhook.into_iter().flat_map(|webhook| webhook.shape.headers.names());
    headers.extend(own.map(|name| (name.to_owned(), "as it is set; never shown".to_owned())));
    headers
}

/// The parts of an attempt's time: class, word, duration.
fn parts(attempt: &AttemptRecord) -> Vec<(&'static str, &'static str, String)> {
    let lengths = lengths(attempt);
    let named = [("connect", "Connecting"), ("wait", "Waiting for the answer"), ("rest", "Reading the answer")];
    let named = named.into_iter().zip(lengths).filter(|(_, length)| *length > 0);
    named.map(|((class, word), length)| (class, word, words::span(i64::from(length)))).collect()
}

/// How long it took to connect, to the status line, and from there to the end.
fn lengths(attempt: &AttemptRecord) -> [u32; 3] {
    let total = attempt.total_ms;
    let connect = attempt.connect_ms.unwrap_or(0).min(total);
    let first = match (attempt.first_byte_ms, attempt.connect_ms) {
        (Some(first), _) => first.clamp(connect, total),
        // It ended before an answer: connecting, or waiting.
        (None, Some(_)) => total,
        (None, None) => return [total, 0, 0],
    };
    [connect, first - connect, total - first]
}

/// The bar of an attempt's time.
fn bar(attempt: &AttemptRecord) -> Html {
    let total = f64::from(attempt.total_ms.max(1));
    let mut x = 0.0;
    let mut inner = String::new();
    for (class, length) in ["connect", "wait", "rest"].into_iter().zip(lengths(attempt)) {
        let wide = f64::from(length) / total * 1_000.0;
        if wide > 0.0 {
            inner.push_str(&format!(r#"<rect class="{class}" x="{x:.1}" y="0" width="{wide:.1}" height="10"/>"#));
        }
        x += wide;
    }
    let label = words::span(i64::from(attempt.total_ms));
    Html(format!(
        r#"<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{label} in all">{inner}</svg>"#
    ))
}

impl AttemptPage {
    fn retry_after(&self) -> Option<String> {
        match self.attempt.ended {
            Ended::Answered { retry_after: Some(wait), .. } => {
                Some(words::span(i64::try_from(wait).unwrap_or(i64::MAX)))
            }
            _ => None,
        }
    }

    fn status(&self) -> Option<u16> {
        match self.attempt.ended {
            Ended::Answered { status, .. } => Some(status),
            Ended::Failed(_) => None,
        }
    }
}
