//! Private services for tests: RabbitMQ, Redis and PostgreSQL, started from the installed binaries on free ports and in
//! temporary folders. None that happens to run on the machine is touched.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `janitor` | nothing is left behind, however a test process ends |
//! | `process` | one server process: its start, its end, its folder |
//! | `rabbit`, `redis`, `postgres` | one service each |
//! | `prometheus` | scrapes and evaluates |
//! | `authority` | certificates for those that speak TLS |

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod authority;
pub mod janitor;
mod postgres;
mod process;
mod prometheus;
mod rabbit;
mod redis;

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use rand::RngExt as _;

pub use postgres::{Postgres, PostgresSetup};
pub use prometheus::Prometheus;
pub use rabbit::{Rabbit, RabbitSetup};
pub use redis::{Form, Redis, RedisSetup};

/// How long a service may take to start on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs what blocks beside the runtime of a test.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("a service that starts")
}

/// One of each service for all tests of this process, each started when it is first asked for. They may not be stopped.
pub fn shared() -> &'static Shared {
    static SHARED: Shared = Shared { rabbit: OnceLock::new(), redis: OnceLock::new(), postgres: OnceLock::new() };
    &SHARED
}

/// Services that many tests use.
pub struct Shared {
    rabbit: OnceLock<Rabbit>,
    redis: OnceLock<Redis>,
    postgres: OnceLock<Postgres>,
}

impl Shared {
    /// A broker with one node.
    pub async fn rabbit(&'static self) -> &'static Rabbit {
        blocking(|| self.rabbit.get_or_init(|| Rabbit::launch(&RabbitSetup::default()))).await
    }

    /// A single Redis.
    pub async fn redis(&'static self) -> &'static Redis {
        blocking(|| self.redis.get_or_init(|| Redis::launch(&RedisSetup::default()))).await
    }

    /// A PostgreSQL.
    pub async fn postgres(&'static self) -> &'static Postgres {
        blocking(|| self.postgres.get_or_init(|| Postgres::launch(&PostgresSetup::default()))).await
    }
}

/// A free port, below those that the system gives to outgoing connections.
fn free_port() -> u16 {
    free_port_in(20_000..32_000, |_| true)
}

/// The same for a node of a Redis Cluster, which listens on the port 10,000 above it as well.
fn free_port_of_a_node() -> u16 {
    free_port_in(20_000..22_700, |port| is_free(port + 10_000))
}

fn free_port_in(ports: Range<u16>, suits: impl Fn(u16) -> bool) -> u16 {
    let mut drawn = (0..1_000).map(|_| rand::rng().random_range(ports.clone()));
    drawn.find(|port| is_free(*port) && suits(*port)).expect("a free port")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A password that needs no escaping anywhere.
fn password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Asks until it is so.
#[track_caller]
fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        // Other processes cannot be waited for: they are asked again.
        std::thread::sleep(Duration::from_millis(20));
    }
}
