//! Processes are killed, frozen, restarted, added and removed. Whoever strikes one holds it until it is whole again.

use std::time::Duration;

use rustix::process::Signal;

use super::{Struck, place};
use crate::plan::{Kind, Strike};
use crate::stage::{Role, Stage};

fn target(stage: &Stage, strike: Strike) -> &Role {
    let roles = match strike.kind {
        Kind::KillIngest | Kind::FreezeIngest => &stage.ingests,
        _ => &stage.dispatchers,
    };
    &roles[place(strike.pick, roles.len())]
}

pub(super) async fn kill(stage: &Stage, strike: Strike, lasts: Duration) -> Struck {
    let role = target(stage, strike);
    let mut server = role.server.lock().await;
    server.kill().await;
    tokio::time::sleep(lasts).await;
    server.restart().await;
    Struck::at(&role.name)
}

pub(super) async fn freeze(stage: &Stage, strike: Strike, lasts: Duration) -> Struck {
    let role = target(stage, strike);
    let server = role.server.lock().await;
    server.signal(Signal::STOP);
    tokio::time::sleep(lasts).await;
    server.signal(Signal::CONT);
    Struck { target: role.name.clone(), freezes: strike.kind == Kind::FreezeDispatcher }
}

pub(super) async fn rolling_restart(stage: &Stage) -> Struck {
    for role in stage.roles() {
        restart(stage, role).await;
    }
    Struck::at("all")
}

async fn restart(stage: &Stage, role: &Role) {
    let mut server = role.server.lock().await;
    let (code, took) = server.terminate().await;
    if code != Some(0) {
        stage.trouble(format!("{} ended with {code:?} after SIGTERM, {took:.1?}", role.name));
    }
    server.restart().await;
}

/// How long a newcomer may take until partitions are given to it; another fault may be in its way.
const SHARE: Duration = Duration::from_secs(20);
/// How long it delivers then.
const STAY: Duration = Duration::from_secs(2);

/// A dispatcher comes, takes its share, and goes.
pub(super) async fn move_partitions(stage: &Stage) -> Struck {
    let role = stage.add("dispatcher", 9).await;
    let shared = tokio::time::timeout(SHARE, async {
        while role.partitions().await.is_none_or(|held| held == 0) {
            // Metrics cannot be waited for: they are asked again.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let target = if shared.await.is_ok() { role.name.clone() } else { format!("{}, which got none", role.name) };
    tokio::time::sleep(STAY).await;
    let (code, took) = role.server.lock().await.terminate().await;
    if code != Some(0) {
        stage.trouble(format!("{} ended with {code:?} after SIGTERM, {took:.1?}", role.name));
    }
    Struck::at(target)
}
