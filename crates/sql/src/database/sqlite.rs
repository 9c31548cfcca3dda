//! What only SQLite needs: where the file is, and how a connection is set up.

use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::{Fault, OpenError};
use crate::sql::Conn;

/// The write-ahead log is moved into the file by [`checkpoints`](super::checkpoints); at 64 MiB (16,000 pages) by whoever
/// commits. Foreign keys are on and a locked file is waited for for 5 s by default.
const WRITER: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA busy_timeout = 5000;
    PRAGMA wal_autocheckpoint = 16000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -16000;
    PRAGMA temp_store = MEMORY;
";
const READER: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA query_only = ON;
";

/// A database file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    options: AnyConnectOptions,
    synchronous_off: bool,
}

impl Place {
    pub(super) fn new(path: &Path, synchronous_off: bool) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let unusable = || OpenError::Folder {
            dir: path.to_owned(),
            cause: std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"),
        };
        path.to_str().ok_or_else(unusable)?;
        make_private(path).map_err(|error| OpenError::folder(path.parent().unwrap_or(path), error))?;
        // Whatever a path may hold that means something in a URL is escaped.
        let file = url::Url::from_file_path(path).map_err(|()| unusable())?;
        let options: AnyConnectOptions =
            format!("sqlite://{}?mode=rwc", file.path()).parse().map_err(|_| unusable())?;
        Ok(Self { path: path.to_owned(), options: options.disable_statement_logging(), synchronous_off })
    }

    /// The connection that writes what PostgreSQL writes too.
    pub(super) async fn connect_writer(&self) -> Result<Conn, Fault> {
        let mut conn = self.connect(WRITER).await?;
        if self.synchronous_off {
            sqlx::raw_sql("PRAGMA synchronous = OFF").execute(&mut conn).await?;
        }
        Ok(conn)
    }

    /// Another connection that writes; the file is there.
    pub(super) fn connect_directly(&self) -> Result<rusqlite::Connection, Fault> {
        let conn = rusqlite::Connection::open(&self.path)?;
        conn.execute_batch(WRITER)?;
        if self.synchronous_off {
            conn.execute_batch("PRAGMA synchronous = OFF")?;
        }
        Ok(conn)
    }

    /// A connection that reads.
    pub(super) async fn connect_reader(&self) -> Result<Conn, Fault> {
        self.connect(READER).await
    }

    async fn connect(&self, pragmas: &'static str) -> Result<Conn, Fault> {
        let mut conn = self.options.connect().await?;
        if let Err(error) = sqlx::raw_sql(pragmas).execute(&mut conn).await {
            let _ = conn.close().await;
            return Err(error.into());
        }
        Ok(conn)
    }
}

/// Makes the file readable by its owner alone; SQLite gives the files beside it the same rights. One that exists is
/// left as it is: closing a descriptor of it would drop the locks that this process has on it.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Moves the write-ahead log into the file and empties it, if no reader is in the way.
pub(super) async fn checkpoint(conn: &mut Conn) -> Result<(), Fault> {
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(conn).await?;
    Ok(())
}
