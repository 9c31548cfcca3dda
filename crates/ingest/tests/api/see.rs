//! What became of events, over an insight that knows one attempt, one event and one webhook.

use std::sync::atomic::Ordering::SeqCst;

use async_trait::async_trait;
use bytes::Bytes;
use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Next};
use spectrum_webhook_core::delivery::{DeliveryKey, Directed, LastAttempt, Message, Purpose};
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ports::{
    AttemptFilter, AttemptKey, AttemptPage, EventFacts, Insight, Line, PortError, Recipient, Track, Tried, WebhookFacts,
};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;

use crate::world::{ID, NOBODY, NOW, NOW_ISO, OTHER, World, api, basic};

const EVENT: EventId = EventId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0005));
const RESEND: EventId = EventId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0006));
const HOOK: WebhookId = WebhookId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0007));

fn hook() -> Webhook {
    Webhook {
        id: HOOK,
        project: ID,
        url: "https://a.b/".to_owned(),
        disabled: None,
        event_types: None,
        shape: Shape::default(),
        added: RegistryVersion(1),
        created_at: NOW,
        updated_at: NOW,
    }
}

fn attempt() -> AttemptRecord {
    AttemptRecord {
        key: DeliveryKey { event: EVENT, webhook: HOOK },
        resend: Some(RESEND),
        project: ID,
        event_type: "messages".to_owned(),
        sequence: Sequence(9),
        number: 2,
        started_at: NOW,
        connect_ms: Some(3),
        first_byte_ms: None,
        total_ms: 5,
        ended: Ended::Answered { status: 503, retry_after: Some(1_000) },
        address: "203.0.113.7:443".parse().ok(),
        snippet: r#"<script>"\u{202e}"#.to_owned(),
        next: Next::Retry(NOW),
    }
}

#[async_trait]
impl Insight for World {
    async fn attempts(&self, project: ProjectId, filter: &AttemptFilter, limit: u32) -> Result<AttemptPage, PortError> {
        Self::fails(&self.letters_fail)?;
        self.call(format!("attempts {project} {:?} {limit}", filter.after));
        let attempts = if project == ID && filter.after.is_none() { vec![attempt()] } else { Vec::new() };
        Ok(AttemptPage { next: attempts.last().map(AttemptKey::of), attempts })
    }

    async fn event(&self, project: ProjectId, event: EventId) -> Result<Option<EventFacts>, PortError> {
        Self::fails(&self.letters_fail)?;
        let own = Tried { newest: AttemptRecord { resend: None, ..attempt() }, attempts: 2, delivered_at: Some(NOW) };
        let line = Some(Line { ahead: 0, first: None });
        let resend = Track {
            tried: Some(Tried { newest: attempt(), attempts: 2, delivered_at: None }),
            line,
            ..Track::default()
        };
        let recipient = Recipient {
            webhook: hook(),
            deleted_at: None,
            lane: None,
            own: Track { tried: Some(own), ..Track::default() },
            resends: vec![(RESEND, resend)],
        };
        let facts = EventFacts {
            event: EVENT,
            event_type: "messages".to_owned(),
            accepted_at: NOW,
            registry: None,
            size: None,
            directed: false,
            recipients: vec![recipient],
        };
        Ok(Some(facts).filter(|_| project == ID && event == EVENT))
    }

