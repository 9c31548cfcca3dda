//! Redis: forgets everything, dies and comes back empty, or fails over to a replica that knows less.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Struck;
use crate::plan::{Kind, Service};
use crate::proxy::Mode;
use crate::stage::Stage;

pub(super) async fn strike(stage: &Stage, kind: Kind, lasts: Duration) -> Struck {
    let redis = &stage.redis;
    let master = stage.master.load(Ordering::Relaxed);
    match kind {
        Kind::RestartRedis => {
            redis.kill_server(master);
            tokio::time::sleep(lasts).await;
            // It starts as it was arranged at first, perhaps as a replica: nobody sees that.
            links(stage, Mode::Cut);
            redis.start_server(master).await;
            tokio::task::block_in_place(|| {
                if master == 1 {
                    redis.command(1, &["REPLICAOF", "NO", "ONE"]);
                }
                // What its replica sent it meanwhile is not what it had.
                redis.command(master, &["FLUSHALL"]);
                follow(stage, 1 - master, master);
            });
            links(stage, Mode::Open);
        }
        Kind::FailOverRedis => {
            // The replica stands still, and the other goes on and is then lost.
            tokio::task::block_in_place(|| redis.command(1 - master, &["REPLICAOF", "NO", "ONE"]));
            tokio::time::sleep(lasts).await;
            links(stage, Mode::Cut);
            for role in stage.roles() {
                role.links.aim_redis(redis.address(1 - master));
            }
            stage.master.store(1 - master, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(300)).await;
            links(stage, Mode::Open);
            tokio::task::block_in_place(|| follow(stage, master, 1 - master));
        }
        _ => {
            tokio::task::block_in_place(|| redis.command(master, &["FLUSHALL"]));
        }
    }
    Struck::at(format!("server {master}"))
}

fn links(stage: &Stage, mode: Mode) {
    for role in stage.roles() {
        role.links.set(Service::Redis, mode);
    }
}

fn follow(stage: &Stage, replica: usize, master: usize) {
    let port = stage.redis.address(master).port().to_string();
    stage.redis.command(replica, &["REPLICAOF", "127.0.0.1", &port]);
}
