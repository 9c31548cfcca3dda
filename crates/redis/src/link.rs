//! The connection to Redis: one for scripts and one for news. Both heal by themselves for ever; while Redis cannot be
//! reached, whoever asks hears it at once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::{Mutex, RwLock};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, Script, ScriptInvocation, ServerErrorKind,
    ToRedisArgs,
};
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::{PortError, Reach};
use spectrum_webhook_core::retry::{Policy, Schedule};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::ConnectError;
use crate::place::{Kind, Place};
use crate::together::Together;

/// How long a command may take: far longer than Redis needs, far shorter than a lease.
const COMMAND: Duration = Duration::from_secs(2);
/// How long connecting may take, with all that is asked first.
const CONNECT: Duration = Duration::from_secs(5);
/// How often Redis is asked whether it is there.
const PING: Duration = Duration::from_secs(1);
const RETRIES: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5), attempts: u32::MAX };

/// A connection of either form; clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Node(MultiplexedConnection, Together),
    Cluster(ClusterConnection),
}

impl Connection {
    fn node(connection: MultiplexedConnection) -> Self {
        Self::Node(connection.clone(), Together::over(connection))
    }
}

/// A command, or a script with its keys and arguments.
pub(crate) struct Call {
    command: Cmd,
    script: Option<&'static Script>,
}

impl Call {
    pub(crate) fn command(name: &str) -> Self {
        Self { command: redis::cmd(name), script: None }
    }

    /// With its keys; the arguments follow.
    pub(crate) fn script<K: AsRef<[u8]>>(script: &'static Script, keys: &[K]) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        Self { command, script: Some(script) }
    }

    pub(crate) fn arg(&mut self, value: impl ToRedisArgs) -> &mut Self {
        self.command.arg(value);
        self
    }
}

/// The script is not known there yet.
const NO_SCRIPT: ErrorKind = ErrorKind::Server(ServerErrorKind::NoScript);

/// Why there is no connection.
enum Trouble {
    /// A person has to change something.
    Refused(ConnectError),
    /// It may work later.
    Later(String),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let said = || error.detail().map_or_else(|| error.category().to_owned(), str::to_owned);
        let tls = is_tls(&error);
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused(ConnectError::Credentials(said())),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Refused(ConnectError::Permission(said())),
            ErrorKind::InvalidClientConfig => Self::Refused(ConnectError::Url(said())),
            _ if tls => Self::Refused(ConnectError::Tls(error.to_string())),
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => Self::Refused(ConnectError::Credentials(said())),
                Some("NOPERM") => Self::Refused(ConnectError::Permission(said())),
                _ => Self::Later(error.to_string()),
            },
        }
    }
}

/// Whether a handshake failed. The only trace of that is the error under the error under the error.
fn is_tls(error: &RedisError) -> bool {
    type Cause = Arc<dyn std::error::Error + Send + Sync>;
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Cause>());
    let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

impl Trouble {
    fn into_detail(self) -> String {
        match self {
            Self::Refused(error) => error.to_string(),
            Self::Later(detail) => detail,
        }
    }
}

static TIME: LazyLock<Script> = LazyLock::new(|| Script::new("return tonumber(redis.call('TIME')[1])"));

struct Shared {
    place: Place,
    channel: String,
    reach: Arc<Reach>,
    /// The connection, and the number of its making.
    current: RwLock<Option<(u64, Connection)>>,
    /// Since when this Redis remembers all that it was told, as far as one can tell: since it was connected to, or since
    /// a single server was started.
    remembers: Mutex<Option<Instant>>,
    /// A command failed such that the connection may be dead.
    suspected: Notify,
    /// How often each partition was named on the news channel.
    told: Mutex<HashMap<PartitionId, u64>>,
    /// Rises with each of them.
    news: watch::Sender<u64>,
}

