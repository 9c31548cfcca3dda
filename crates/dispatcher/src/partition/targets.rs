//! Where deliveries go: the webhooks as last loaded, read again right before each attempt, so that a deleted, disabled
//! or changed one takes effect at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::webhook::{Registry, SigningKeys};

use crate::post::Endpoint;

/// What an attempt needs of an enabled webhook.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) keys: SigningKeys,
}

/// A webhook at this moment; `None`: no attempt starts.
pub(crate) type Cell = Arc<RwLock<Option<Arc<Target>>>>;

/// The webhooks of a partition's projects.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    projects: HashMap<ProjectId, HashMap<WebhookId, (String, Cell)>>,
}

impl Targets {
    /// Takes in a project's registry. From when this returns, attempts go by it.
    pub(crate) fn set(&mut self, project: ProjectId, registry: &Registry) {
        let mut before = self.projects.remove(&project).unwrap_or_default();
        let mut after = HashMap::with_capacity(registry.webhooks.len());
        for (webhook, keys) in &registry.webhooks {
            let (url, cell) = before.remove(&webhook.id).unwrap_or_default();
            // What is costly to build for a URL is kept as long as the URL stays.
            let kept = cell.read().as_ref().filter(|_| url == webhook.url).map(|target| target.endpoint.clone());
            let target = webhook.disabled.is_none().then(|| {
                let endpoint = kept.unwrap_or_else(|| Endpoint::new(webhook.id, &webhook.url));
                Arc::new(Target { endpoint, keys: keys.clone() })
            });
            *cell.write() = target;
            after.insert(webhook.id, (webhook.url.clone(), cell));
        }
        for (_, cell) in before.into_values() {
            *cell.write() = None;
        }
        self.projects.insert(project, after);
    }

    /// Forgets a project that has no lane.
    pub(crate) fn forget(&mut self, project: ProjectId) {
        self.projects.remove(&project);
    }

    /// The cell of a webhook.
    pub(crate) fn cell(&self, project: ProjectId, webhook: WebhookId) -> Option<Cell> {
        self.projects.get(&project)?.get(&webhook).map(|(_, cell)| Arc::clone(cell))
    }
}
