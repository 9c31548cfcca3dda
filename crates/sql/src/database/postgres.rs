//! What only PostgreSQL needs: how it is reached, how a connection is set up, and a pool of them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::ports::Reach;
use spectrum_webhook_core::retry::{Policy, Schedule};
use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::migrate::Dialect;
use super::{Unready, prepare};
use crate::error::{Fault, GIVE_THE_KEY, refusal_code};
use crate::secrets::Keyring;
use crate::sql::{Columns as _, Conn, run_plain};

/// How long connecting may take, with the set-up.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a piece of work may take in all, waiting for a connection included: longer than the server's own limits,
/// which end it first.
const WORK: Duration = Duration::from_secs(15);
/// How long migrations may take: an index of a large table is made in one go.
const MIGRATE: Duration = Duration::from_secs(3_600);
/// How often the server is asked whether it is there.
const PING: Duration = Duration::from_secs(2);
/// The oldest version that is supported.
const OLDEST: i64 = 130_000;
const RETRIES: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5), attempts: u32::MAX };

/// A connection's own settings. An owner that is frozen or cut off within a transaction holds its partition's row: the
/// server ends it after 5 s, so that a takeover does not wait for ever. `lock_timeout` is longer, so that the takeover
/// waits for that.
const SET_UP: &str = "
    SET application_name = 'spectrum-webhook';
    SET statement_timeout = '10s';
    SET lock_timeout = '8s';
    SET idle_in_transaction_session_timeout = '5s';
    SET default_transaction_isolation = 'read committed';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET client_min_messages = 'warning';
";

/// How PostgreSQL is reached and used.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:5432/database`; `?sslmode=` as everywhere else.
    pub url: String,
    /// Connections at once, at least 2; each is opened when it is first needed.
    pub connections: u32,
    /// A PEM file of the authorities that signed the server's certificate, unless the URL names one.
    pub ca: Option<PathBuf>,
}

impl PostgresOptions {
    /// The defaults: 16 connections.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), connections: 16, ca: None }
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// What a person has to change before PostgreSQL can be used. No message holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error(
        "the URL of PostgreSQL cannot be used: expected `postgres://user:password@host:5432/database?sslmode=…`, \
             characters of the password percent-encoded"
    )]
    Url,
    /// The credentials are refused.
    #[error("PostgreSQL refuses the credentials ({0}): correct the user and the password in its URL, or pg_hba.conf")]
    Credentials(String),
    /// There is no such database.
    #[error("PostgreSQL has no such database ({0}): make it, or name another one in the URL")]
    NoDatabase(String),
    /// The role may not do what is needed.
    #[error(
        "PostgreSQL does not permit what is needed ({0}): let the role own the schema, or run `migrate` as one that \
             does and grant it the tables"
    )]
    Permission(String),
    /// TLS does not come about.
    #[error(
        "TLS with PostgreSQL fails ({0}): check `sslmode` in its URL; its certificate must be valid for the host; \
             name the authority that signed it in SPECTRUM_SERVICES_CA_FILE"
    )]
    Tls(String),
    /// It is too old.
    #[error("PostgreSQL {0} is too old: 13 or later is needed")]
    Old(String),
    /// It would lose what it has confirmed.
    #[error("PostgreSQL has `{setting} = {value}`, with which a crash loses what was confirmed: {remedy}")]
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It cannot be written.
    #[error("this PostgreSQL takes no writes: it is a standby or read-only; name the primary")]
    ReadOnly,
    /// It cannot hold every text.
    #[error("the database has the encoding {0}: make one with UTF8")]
    Encoding(String),
    /// A newer release migrated it.
    #[error(
        "the database was migrated by a newer release (migration {found}; this one knows {known}); start that \
             release or a later one"
    )]
    Newer {
        /// The newest migration in it.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// Something in it rests under keys that are not known here.
    #[error(
        "what the database holds is encrypted under master key {missing}, and known here is {known}; {GIVE_THE_KEY}"
    )]
    WrongKey {
        /// The fingerprints of the keys that are missing.
        missing: String,
        /// The fingerprints of those that are known.
        known: String,
    },
    /// What is stored cannot be read.
    #[error("the database cannot be read ({0}): restore it from a backup")]
    Corrupt(String),
}

/// Why there is no connection.
enum Trouble {
    Refused(ConnectError),
    Later(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Tls(why) => Self::Refused(ConnectError::Tls(why.to_string())),
            sqlx::Error::Io(why) if is_tls(why) => Self::Refused(ConnectError::Tls(why.to_string())),
            sqlx::Error::Configuration(_) => Self::Refused(ConnectError::Url),
            _ => Self::from(Fault::from(error)),
        }
    }
}