/// The link to Redis. Dropping it ends it.
pub(crate) struct Link {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
    _listener: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects, however long it takes.
    pub(crate) async fn connect(place: Place, channel: String) -> Result<Self, ConnectError> {
        // A second call finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            place,
            channel,
            reach: Arc::new(Reach::new("redis")),
            current: RwLock::default(),
            remembers: Mutex::default(),
            suspected: Notify::new(),
            told: Mutex::default(),
            news: watch::Sender::new(0),
        });
        let mut retries = Retries::new();
        loop {
            match shared.connect().await {
                Ok((connection, remembers)) => {
                    shared.connected(connection, remembers);
                    break;
                }
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Later(detail)) => retries.failed("Redis cannot be reached yet", &detail).await,
            }
        }
        let keeper = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&shared).keep()));
        let listener = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&shared).listen()));
        Ok(Self { shared, _keeper: keeper, _listener: listener })
    }

    pub(crate) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.shared.reach)
    }

    /// Runs a script with its keys and arguments.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        what: (&'static str, &'static str),
        script: &ScriptInvocation<'_>,
    ) -> Result<T, PortError> {
        let (made, connection) = self.connection(what)?;
        self.answer(what, made, async {
            match connection {
                Connection::Node(mut connection, _) => script.invoke_async(&mut connection).await,
                Connection::Cluster(mut connection) => script.invoke_async(&mut connection).await,
            }
        })
        .await
    }

    /// Asks for what no script does.
    pub(crate) async fn ask<T>(
        &self,
        what: (&'static str, &'static str),
        question: impl AsyncFnOnce(Connection) -> Result<T, RedisError>,
    ) -> Result<T, PortError> {
        let (made, connection) = self.connection(what)?;
        self.answer(what, made, question(connection)).await
    }

    /// Runs what every event runs: many of them go together, in the order in which they were first asked.
    pub(crate) async fn run_together<T: FromRedisValue>(
        &self,
        what: (&'static str, &'static str),
        call: Call,
    ) -> Result<T, PortError> {
        let (made, connection) = self.connection(what)?;
        self.answer(what, made, async {
            let Call { command, script } = call;
            let value = match (connection, script) {
                (Connection::Node(_, together), None) => together.run(command).await?,
                (Connection::Node(mut connection, together), Some(script)) => {
                    match together.run(command.clone()).await {
                        Err(error) if error.kind() == NO_SCRIPT => {
                            script.load_async(&mut connection).await?;
                            together.run(command).await?
                        }
                        answer => answer?,
                    }
                }
                // It goes to the node of its keys, and each node has a connection of its own.
                (Connection::Cluster(mut connection), None) => command.query_async(&mut connection).await?,
                (Connection::Cluster(mut connection), Some(script)) => match command.query_async(&mut connection).await
                {
                    Err(error) if error.kind() == NO_SCRIPT => {
                        script.load_async(&mut connection).await?;
                        command.query_async(&mut connection).await?
                    }
                    answer => answer?,
                },
            };
            Ok(T::from_redis_value(value)?)
        })
        .await
    }

    /// The connection, and the number of its making.
    fn connection(&self, (port, operation): (&'static str, &'static str)) -> Result<(u64, Connection), PortError> {
        self.shared.current.read().clone().ok_or_else(|| {
            let why = self.shared.reach.state().err().unwrap_or_default();
            PortError::Unavailable { port, operation, detail: format!("Redis cannot be reached: {why}") }
        })
    }

    /// Waits for an answer, for so long as a command may take, and draws from it what it says of the connection.
    async fn answer<T>(
        &self,
        (port, operation): (&'static str, &'static str),
        made: u64,
        answered: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, PortError> {
        let unavailable = |detail| PortError::Unavailable { port, operation, detail };
        match timeout(COMMAND, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
                    self.shared.drop_connection(made, &error.to_string());
                } else {
                    self.shared.suspected.notify_one();
                }
                Err(unavailable(error.to_string()))
            }
            Err(_) => {
                self.shared.suspected.notify_one();
                Err(unavailable("no answer in time".to_owned()))
            }
        }
    }

    /// The number of the connection; it changes when Redis may have forgotten what it was told. `None`: there is none,
    /// or it leads to a cluster, whose nodes may change behind it.
    pub(crate) fn made(&self) -> Option<u64> {
        let current = self.shared.current.read();
        current.as_ref().filter(|(_, connection)| matches!(connection, Connection::Node(..))).map(|(made, _)| *made)
    }

    /// For how long this Redis has remembered all that it was told, as far as one can tell.
    pub(crate) fn remembers_for(&self) -> Duration {
        let connected = self.shared.current.read().is_some();
        self.shared.remembers.lock().filter(|_| connected).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How often a partition was named on the news channel.
    pub(crate) fn told(&self, partition: PartitionId) -> u64 {
        self.shared.told.lock().get(&partition).copied().unwrap_or(0)
    }

    /// Rises when any partition is named.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }
}

