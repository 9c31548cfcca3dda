//! What can be set.

use std::time::Duration;

use spectrum_webhook_core::credentials::OperatorToken;
use zeroize::Zeroizing;

/// The settings of the dashboard.
#[derive(Clone)]
pub struct Settings {
    /// What cookies are sealed with: known to all processes that a balancer may send a person to.
    pub key: Zeroizing<[u8; 32]>,
    /// What other processes seal them with, or did before: it opens them.
    pub other_keys: Vec<Zeroizing<[u8; 32]>>,
    /// What an operator signs in with; `None` lets no operator in.
    pub operator_token: Option<OperatorToken>,
    /// How long a session lasts, however much it is used.
    pub session: Duration,
    /// The number of partitions of the deployment.
    pub partitions: u16,
    /// The version, as deliveries name it.
    pub version: String,
}
