//! Faults.

use std::sync::Arc;

use crate::clock::Clock;
use crate::history::{At, Fault};
use crate::plan::Plan;
use crate::stage::Stage;

pub(crate) async fn run(
    _stage: &Arc<Stage>,
    _plan: &Plan,
    _clock: Clock,
    _begun: At,
    _tell: &(impl Fn(String) + Send + Sync),
) -> Vec<Fault> {
    Vec::new()
}