impl Shared {
    /// Connects and looks whether this Redis can be used.
    async fn connect(&self) -> Result<(Connection, Instant), Trouble> {
        let connecting = async {
            let config =
                AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(COMMAND));
            let connection = match &self.place.kind {
                Kind::Single => {
                    let client = self.place.client(0)?;
                    Connection::node(client.get_multiplexed_async_connection_with_config(&config).await?)
                }
                Kind::Sentinel(name) => {
                    let mut sentinels = self.place.sentinel(name)?;
                    Connection::node(sentinels.get_async_connection_with_config(&config).await?)
                }
                Kind::Cluster => {
                    let builder = self.place.cluster()?.connection_timeout(CONNECT).response_timeout(COMMAND);
                    Connection::Cluster(builder.retries(2).build()?.get_async_connection().await?)
                }
            };
            let now = Instant::now();
            let up = self.check(&connection).await?;
            // A replica that was promoted has been up for long and may know little.
            let alone = matches!(self.place.kind, Kind::Single);
            Ok((connection, now.checked_sub(up).filter(|_| alone).unwrap_or(now)))
        };
        timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(Trouble::Later("no answer in time".to_owned())))
    }

    /// What this Redis says of itself; returns for how long it has been up.
    async fn check(&self, connection: &Connection) -> Result<Duration, Trouble> {
        // All scripts need it, and the watch over the connection.
        let asked = match connection.clone() {
            Connection::Node(mut connection, _) => {
                redis::cmd("ROLE").query_async::<redis::Value>(&mut connection).await.map(|_| ())?;
                TIME.prepare_invoke().invoke_async::<i64>(&mut connection).await
            }
            Connection::Cluster(mut connection) => TIME.key(&self.channel).invoke_async::<i64>(&mut connection).await,
        };
        asked?;
        let info = match connection.clone() {
            Connection::Node(mut connection, _) => {
                redis::cmd("INFO").query_async::<redis::InfoDict>(&mut connection).await?
            }
            Connection::Cluster(mut connection) => {
                // Any node: they are set up alike.
                let routing = redis::cluster_routing::RoutingInfo::SingleNode(
                    redis::cluster_routing::SingleNodeRoutingInfo::RandomPrimary,
                );
                redis::FromRedisValue::from_redis_value(connection.route_command(redis::cmd("INFO"), routing).await?)
                    .map_err(RedisError::from)?
            }
        };
        let said = |name: &str| info.get::<String>(name).unwrap_or_default();
        let version = said("redis_version");
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next(), parts.next()) < (Some(6), Some(2)) {
            return Err(Trouble::Refused(ConnectError::Old(version)));
        }
        let policy = said("maxmemory_policy");
        if !policy.is_empty() && policy != "noeviction" {
            return Err(Trouble::Refused(ConnectError::Eviction(policy)));
        }
        match (&self.place.kind, said("redis_mode").as_str()) {
            (Kind::Single | Kind::Sentinel(_), "cluster") => return Err(Trouble::Refused(ConnectError::Cluster)),
            (Kind::Cluster, "standalone") => return Err(Trouble::Refused(ConnectError::NoCluster)),
            _ => {}
        }
        match (&self.place.kind, said("role").as_str()) {
            (Kind::Single, "slave") => Err(Trouble::Refused(ConnectError::Replica)),
            (Kind::Sentinel(_), "slave") => Err(Trouble::Later("the master is a replica at the moment".to_owned())),
            _ => Ok(Duration::from_secs(info.get::<u64>("uptime_in_seconds").unwrap_or_default())),
        }
    }

    fn connected(&self, connection: Connection, remembers: Instant) {
        *self.remembers.lock() = Some(remembers);
        let mut current = self.current.write();
        let made = self.reach.losses() + 1;
        *current = Some((made, connection));
        self.reach.reached();
    }

    /// Forgets the connection, unless there is another one by now.
    fn drop_connection(&self, made: u64, why: &str) {
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|(number, _)| *number == made) {
            *current = None;
            if self.reach.lost(why) {
                tracing::warn!(why, "Redis is lost");
            }
            self.suspected.notify_one();
        }
    }

    /// Asks now and then whether Redis is there, and connects again when it is not.
    async fn keep(self: Arc<Self>) {
        let mut retries = Retries::new();
        loop {
            // Suspicion or not, not more than ten times a second.
            let _ = timeout(PING, self.suspected.notified()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let current = self.current.read().clone();
            if let Some((made, connection)) = current {
                if let Err(trouble) = self.ping(connection).await {
                    self.drop_connection(made, &trouble);
                }
                continue;
            }
            match self.connect().await {
                Ok((connection, remembers)) => {
                    self.connected(connection, remembers);
                    retries = Retries::new();
                    tracing::info!("Redis is back");
                }
                Err(trouble) => {
                    let detail = trouble.into_detail();
                    self.reach.lost(&detail);
                    retries.failed("Redis cannot be reached", &detail).await;
                }
            }
        }
    }

    async fn ping(&self, connection: Connection) -> Result<(), String> {
        let asking = async {
            match connection {
                Connection::Node(mut connection, _) => {
                    let role: redis::Value = redis::cmd("ROLE").query_async(&mut connection).await?;
                    let redis::Value::Array(said) = role else { return Ok(true) };
                    Ok(said.first().and_then(|role| String::from_redis_value_ref(role).ok()).as_deref()
                        == Some("master"))
                }
                Connection::Cluster(mut connection) => {
                    redis::cmd("EXISTS").arg(&self.channel).query_async::<i64>(&mut connection).await.map(|_| true)
                }
            }
        };
        match timeout(COMMAND, asking).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("it is a replica now".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Listens to the news channel for ever. What is missed meanwhile is found by whoever looks now and then.
    async fn listen(self: Arc<Self>) {
        let mut retries = Retries::new();
        for attempt in 0.. {
            match timeout(CONNECT, self.subscribe(attempt)).await {
                Ok(Ok(channel)) => {
                    retries = Retries::new();
                    // Nobody knows what was missed.
                    self.tell(None);
                    let mut messages = channel.into_on_message();
                    while let Some(message) = messages.next().await {
                        self.tell(message.get_payload::<u16>().ok().map(PartitionId));
                    }
                    retries.wait().await;
                }
                Ok(Err(trouble)) => {
                    tracing::debug!(why = trouble.into_detail(), "the news channel is lost");
                    retries.wait().await;
                }
                Err(_) => retries.wait().await,
            }
        }
    }

    async fn subscribe(&self, attempt: usize) -> Result<PubSub, Trouble> {
        // In a cluster every node tells what was told to any.
        let client = match &self.place.kind {
            Kind::Single | Kind::Cluster => self.place.client(attempt)?,
            Kind::Sentinel(name) => self.place.sentinel(name)?.async_get_client().await?,
        };
        let mut channel = client.get_async_pubsub().await?;
        channel.subscribe(&self.channel).await?;
        Ok(channel)
    }

    fn tell(&self, partition: Option<PartitionId>) {
        let mut told = self.told.lock();
        match partition {
            Some(partition) => *told.entry(partition).or_default() += 1,
            None => told.values_mut().for_each(|told| *told += 1),
        }
        drop(told);
        self.news.send_modify(|news| *news += 1);
    }
}

/// Waits that grow, with a line in the log for the first and then every doubled number of failures.
struct Retries {
    schedule: Schedule,
    chance: Seeded,
    failed: u32,
}

impl Retries {
    fn new() -> Self {
        Self { schedule: Schedule::new(&RETRIES), chance: Seeded::new(rand::random()), failed: 0 }
    }

    async fn failed(&mut self, what: &'static str, why: &str) {
        if (self.failed + 1).is_power_of_two() {
            tracing::warn!(what, why, failed = self.failed + 1, "trying again");
        }
        self.wait().await;
    }

    async fn wait(&mut self) {
        self.failed = self.failed.saturating_add(1);
        let wait = self.schedule.wait(self.failed, None, &mut self.chance);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}
