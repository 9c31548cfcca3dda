//! The services of a cluster: private ones, as the tests start them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use spectrum_webhook_testkit::services::{Postgres, PostgresSetup, Rabbit, RabbitSetup, Redis, RedisSetup};

use super::Backend;
use super::processes::{self, Roles};

/// Running services; they end with this.
pub(crate) struct Services {
    rabbit: Rabbit,
    _redis: Redis,
    postgres: Postgres,
    /// The settings that name them.
    pub(super) settings: BTreeMap<&'static str, String>,
    pub(super) roles: Roles,
}

/// The same in all processes of a cluster.
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const DATABASE: &str = "postgres";

impl Services {
    /// Those of a cluster; none of the embedded backends.
    pub(crate) async fn of(backend: Backend) -> Result<Option<Self>> {
        match backend {
            Backend::Cluster => Ok(Some(Self::start().await?)),
            Backend::Embedded => Ok(None),
        }
    }

    /// Starts RabbitMQ, Redis and PostgreSQL, empty.
    pub(crate) async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(Self::launch).await?
    }

    fn launch() -> Result<Self> {
        let (rabbit, redis, postgres) = std::thread::scope(|scope| {
            let rabbit = scope.spawn(|| Rabbit::launch(&RabbitSetup::default()));
            let postgres = scope.spawn(|| Postgres::launch(&PostgresSetup::default()));
            let redis = Redis::launch(&RedisSetup::default());
            (rabbit.join(), redis, postgres.join())
        });
        let ended = |_| anyhow!("a service did not start");
        let (rabbit, postgres) = (rabbit.map_err(ended)?, postgres.map_err(ended)?);
        let settings = BTreeMap::from([
            ("SPECTRUM_AMQP_URL", rabbit.url()),
            ("SPECTRUM_REDIS_URL", redis.url()),
            ("SPECTRUM_DATABASE_URL", postgres.url_of(DATABASE)),
            ("SPECTRUM_MASTER_KEY", MASTER_KEY.to_owned()),
        ]);
        Ok(Self { rabbit, _redis: redis, postgres, settings, roles: processes::services() })
    }

    /// The settings that name them.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings.clone().into_iter().collect()
    }

    /// Where RabbitMQ keeps what it has.
    pub(crate) fn queue_folder(&self) -> &Path {
        self.rabbit.folder()
    }

    /// Bytes of the product's database.
    pub(crate) fn stored(&self) -> Result<u64> {
        let url = self.postgres.url_of(DATABASE);
        let said = self.postgres.try_execute(&url, "SELECT pg_database_size(current_database())");
        Ok(said.map_err(|said| anyhow!("PostgreSQL: {said}"))?.trim().parse()?)
    }

    /// Runs a statement in the product's database.
    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        let said = self.postgres.try_execute(&self.postgres.url_of(DATABASE), sql);
        said.map(|_| ()).map_err(|said| anyhow!("PostgreSQL: {said}"))
    }
}
