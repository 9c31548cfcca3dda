//! The database: the SQLite file, with one writer that groups what is written and a few readers; or PostgreSQL, with a
//! pool of connections.

mod backup;
mod checkpoints;
mod group;
pub(crate) mod keys;
mod migrate;
mod postgres;
mod readers;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use spectrum_webhook_core::ports::{PortError, Reach};

use crate::error::{Fault, OpenError};
use crate::folder_lock::create_folder;
use crate::secrets::Keyring;
use crate::sql::Conn;
use migrate::Dialect;
use postgres::Pool;
use readers::Readers;
use writer::Writer;

pub use backup::BackupError;
pub use postgres::{ConnectError, PostgresOptions};
pub(crate) use writer::{Delete, Insert};

/// The name of the database file in the data folder.
pub const FILE_NAME: &str = "spectrum-webhook.db";

/// How a database is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The data folder; it is made where there is none.
    pub dir: PathBuf,
    /// Leaves it to the system when writes reach the disk: a power cut can then lose what was confirmed. For
    /// simulations only.
    pub synchronous_off: bool,
    /// Connections that read, at least 1; each is opened when it is first needed.
    pub readers: u32,
}

impl Options {
    /// The defaults: durable, and 4 readers.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), synchronous_off: false, readers: 4 }
    }
}

/// An open database. Clones share it. [`Database::close`] ends it in order; when the last clone is dropped instead,
/// what has not been answered may be lost.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    keys: Keyring,
}

enum Engine {
    Sqlite { writer: Writer, readers: Box<Readers> },
    Postgres(Pool),
}

/// Why a database that was reached cannot be used.
enum Unready {
    Fault(Fault),
    /// A newer release migrated it.
    Newer {
        found: i64,
        known: i64,
    },
    /// Something rests under keys that are not known here; both by fingerprint.
    WrongKey {
        missing: String,
        known: String,
    },
}

impl From<Fault> for Unready {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Unready {
    fn opening(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Fault(fault) => fault.opening(path),
            Self::Newer { found, known } => OpenError::Newer { path, found, known },
            Self::WrongKey { missing, known } => OpenError::WrongKey { path, missing, known },
        }
    }
}

impl Database {
    /// Opens the database of a data folder, makes it where there is none, and applies what migrations it misses.
    /// Other processes may have it open too.
    ///
    /// # Errors
    /// See [`OpenError`]: each says what to do.
    pub async fn open(options: Options, keys: impl Into<Keyring>) -> Result<Self, OpenError> {
        create_folder(&options.dir)?;
        let failed = |source| OpenError::folder(&options.dir, source);
        let dir = std::path::absolute(&options.dir).map_err(failed)?;
        let path = dir.join(FILE_NAME);
        let place = sqlite::Place::new(&path, options.synchronous_off)?;
        let keys = keys.into();
        let opening = |fault: Fault| fault.opening(path.clone());

        let mut conn = place.connect_writer().await.map_err(opening)?;
        if let Err(unready) = prepare(&mut conn, &keys, Dialect::Sqlite).await {
            // Nothing is held open behind an error.
            let _ = sqlx::Connection::close(conn).await;
            return Err(unready.opening(&path));
        }
        let writer =
            (|| Writer::start(place.connect_directly()?, conn, place.connect_directly()?))().map_err(opening)?;
        let readers = Box::new(Readers::new(place, options.readers));
        let engine = Engine::Sqlite { writer, readers };
        Ok(Self { shared: Arc::new(Shared { engine, keys }) })
    }

    /// Connects to PostgreSQL, however long it takes until it can be reached, and applies what migrations it misses;
    /// the connections then heal by themselves for ever.
    ///
    /// # Errors
    /// What a person has to change.
    pub async fn connect(options: PostgresOptions, keys: impl Into<Keyring>) -> Result<Self, ConnectError> {
        let keys = keys.into();
        let pool = Pool::connect(options, &keys).await?;
        Ok(Self { shared: Arc::new(Shared { engine: Engine::Postgres(pool), keys }) })
    }

