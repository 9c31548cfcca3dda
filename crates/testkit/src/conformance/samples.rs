//! Things to try the ports with.

use bytes::Bytes;
use spectrum_webhook_core::delivery::{DeliveryKey, HeldDelivery, Message, Purpose};
use spectrum_webhook_core::ids::{
    Epoch, EventId, OwnerId, PartitionId, ProjectId, RegistryVersion, Sequence, WebhookId,
};
use spectrum_webhook_core::ordering::Space;
use spectrum_webhook_core::ports::{IdempotencyKey, Lease, Publication};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

pub(super) const PARTITION: PartitionId = PartitionId(3);
pub(super) const NOW: Millis = Millis(1_750_000_000_000);

/// Bytes that a rebuilt body would lose: order, white space, escapes, number forms, and what is no text at all.
pub(super) const BODY: &[u8] =
    b"{ \"b\":1.0e+2,\t\"a\": \"\\u00e9\\/\\ud800\" ,\"a\":-0}\r\n\0\xff\xfe'; DROP TABLE events; --";

pub(super) fn owner() -> OwnerId {
    OwnerId(Uuid::new_v4())
}

pub(super) fn project() -> ProjectId {
    ProjectId(Uuid::now_v7())
}

pub(super) fn lease(epoch: i64) -> Lease {
    Lease { partition: PARTITION, owner: owner(), epoch: Epoch(epoch) }
}

pub(super) fn message(body: &[u8]) -> Message {
    Message {
        id: EventId(Uuid::now_v7()),
        project: project(),
        event_type: "messages".to_owned(),
        accepted_at: NOW,
        registry: RegistryVersion(4),
        traceparent: None,
        purpose: Purpose::Event,
        body: Bytes::copy_from_slice(body),
    }
}

pub(super) fn publication(message: &Message) -> Publication {
    Publication { message: message.clone(), again: false, idempotency: None }
}

pub(super) fn held(sequence: i64, message: &Message) -> HeldDelivery {
    HeldDelivery { sequence: Sequence(sequence), attempts: 0, sent: false, space: Space(0), message: message.clone() }
}

pub(super) fn key(message: &Message, webhook: WebhookId) -> DeliveryKey {
    DeliveryKey { event: message.id, webhook }
}

pub(super) fn idempotency(key: u8, body: u8) -> IdempotencyKey {
    IdempotencyKey { key: [key; 32], body: [body; 32], expires_at: Millis(NOW.0 + 3_600_000) }
}
