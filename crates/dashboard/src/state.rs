//! What every request shares.

use std::sync::Arc;

use axum::Router;
use spectrum_webhook_core::ports::{DeadLetters, Directory, Fleet, Insight, Replays, Steerings, Survey};
use spectrum_webhook_core::time::Millis;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::limits::{SignIns, Streams};
use crate::pages::overview::Kept;
use crate::session::Seal;
use crate::settings::Settings;

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What is read.
#[derive(Clone)]
pub struct Ports {
    /// Projects and webhooks.
    pub directory: Arc<dyn Directory>,
    /// What became of events.
    pub insight: Arc<dyn Insight>,
    /// How attempts went, and what waits.
    pub survey: Arc<dyn Survey>,
    /// Which processes there are.
    pub fleet: Arc<dyn Fleet>,
    /// What was given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What people wanted of lanes.
    pub steerings: Arc<dyn Steerings>,
    /// Jobs that send many events again.
    pub replays: Arc<dyn Replays>,
}

/// The state of the dashboard; clones share it.
#[derive(Clone)]
pub struct Dashboard(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) ports: Ports,
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) seal: Seal,
    pub(crate) sign_ins: SignIns,
    pub(crate) streams: Streams,
    pub(crate) kept: Kept,
    /// Ends live pages, so that a stop need not wait for them.
    pub(crate) stop: CancellationToken,
}

impl Dashboard {
    /// The dashboard over these ports and the routes of the API. `stop` ends live pages.
    pub fn new(ports: Ports, api: Router, settings: Settings, clock: Clock, stop: CancellationToken) -> Self {
        let seal = Seal::new(&settings.key, &settings.other_keys);
        let api = Api::new(api);
        let (sign_ins, streams, kept) = (SignIns::default(), Streams::default(), Kept::default());
        Self(Arc::new(Shared { ports, api, settings, clock, seal, sign_ins, streams, kept, stop }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Millis {
        (self.clock)()
    }
}
