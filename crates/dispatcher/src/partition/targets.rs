//! Where deliveries go: the webhooks as last loaded, read again right before each attempt, so that a deleted, disabled
//! or changed one takes effect at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::webhook::{Registry, SigningKeys};

use super::pace::Pace;
use crate::post::Endpoint;

/// What an attempt needs of an enabled webhook.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) keys: SigningKeys,
    pub(crate) shape: Shape,
}

/// A webhook, for as long as its project is known here.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    target: RwLock<Option<Arc<Target>>>,
    /// It outlives what the registry says of the webhook.
    pub(crate) pace: Pace,
}

impl Cell {
    /// The webhook at this moment; `None`: no attempt starts.
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        self.target.read().clone()
    }

    fn set(&self, target: Option<Target>) {
        *self.target.write() = target.map(Arc::new);
    }
}

/// The webhooks of a partition's projects.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    projects: HashMap<ProjectId, HashMap<WebhookId, (String, Arc<Cell>)>>,
}

impl Targets {
    /// Takes in a project's registry. From when this returns, attempts go by it.
    pub(crate) fn set(&mut self, project: ProjectId, registry: &Registry) {
        let mut before = self.projects.remove(&project).unwrap_or_default();
        let mut after = HashMap::with_capacity(registry.webhooks.len());
        for (webhook, keys) in &registry.webhooks {
            let (url, cell) = before.remove(&webhook.id).unwrap_or_default();
            // What is costly to build for a URL is kept as long as the URL stays.
            let kept = cell.target().filter(|_| url == webhook.url).map(|target| target.endpoint.clone());
            cell.set(webhook.disabled.is_none().then(|| {
                let endpoint = kept.unwrap_or_else(|| Endpoint::new(webhook.id, &webhook.url));
                Target { endpoint, keys: keys.clone(), shape: webhook.shape.clone() }
            }));
            after.insert(webhook.id, (webhook.url.clone(), cell));
        }
        for (_, cell) in before.into_values() {
            cell.set(None);
        }
        self.projects.insert(project, after);
    }

    /// Forgets a project that has no lane.
    pub(crate) fn forget(&mut self, project: ProjectId) {
        self.projects.remove(&project);
    }

    /// The cell of a webhook.
    pub(crate) fn cell(&self, project: ProjectId, webhook: WebhookId) -> Option<Arc<Cell>> {
        self.projects.get(&project)?.get(&webhook).map(|(_, cell)| Arc::clone(cell))
    }
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::ids::RegistryVersion;
    use spectrum_webhook_core::shape::RateLimit;
    use spectrum_webhook_core::time::Millis;
    use spectrum_webhook_core::webhook::{DisabledReason, SigningSecret, Webhook};

    use super::*;

    #[test]
    fn a_webhooks_cell_is_the_same_through_every_change_and_shows_each() {
        let (project, id) = (ProjectId(Default::default()), WebhookId(Default::default()));
        let mut webhook = Webhook {
            id,
            project,
            url: "https://hooks.example/".to_owned(),
            disabled: None,
            event_types: None,
            shape: Shape::default(),
            added: RegistryVersion(1),
            created_at: Millis(0),
            updated_at: Millis(0),
        };
        let keys = SigningKeys { current: SigningSecret::from_random([1; 32]), previous: None };
        let of = |webhook: &Webhook| Registry {
            version: RegistryVersion(1),
            webhooks: vec![(webhook.clone(), keys.clone())],
        };
        let mut targets = Targets::default();
        targets.set(project, &of(&webhook));
        let cell = targets.cell(project, id).expect("a cell");

        webhook.shape.rate_limit = RateLimit::new(5);
        targets.set(project, &of(&webhook));
        assert_eq!(cell.target().expect("a target").shape, webhook.shape);
        webhook.disabled = Some((Millis(1), DisabledReason::Manual));
        targets.set(project, &of(&webhook));
        assert!(cell.target().is_none());
        webhook.disabled = None;
        targets.set(project, &of(&webhook));
        assert!(cell.target().is_some());
        assert!(Arc::ptr_eq(&cell, &targets.cell(project, id).expect("a cell")), "its pace goes on");
        targets.set(project, &Registry { version: RegistryVersion(2), webhooks: Vec::new() });
        assert!(cell.target().is_none() && targets.cell(project, id).is_none());
    }
}
