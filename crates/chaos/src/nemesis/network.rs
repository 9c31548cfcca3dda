//! The way from one process to one service is cut, slow, or half open.

use std::time::Duration;

use super::{Struck, place};
use crate::plan::{Network, Service};
use crate::proxy::Mode;
use crate::stage::Stage;

/// How much later everything comes, each way.
const DELAY: Duration = Duration::from_millis(150);

pub(super) async fn disturb(stage: &Stage, pick: u64, network: Network, service: Service, lasts: Duration) -> Struck {
    let roles: Vec<_> = stage.roles().collect();
    let role = roles[place(pick, roles.len())];
    let mode = match network {
        Network::Cut => Mode::Cut,
        Network::Delay => Mode::Delay(DELAY),
        Network::Hole => Mode::Hole,
    };
    role.links.set(service, mode);
    tokio::time::sleep(lasts).await;
    role.links.set(service, Mode::Open);
    Struck::at(&role.name)
}
