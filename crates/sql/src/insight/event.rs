//! What is known of one event, at each webhook of its project.

use std::collections::BTreeMap;

use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{EventFacts, Place, Recipient, Track, Tried};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::Webhook;
use sqlx::AssertSqlSafe;

use super::attempts::{COLUMNS, attempt_of};
use super::rows::Row;
use super::{lane, line, rows};
use crate::error::Fault;
use crate::secrets::Keyring;
use crate::sql::{Columns as _, Conn, chunks, over_list};
use crate::store::{WEBHOOK_COLUMNS, webhook_of};

/// Webhooks that are looked at, at most.
const MOST_WEBHOOKS: i64 = 1_000;
/// Deliveries of an event, resends included, that are read from the log at most.
const MOST_DELIVERIES: i64 = 10_000;
/// Lanes that are looked into, at most: those before a delivery there are counted.
const MOST_LANES: usize = 100;

/// The event as it is kept, if it is.
struct Envelope {
    event_type: String,
    accepted_at: Millis,
    registry: RegistryVersion,
    only: Option<WebhookId>,
    original: Option<EventId>,
    size: u64,
}

/// Rows are read before attempts: what is delivered in between has its attempt at least, not neither.
pub(super) async fn facts(
    conn: &mut Conn,
    keys: &Keyring,
    project: ProjectId,
    asked: EventId,
) -> Result<Option<EventFacts>, Fault> {
    let (mut event, mut kept) = (asked, envelope(conn, project, asked).await?);
    if let Some(original) = kept.as_ref().and_then(|kept| kept.original) {
        // The resend was asked for: what it carries is the event.
        (event, kept) = (original, envelope(conn, project, original).await?);
    }
    let rows = rows::of(conn, project, event).await?;
    let tried = tried(conn, project, event).await?;
    let logged = tried.first().map(|(_, _, tried)| tried.newest.event_type.clone());
    let Some(event_type) = kept.as_ref().map(|kept| kept.event_type.clone()).or(logged) else { return Ok(None) };
    let by_id = || event.given_at().or_else(|| tried.iter().map(|(_, _, tried)| tried.newest.started_at).min());
    let accepted_at = kept.as_ref().map(|kept| kept.accepted_at).or_else(by_id).unwrap_or_default();

    let only = kept.as_ref().and_then(|kept| kept.only);
    let tracks = tracks(event, rows, tried);
    let mut facts = EventFacts {
        event,
        event_type,
        accepted_at,
        registry: kept.as_ref().map(|kept| kept.registry),
        size: kept.as_ref().map(|kept| kept.size),
        directed: only.is_some(),
        recipients: recipients(conn, keys, project, (accepted_at, only), tracks).await?,
    };
    look_into_lanes(conn, &mut facts).await?;
    Ok(Some(facts))
}

async fn envelope(conn: &mut Conn, project: ProjectId, event: EventId) -> Result<Option<Envelope>, Fault> {
    let sql = "SELECT event_type, accepted_at, registry, only_webhook, original, length(body) FROM events \
               WHERE id = $1 AND project = $2";
    let statement = sqlx::query(sql).bind(event.to_string()).bind(project.to_string());
    let Some(row) = statement.fetch_optional(conn).await? else { return Ok(None) };
    Ok(Some(Envelope {
        event_type: row.text(0)?,
        accepted_at: Millis(row.int(1)?),
        registry: RegistryVersion(row.int(2)?),
        only: row.maybe_uuid(3)?.map(WebhookId),
        original: row.maybe_uuid(4)?.map(EventId),
        size: row.count(5)?,
    }))
}

/// The attempts of each delivery of the event and its resends: webhook, resend, and what there is of it.
async fn tried(
    conn: &mut Conn,
    project: ProjectId,
    event: EventId,
) -> Result<Vec<(WebhookId, Option<EventId>, Tried)>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS}, a.most, a.delivered_at FROM (SELECT t.*, \
             ROW_NUMBER() OVER (PARTITION BY webhook, resend ORDER BY started_at DESC, number DESC) AS place, \
             MAX(number) OVER (PARTITION BY webhook, resend) AS most, \
             MIN(CASE WHEN status BETWEEN 200 AND 299 THEN started_at END) OVER (PARTITION BY webhook, resend) \
                 AS delivered_at \
             FROM (SELECT * FROM attempts WHERE event = $1 LIMIT $3) AS t WHERE project = $2) AS a \
         WHERE a.place = 1 ORDER BY a.started_at"
    );
    let statement =
        sqlx::query(AssertSqlSafe(sql)).bind(event.to_string()).bind(project.to_string()).bind(MOST_DELIVERIES);
    let rows = statement.fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let newest = attempt_of(row)?;
            let tried = Tried { attempts: row.small(18)?, delivered_at: row.maybe_int(19)?.map(Millis), newest };
            Ok((tried.newest.key.webhook, tried.newest.resend, tried))
        })
        .collect()
}

/// What is known of the event's delivery to a webhook, and of each resend to it.
#[derive(Default)]
struct Tracks {
    own: Track,
    resends: BTreeMap<EventId, Track>,
}