fn is_tls(error: &std::io::Error) -> bool {
    // rustls wraps what it refuses as invalid data.
    error.kind() == std::io::ErrorKind::InvalidData
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        if let Some(refused) = refusal_code(&fault).and_then(|(code, why)| refusal(code, why)) {
            return Self::Refused(refused);
        }
        match fault {
            Fault::Corrupt(why) => Self::Refused(ConnectError::Corrupt(why)),
            Fault::Fenced => Self::Later("fenced".to_owned()),
            Fault::Unavailable { detail, .. } => Self::Later(detail),
        }
    }
}

impl From<Unready> for Trouble {
    fn from(unready: Unready) -> Self {
        match unready {
            Unready::Fault(fault) => fault.into(),
            Unready::Newer { found, known } => Self::Refused(ConnectError::Newer { found, known }),
            Unready::WrongKey { missing, known } => Self::Refused(ConnectError::WrongKey { missing, known }),
        }
    }
}

/// What a code of the SQL standard or of PostgreSQL means for whoever set it up.
fn refusal(code: &str, why: &str) -> Option<ConnectError> {
    match code {
        "28P01" | "28000" => Some(ConnectError::Credentials(why.to_owned())),
        "3D000" => Some(ConnectError::NoDatabase(why.to_owned())),
        "42501" | "3F000" => Some(ConnectError::Permission(why.to_owned())),
        "25006" => Some(ConnectError::ReadOnly),
        _ => None,
    }
}

struct Place {
    options: AnyConnectOptions,
    reach: Arc<Reach>,
}

impl Place {
    fn new(options: &PostgresOptions) -> Result<Self, ConnectError> {
        sqlx::any::install_default_drivers();
        // Its error may repeat what was read, and so the password.
        let mut url = url::Url::parse(&options.url).map_err(|_| ConnectError::Url)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(ConnectError::Url);
        }
        if let Some(ca) = &options.ca
            && !url.query_pairs().any(|(name, _)| name == "sslrootcert" || name == "ssl-root-cert" || name == "ssl-ca")
        {
            url.query_pairs_mut().append_pair("sslrootcert", ca.to_str().ok_or(ConnectError::Url)?);
        }
        let options: AnyConnectOptions = url.as_str().parse().map_err(|_| ConnectError::Url)?;
        Ok(Self { options: options.disable_statement_logging(), reach: Arc::new(Reach::new("postgresql")) })
    }

    async fn connect(&self) -> Result<Conn, Trouble> {
        let connecting = async {
            let mut conn = self.options.connect().await?;
            sqlx::raw_sql(SET_UP).execute(&mut conn).await?;
            Ok(conn)
        };
        let connected = timeout(CONNECT, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(Trouble::Later("no answer in time".to_owned())));
        match &connected {
            Ok(_) => {
                if self.reach.reached() {
                    tracing::info!("PostgreSQL answers");
                }
            }
            Err(Trouble::Refused(error)) => self.lost(&error.to_string()),
            Err(Trouble::Later(why)) => self.lost(why),
        }
        connected
    }

    fn lost(&self, why: &str) {
        if self.reach.lost(why) {
            tracing::warn!(why, "PostgreSQL is lost");
        }
    }
}

/// A plain stack of connections behind a semaphore.
pub(super) struct Pool {
    inner: Arc<Inner>,
    _pinger: AbortOnDropHandle<()>,
}

struct Inner {
    place: Place,
    permits: Semaphore,
    idle: Mutex<Vec<Conn>>,
}

impl Pool {
    /// Connects, however long it takes, and looks whether this server can be used.
    pub(super) async fn connect(options: PostgresOptions, keys: &Keyring) -> Result<Self, ConnectError> {
        // A second call finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = Place::new(&options)?;
        let (schedule, mut chance) = (Schedule::new(&RETRIES), Seeded::new(rand::random()));
        for failed in 1_u32.. {
            match start(&place, keys).await {
                Ok(()) => break,
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Later(why)) => {
                    if failed.is_power_of_two() {
                        tracing::warn!(why, failed, "PostgreSQL cannot be used yet: trying again");
                    }
                    tokio::time::sleep(Duration::from_millis(schedule.wait(failed, None, &mut chance))).await;
                }
            }
        }
        let permits = usize::try_from(options.connections.clamp(2, 1_000)).unwrap_or(2);
        let inner = Arc::new(Inner { place, permits: Semaphore::new(permits), idle: Mutex::default() });
        let pinger = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&inner).ping()));
        Ok(Self { inner, _pinger: pinger })
    }

    pub(super) fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.inner.place.reach)
    }

    /// Runs `work` on a connection, outside of a transaction.
    pub(super) async fn read<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        self.inner.run(work).await
    }

    /// Runs `work` in a transaction of its own. A work that is dropped or late loses its connection, and with it the
    /// transaction.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        self.inner.run(|conn| Box::pin(transact(conn, work))).await
    }

    /// Lets nothing new begin and closes what is idle; what is under way closes its own connection.
    pub(super) async fn close(&self) {
        self.inner.permits.close();
        let idle = std::mem::take(&mut *self.inner.idle.lock());
        for conn in idle {
            let _ = timeout(CONNECT, conn.close()).await;
        }
    }
}