    async fn message(&self, project: ProjectId, event: EventId) -> Result<Option<Message>, PortError> {
        Self::fails(&self.letters_fail)?;
        let message = Message {
            id: EVENT,
            project: ID,
            event_type: "messages".to_owned(),
            accepted_at: NOW,
            registry: RegistryVersion(7),
            traceparent: None,
            purpose: Purpose::Event,
            body: Bytes::from_static(br#"{"event":"messages"}"#),
        };
        Ok(Some(message).filter(|_| project == ID && event == EVENT))
    }

    async fn webhook(&self, project: ProjectId, webhook: WebhookId) -> Result<Option<WebhookFacts>, PortError> {
        Self::fails(&self.letters_fail)?;
        let facts = WebhookFacts {
            webhook: hook(),
            lane: None,
            backlog: Line { ahead: 0, first: None },
            set_aside: 0,
            oldest_aside: None,
            dead_letters: 3,
            newest: None,
            last_success: Some(NOW),
            last_failure: Some((Millis(NOW.0), LastAttempt::Status(503))),
        };
        Ok(Some(facts).filter(|_| project == ID && webhook == HOOK))
    }
}

#[tokio::test]
async fn the_delivery_log_is_shown_in_the_references_form_and_goes_on_where_it_ended() {
    let api = api();
    let path = format!("/projects/{ID}/attempts");
    let first = api.call("GET", &format!("{path}?limit=1"), "").await;
    let json = first.json();
    let cursor = json["nextCursor"].as_str().expect("a cursor");
    let expected = format!(
        r#"{{"succeed":true,"data":[{{"eventId":"{EVENT}","webhookId":"{HOOK}","resendId":"{RESEND}","eventType":"messages","sequence":9,"attempt":2,"startedAt":"{NOW_ISO}","connectMs":3,"firstByteMs":null,"totalMs":5,"status":503,"failure":null,"retryAfterMs":1000,"address":"203.0.113.7:443","response":"<script>\"\\u{{202e}}","outcome":"failed","next":"retry","nextAt":"{NOW_ISO}"}}],"nextCursor":"{cursor}"}}"#
    );
    assert_eq!((first.status.as_u16(), first.text.as_str()), (200, expected.as_str()));
    let second = api.call("GET", &format!("{path}/?cursor={cursor}"), "").await;
    assert_eq!(second.text, r#"{"succeed":true,"data":[],"nextCursor":null}"#);
    let asked = api.world.calls.lock().pop().expect("it was asked");
    assert_eq!(asked, format!("attempts {ID} {:?} 50", Some(AttemptKey::of(&attempt()))));
    api.call("GET", &format!("{path}?status=9"), "").await.is_problem(422, "invalid_query", "status must be");
}

#[tokio::test]
async fn an_event_is_explained_in_the_references_form() {
    let api = api();
    let path = format!("/projects/{ID}/events/{EVENT}");
    for path in [path.clone(), format!("{path}/")] {
        let reply = api.call("GET", &path, "").await;
        let expected = format!(
            r#"{{"succeed":true,"data":{{"id":"{EVENT}","eventType":"messages","acceptedAt":"{NOW_ISO}","size":null,"webhooks":[{{"webhookId":"{HOOK}","webhookUrl":"https://a.b/","code":"delivered","sentence":"The URL took it at 2026-01-02T03:04:05Z.","since":"{NOW_ISO}","attempts":2,"lastAttemptAt":"{NOW_ISO}","nextAt":null,"ahead":null,"blockedBy":null,"resends":[{{"resendId":"{RESEND}","code":"retrying","sentence":"Attempt 2 failed because the URL answered 503: it is retried now; those behind it wait.","since":"{NOW_ISO}","attempts":2,"lastAttemptAt":"{NOW_ISO}","nextAt":"{NOW_ISO}","ahead":0,"blockedBy":null}}]}}]}}}}"#
        );
        assert_eq!((reply.status.as_u16(), reply.text), (200, expected));
    }
    api.call("GET", &format!("/projects/{ID}/events/{RESEND}"), "").await.is_problem(404, "not_found", "older than");
    let fresh = uuid::Builder::from_unix_timestamp_millis(NOW.0 as u64 - 5_000, &[0; 10]).into_uuid();
    api.call("GET", &format!("/projects/{ID}/events/{fresh}"), "").await.is_problem(404, "not_found", "moments ago");
    api.call("GET", &format!("/projects/{ID}/events/x"), "").await.is_problem(404, "not_found", "UUID");
    api.call("DELETE", &path, "").await.is_problem(405, "method_not_allowed", "");
}

#[tokio::test]
async fn an_event_is_sent_again_to_one_webhook_as_long_as_its_body_is_kept() {
    let api = api();
    let reply = api.call("POST", &crate::world::webhooks(), r#"{"webhookUrl":"https://a.example/"}"#).await;
    let webhook = reply.json()["data"]["id"].as_str().expect("an id").to_owned();
    let (path, to) = (format!("/projects/{ID}/events/{EVENT}/resend"), format!(r#"{{"webhookId":"{webhook}"}}"#));
    let reply = api.call("POST", &path, to.clone()).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["data"]["eventId"]),
        (202, &EVENT.to_string().into()),
        "{reply:?}"
    );
    let published = api.world.published.lock()[0].1.message.clone();
    let directed = Directed { webhook: webhook.parse().expect("an id"), event: EVENT };
    assert_eq!((&published.purpose, published.event()), (&Purpose::Directed(directed), EVENT));
    assert_eq!((published.id.to_string().into(), published.id != EVENT), (reply.json()["data"]["id"].clone(), true));

    api.call("POST", &path, "{}").await.is_problem(422, "invalid_body", "webhookId");
    let nowhere = format!(r#"{{"webhookId":"{RESEND}"}}"#);
    api.call("POST", &path, nowhere).await.is_problem(404, "not_found", "webhook");
    let unknown = format!("/projects/{ID}/events/{RESEND}/resend");
    api.call("POST", &unknown, to.clone()).await.is_problem(404, "not_found", "not kept");
    api.call("PATCH", &format!("{}{webhook}", crate::world::webhooks()), r#"{"enabled":false}"#).await;
    api.call("POST", &path, to).await.is_problem(409, "webhook_disabled", "enable");
}

#[tokio::test]
async fn a_webhook_is_shown_with_its_state() {
    let api = api();
    let reply = api.call("GET", &format!("/projects/{ID}/webhooks/{HOOK}/"), "").await;
    let expected = format!(
        r#"{{"succeed":true,"data":{{"id":"{HOOK}","webhookUrl":"https://a.b/","createdAt":"{NOW_ISO}","updatedAt":"{NOW_ISO}","enabled":true,"status":"enabled","disabledAt":null,"disabledReason":null,"eventTypes":null,"headerNames":[],"rateLimit":null,"attemptTimeoutSeconds":null,"ordering":"project","state":{{"code":"idle","sentence":"Nothing waits for it, and the delivery log has no attempt: it gets the next event that it takes.","since":null,"backlog":0,"setAside":0,"deadLetters":3,"oldestAcceptedAt":null,"lastSuccessAt":"{NOW_ISO}","lastFailureAt":"{NOW_ISO}","lastFailure":"status_503","nextProbeAt":null}}}}}}"#
    );
    assert_eq!((reply.status.as_u16(), reply.text), (200, expected));
    api.call("GET", &format!("/projects/{ID}/webhooks/{EVENT}"), "").await.is_problem(404, "not_found", "webhook");
    api.call("GET", &format!("/projects/{ID}/webhooks/x"), "").await.is_problem(404, "not_found", "webhook");
}

#[tokio::test]
async fn what_is_seen_takes_the_projects_own_credentials_and_says_when_the_store_is_down() {
    let api = api();
    let own = basic(ID, crate::world::SECRET);
    for path in ["attempts".to_owned(), format!("events/{EVENT}"), format!("webhooks/{HOOK}")] {
        for project in [OTHER, NOBODY] {
            let path = format!("/projects/{project}/{path}");
            let reply = api.send("GET", &path, &[("authorization", own.as_str())], "").await;
            reply.is_problem(401, "unauthorized", "credentials");
        }
        let path = format!("/projects/{ID}/{path}");
        api.send("GET", &path, &[], "").await.is_problem(401, "unauthorized", "credentials");
        assert_eq!(api.call("GET", &path, "").await.status.as_u16(), 200);
        api.world.letters_fail.store(true, SeqCst);
        api.call("GET", &path, "").await.is_problem(503, "unavailable", "nothing was changed");
        api.world.letters_fail.store(false, SeqCst);
    }
}