fn tracks(
    event: EventId,
    rows: Vec<Row>,
    tried: Vec<(WebhookId, Option<EventId>, Tried)>,
) -> BTreeMap<WebhookId, Tracks> {
    let mut all: BTreeMap<WebhookId, Tracks> = BTreeMap::new();
    for Row { message, webhook, place } in rows {
        let tracks = all.entry(webhook).or_default();
        // One that was sent again may have left no other trace yet.
        if let Place::Dead(dead) = &place
            && let Some(resend) = dead.resent_as
        {
            tracks.resends.entry(resend).or_default();
        }
        if message == event {
            tracks.own.place = place;
        } else {
            tracks.resends.entry(message).or_default().place = place;
        }
    }
    for (webhook, resend, tried) in tried {
        let tracks = all.entry(webhook).or_default();
        match resend {
            None => tracks.own.tried = Some(tried),
            Some(resend) => tracks.resends.entry(resend).or_default().tried = Some(tried),
        }
    }
    all
}

/// The webhooks that the event may concern: those that are there, those that were when it was accepted, and those that
/// have something of it.
async fn recipients(
    conn: &mut Conn,
    keys: &Keyring,
    project: ProjectId,
    (accepted_at, only): (Millis, Option<WebhookId>),
    mut tracks: BTreeMap<WebhookId, Tracks>,
) -> Result<Vec<Recipient>, Fault> {
    let sql = format!(
        "SELECT {WEBHOOK_COLUMNS}, w.deleted_at FROM webhooks w \
         WHERE w.project = $1 AND (w.deleted_at IS NULL OR (w.deleted_at >= $2 AND w.created_at <= $2)) \
         ORDER BY w.added LIMIT $3"
    );
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(project.to_string()).bind(accepted_at.0).bind(MOST_WEBHOOKS);
    let mut found: BTreeMap<WebhookId, (Webhook, Option<Millis>)> = BTreeMap::new();
    for row in statement.fetch_all(&mut *conn).await? {
        let webhook = webhook_of(&row, keys)?;
        found.insert(webhook.id, (webhook, row.maybe_int(13)?.map(Millis)));
    }
    found.retain(|id, _| only.is_none_or(|only| only == *id));
    let missing: Vec<String> = tracks.keys().filter(|id| !found.contains_key(id)).map(WebhookId::to_string).collect();
    for chunk in chunks(&missing) {
        let statement = over_list(chunk, |list| {
            format!("SELECT {WEBHOOK_COLUMNS}, w.deleted_at FROM webhooks w WHERE w.id IN ({list})")
        });
        for row in statement.fetch_all(&mut *conn).await? {
            let webhook = webhook_of(&row, keys)?;
            found.insert(webhook.id, (webhook, row.maybe_int(13)?.map(Millis)));
        }
    }
    let mut recipients: Vec<Recipient> = found
        .into_values()
        .map(|(webhook, deleted_at)| {
            let Tracks { own, resends } = tracks.remove(&webhook.id).unwrap_or_default();
            Recipient { webhook, deleted_at, lane: None, own, resends: resends.into_iter().collect() }
        })
        .collect();
    recipients.sort_by_key(|recipient| (recipient.webhook.added, recipient.webhook.id));
    Ok(recipients)
}

/// Reads what waits before each delivery that may be on its way, rows first.
async fn look_into_lanes(conn: &mut Conn, facts: &mut EventFacts) -> Result<(), Fault> {
    let (event, event_type, registry) = (facts.event, facts.event_type.as_str(), facts.registry);
    let takes =
        |webhook: &Webhook| facts.directed || registry.is_none_or(|registry| webhook.takes(event_type, registry));
    let mut open = Vec::new();
    for recipient in facts.recipients.iter_mut().filter(|recipient| recipient.deleted_at.is_none()) {
        let wanted = takes(&recipient.webhook);
        let mut tracks: Vec<&mut Track> = Vec::new();
        if wanted || recipient.own != Track::default() {
            tracks.push(&mut recipient.own);
        }
        tracks.extend(recipient.resends.iter_mut().map(|(_, track)| track));
        tracks.retain(|track| is_open(track));
        if !tracks.is_empty() {
            open.push((&recipient.webhook, &mut recipient.lane, tracks));
        }
    }
    let has_row = |tracks: &[&mut Track]| tracks.iter().any(|track| track.place != Place::Nowhere);
    open.sort_by_key(|(_, _, tracks)| !has_row(tracks));
    for (webhook, record, tracks) in open.into_iter().take(MOST_LANES) {
        *record = lane(conn, webhook.id).await?;
        for track in tracks {
            let place = match track.place {
                Place::Backlog { sequence, space, .. } => Some((sequence, space)),
                _ => None,
            };
            track.line = Some(line::before(conn, webhook, event, place).await?);
        }
    }
    Ok(())
}

/// Whether a delivery may still be on its way.
fn is_open(track: &Track) -> bool {
    let delivered = track.tried.as_ref().is_some_and(|tried| tried.delivered_at.is_some());
    !delivered && matches!(track.place, Place::Nowhere | Place::Backlog { .. })
}