async fn transact<T, F>(conn: &mut Conn, work: F) -> Result<T, Fault>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
{
    run_plain(conn, "BEGIN").await?;
    match work(conn).await {
        Ok(value) => {
            run_plain(conn, "COMMIT").await?;
            Ok(value)
        }
        Err(fault) => {
            // If that fails, the connection is closed anyway.
            let _ = run_plain(conn, "ROLLBACK").await;
            Err(fault)
        }
    }
}

impl Inner {
    async fn run<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        let running = async {
            let _permit = self.permits.acquire().await.map_err(|_| Fault::closed())?;
            let idle = self.idle.lock().pop();
            let mut conn = match idle {
                Some(conn) => conn,
                None => self.place.connect().await.map_err(|trouble| match trouble {
                    Trouble::Refused(error) => Fault::unavailable(error.to_string()),
                    Trouble::Later(why) => Fault::unavailable(why),
                })?,
            };
            let result = work(&mut conn).await;
            match result {
                Ok(_) | Err(Fault::Fenced) if !self.permits.is_closed() => self.idle.lock().push(conn),
                // A connection that failed is not used again, nor is one whose work was dropped (it never comes here).
                _ => drop(conn),
            }
            result
        };
        timeout(WORK, running).await.unwrap_or_else(|_| Err(Fault::unavailable("PostgreSQL gave no answer in time")))
    }

    /// Asks now and then whether the server is there.
    async fn ping(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PING).await;
            let asked = timeout(CONNECT, self.run(|conn| Box::pin(async { Ok(conn.ping().await?) }))).await;
            match asked {
                Ok(Ok(())) => {
                    self.place.reach.reached();
                }
                Ok(Err(fault)) => self.lost(&fault.at("store", "ping").to_string()),
                Err(_) => self.lost("no answer in time"),
            }
        }
    }

    /// What is idle is as dead as what was asked.
    fn lost(&self, why: &str) {
        self.place.lost(why);
        self.idle.lock().clear();
    }
}

/// Looks at the server, migrates the schema and checks the key.
async fn start(place: &Place, keys: &Keyring) -> Result<(), Trouble> {
    let mut conn = place.connect().await?;
    let started = async {
        let checked = timeout(WORK, check(&mut conn)).await;
        checked.unwrap_or_else(|_| Err(Trouble::Later("no answer in time".to_owned())))?;
        let prepared = timeout(MIGRATE, prepare(&mut conn, keys, Dialect::Postgres)).await;
        Ok(prepared.unwrap_or_else(|_| Err(Fault::unavailable("the migration takes too long").into()))?)
    };
    let started: Result<(), Trouble> = started.await;
    let _ = timeout(CONNECT, conn.close()).await;
    started
}

/// Whether what this server confirms outlives a crash.
async fn check(conn: &mut Conn) -> Result<(), Trouble> {
    let sql = "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
               current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
               current_setting('server_encoding'), current_setting('transaction_read_only'), \
               pg_is_in_recovery()::int::bigint, current_setting('synchronous_standby_names')";
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    if row.int(0)? < OLDEST {
        return Err(Trouble::Refused(ConnectError::Old(row.text(1)?)));
    }
    if row.flag(7)? || row.text(6)? == "on" {
        return Err(Trouble::Refused(ConnectError::ReadOnly));
    }
    let encoding = row.text(5)?;
    if encoding != "UTF8" {
        return Err(Trouble::Refused(ConnectError::Encoding(encoding)));
    }
    let in_file = "set it to `on` in postgresql.conf and restart";
    let for_role = "set it to `on` (ALTER SYSTEM, and ALTER ROLE or ALTER DATABASE where they set it)";
    for (setting, column, remedy) in
        [("fsync", 2, in_file), ("full_page_writes", 3, in_file), ("synchronous_commit", 4, for_role)]
    {
        let value = row.text(column)?;
        // With `local` nobody waits for the standbys that are named.
        if value == "off" || (value == "local" && !row.text(8)?.is_empty()) {
            return Err(Trouble::Refused(ConnectError::Unsafe { setting, value, remedy }));
        }
    }
    // A role that may not see it sees no states.
    let standbys = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'async' AND state = 'streaming'";
    let asynchronous = sqlx::query(standbys).fetch_one(conn).await?.int(0)?;
    if asynchronous > 0 && row.text(8)?.is_empty() {
        tracing::warn!(
            standbys = asynchronous,
            "PostgreSQL replicates asynchronously: a fail-over to such a standby loses the last commits, and with them \
             held events; name the standbys in synchronous_standby_names"
        );
    }
    Ok(())
}