    /// Whether PostgreSQL can be reached; a file always can.
    pub fn reach(&self) -> Option<Arc<Reach>> {
        match &self.shared.engine {
            Engine::Sqlite { .. } => None,
            Engine::Postgres(pool) => Some(pool.reach()),
        }
    }

    /// The newest migration in it, when a newer release made it: this one works beside that, and knows nothing of what
    /// it added.
    ///
    /// # Errors
    /// When the database cannot say.
    pub async fn newer_migration(&self) -> Result<Option<i64>, PortError> {
        let read = self.read(|conn| Box::pin(migrate::newer(conn))).await;
        read.map_err(|fault| fault.at("database", "read its migrations"))
    }

    /// Whether it is the file of the embedded mode.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.shared.engine, Engine::Sqlite { .. })
    }

    fn writer(&self) -> Result<&Writer, Fault> {
        match &self.shared.engine {
            Engine::Sqlite { writer, .. } => Ok(writer),
            Engine::Postgres(_) => Err(Fault::unavailable("PostgreSQL holds no queue")),
        }
    }

    /// Finishes what was begun, moves the log into the file, and closes it. Everything fails as unavailable from
    /// then on.
    ///
    /// # Errors
    /// When the log could not be moved: nothing is lost, the next opening does it.
    pub async fn close(&self) -> Result<(), PortError> {
        match &self.shared.engine {
            Engine::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await.map_err(|fault| fault.at("database", "close"))
            }
            Engine::Postgres(pool) => {
                pool.close().await;
                Ok(())
            }
        }
    }

    /// Ends as a crash would: what waits is not written, and nothing is tidied. Returns when the file is let go.
    pub async fn abandon(&self) {
        match &self.shared.engine {
            Engine::Sqlite { writer, readers } => {
                readers.close().await;
                writer.abandon().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }

    /// Runs `work` in a transaction, perhaps together with other writes, and answers after the commit. When it fails,
    /// nothing of it is written and the others go on.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        match &self.shared.engine {
            Engine::Sqlite { writer, .. } => writer.write(work, true).await,
            Engine::Postgres(pool) => pool.write(work).await,
        }
    }

    /// The same for work that fails only when the database does, so that it needs no fence of its own.
    pub(crate) async fn write_plainly<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        match &self.shared.engine {
            Engine::Sqlite { writer, .. } => writer.write(work, false).await,
            Engine::Postgres(pool) => pool.write(work).await,
        }
    }

    /// The same in SQLite alone, where each row costs less; PostgreSQL has none of it.
    pub(crate) async fn write_directly(
        &self,
        work: impl FnMut(&rusqlite::Connection) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        self.writer()?.write_directly(work).await
    }

    /// Puts a message into the embedded queue. The answer comes through it, after the commit.
    pub(crate) async fn insert(&self, insert: Insert) -> Result<(), Fault> {
        self.writer()?.submit(writer::Request::Insert(Box::new(insert))).await
    }

    /// Takes messages off the embedded queue. The answer comes through it, after the commit.
    pub(crate) async fn delete(&self, delete: Delete) -> Result<(), Fault> {
        self.writer()?.submit(writer::Request::Delete(delete)).await
    }

    /// Whether writes work now.
    pub(crate) async fn check(&self) -> Result<(), Fault> {
        self.writer()?.check().await
    }

    /// Runs `work` on a connection that only reads; it sees all that was answered before.
    pub(crate) async fn read<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        match &self.shared.engine {
            Engine::Sqlite { readers, .. } => readers.read(work).await,
            Engine::Postgres(pool) => pool.read(work).await,
        }
    }

    pub(crate) fn keys(&self) -> &Keyring {
        &self.shared.keys
    }
}

/// What every database needs before it is used.
async fn prepare(conn: &mut Conn, known: &Keyring, dialect: Dialect) -> Result<(), Unready> {
    migrate::migrate(conn, dialect).await?;
    let missing = keys::missing(conn, known).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = known.fingerprints().iter().map(ToString::to_string).collect();
    Err(Unready::WrongKey { missing: missing.join(" and "), known: known.join(" and ") })
}
