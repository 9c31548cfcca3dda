//! The request of an attempt, signed when it is made.

use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use spectrum_webhook_core::sign;
use spectrum_webhook_core::time::Millis;

use super::AttemptRequest;

const EVENT: HeaderName = HeaderName::from_static("x-spectrum-event");
const WEBHOOK: HeaderName = HeaderName::from_static("x-spectrum-webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-spectrum-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-spectrum-signature");
const ATTEMPT: HeaderName = HeaderName::from_static("x-spectrum-attempt");
const EVENT_ID: HeaderName = HeaderName::from_static("x-spectrum-event-id");
const SEQUENCE: HeaderName = HeaderName::from_static("x-spectrum-sequence");
const RESEND: HeaderName = HeaderName::from_static("x-spectrum-resend");
const STANDARD_ID: HeaderName = HeaderName::from_static("webhook-id");
const STANDARD_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The request to a judged URL.
pub(super) fn build(
    url: &url::Url,
    user_agent: &HeaderValue,
    request: AttemptRequest<'_>,
    now: Millis,
) -> reqwest::Request {
    let headers = headers(user_agent, &request, now);
    let mut http = reqwest::Request::new(reqwest::Method::POST, url.clone());
    *http.headers_mut() = headers;
    *http.body_mut() = Some(request.body.into());
    http
}

fn headers(user_agent: &HeaderValue, request: &AttemptRequest<'_>, now: Millis) -> HeaderMap {
    let AttemptRequest { endpoint, event, resend, event_type, sequence, number, keys, shape, body } = request;
    let timestamp = now.0.div_euclid(1_000);
    let event = event.to_string();

    // One value only, by its verifiers: the old key while a rotation's overlap lasts.
    let spectrum = sign::spectrum(keys.spectrum(now), timestamp, body);
    let mut standard = sign::standard(&keys.current, &event, timestamp, body);
    if let Some(previous) = keys.overlapping(now) {
        standard.push(' ');
        standard.push_str(&sign::standard(previous, &event, timestamp, body));
    }

    // The webhook's first, so that none of ours can be another's.
    let mut headers = HeaderMap::with_capacity(32);
    for (name, text) in shape.headers.expose() {
        let mut value = value(text);
        // It may be a credential: nothing prints it, and no compression remembers it.
        value.set_sensitive(true);
        // Only names that were checked come here.
        if let Ok(name) = HeaderName::try_from(name) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, user_agent.clone());
    headers.insert(EVENT, value(event_type));
    if let Some(target) = endpoint.target() {
        headers.insert(WEBHOOK, target.webhook.clone());
        if let Some(authorization) = &target.authorization {
            headers.entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
    }
    headers.insert(TIMESTAMP, timestamp.into());
    headers.insert(SIGNATURE, value(&spectrum));
    headers.insert(ATTEMPT, (*number).into());
    headers.insert(EVENT_ID, value(&event));
    headers.insert(SEQUENCE, sequence.0.into());
    if let Some(resend) = resend {
        headers.insert(RESEND, value(&resend.to_string()));
    }
    headers.insert(STANDARD_ID, value(&event));
    headers.insert(STANDARD_TIMESTAMP, timestamp.into());
    headers.insert(STANDARD_SIGNATURE, value(&standard));
    headers
}

/// Ingest lets only visible ASCII into what becomes a header. Something else can come from elsewhere into the queue;
/// it must not stop the lane.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}
