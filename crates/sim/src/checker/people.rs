//! What was promised to those who change webhooks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use spectrum_webhook_core::ids::{EventId, ProjectId, WebhookId};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::time::Millis;

use super::Checker;
use super::facts::{Target, Versions, WebhookFact};

impl Checker {
    /// A registration is begun.
    pub fn registering(&mut self, now: u64, project: ProjectId, webhook: WebhookId, target: Target, healthy: bool) {
        let fact = WebhookFact {
            project,
            begun: now,
            registered: None,
            deleting: false,
            off: false,
            was_disabled: false,
            healthy,
            urls: Versions::new(target.url),
            secrets: Versions::new(target.secret),
            orders: BTreeSet::new(),
            open: Vec::new(),
            latest: BTreeMap::new(),
            arrived: BTreeSet::new(),
            tried: BTreeMap::new(),
            skips: BTreeSet::new(),
            drops: Vec::new(),
        };
        self.webhooks.insert(webhook, fact);
    }

    /// Someone begins to ask for an order of a webhook's events.
    pub fn ordering(&mut self, webhook: WebhookId, ordering: Ordering) {
        self.change(webhook, |fact| {
            fact.orders.insert(ordering.code());
        });
    }

    /// A registration was answered.
    pub fn registered(&mut self, now: u64, webhook: WebhookId) {
        self.change(webhook, |fact| fact.registered = Some(now));
    }

    /// Someone begins to delete a webhook.
    pub fn deleting(&mut self, webhook: WebhookId) {
        self.change(webhook, |fact| fact.deleting = true);
    }

    /// Someone begins to disable a webhook.
    pub fn disabling(&mut self, webhook: WebhookId) {
        self.change(webhook, |fact| {
            fact.healthy = false;
            fact.was_disabled = true;
        });
    }

    /// Deleting or disabling it was answered: no attempt starts from here on.
    pub fn is_off(&mut self, webhook: WebhookId) {
        self.change(webhook, |fact| fact.off = true);
    }

    /// Someone begins to enable a webhook.
    pub fn enabling(&mut self, webhook: WebhookId) {
        self.change(webhook, |fact| fact.off = false);
    }

    /// The system has disabled a webhook.
    pub fn was_disabled(&mut self, webhook: WebhookId) {
        self.change(webhook, |fact| {
            fact.healthy = false;
            fact.was_disabled = true;
        });
    }

    /// Someone begins to change where a webhook points.
    pub fn moving(&mut self, webhook: WebhookId, url: &str) {
        self.change(webhook, |fact| {
            fact.healthy = false;
            fact.urls.begin(url);
        });
    }

    /// That was answered: no older URL is used from here on.
    pub fn moved(&mut self, webhook: WebhookId, url: &str) {
        self.change(webhook, |fact| fact.urls.confirm(url));
    }

    /// Someone begins to change a webhook's key.
    pub fn rotating(&mut self, webhook: WebhookId, secret: &str) {
        self.change(webhook, |fact| fact.secrets.begin(secret));
    }

    /// That was answered: no older key is used from here on.
    pub fn rotated(&mut self, webhook: WebhookId, secret: &str) {
        self.change(webhook, |fact| fact.secrets.confirm(secret));
    }

    /// Someone wants a delivery to be skipped.
    pub fn skipping(&mut self, webhook: WebhookId, event: EventId) {
        self.change(webhook, |fact| {
            fact.skips.insert(event);
        });
    }

    /// Someone drops what waits and was accepted up to a time.
    pub fn dropping(&mut self, webhook: WebhookId, until: Millis) {
        self.change(webhook, |fact| fact.drops.push(until));
    }

    /// The queue is about to take a dead letter once more, or has taken it.
    pub fn resent(&mut self, now: u64, project: ProjectId, webhook: WebhookId, event: EventId, body: &Bytes) {
        self.published(now, project, event, body, now);
        if let Some(fact) = self.events.get_mut(&event) {
            fact.only = Some(webhook);
        }
    }

    /// Some event that the queue took.
    pub fn any_event(&self, chance: u64) -> Option<EventId> {
        let at = usize::try_from(chance).unwrap_or(0) % self.events.len().max(1);
        self.events.keys().nth(at).copied()
    }

    fn change(&mut self, webhook: WebhookId, change: impl FnOnce(&mut WebhookFact)) {
        if let Some(fact) = self.webhooks.get_mut(&webhook) {
            change(fact);
        }
    }
}
