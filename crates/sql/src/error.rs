//! What a failure of the database means.

use std::io;
use std::path::{Path, PathBuf};

use spectrum_webhook_core::ports::PortError;

/// What to do when a master key is missing.
pub(crate) const GIVE_THE_KEY: &str = "give the key that was used before as SPECTRUM_MASTER_KEY, or beside a new one in \
                                       SPECTRUM_MASTER_KEY_OTHERS (embedded, each is a line of master.key, the new one first)";

/// Why a database could not be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be made or used.
    #[error("the data folder {} cannot be used: {cause}; give this user the right to write there, or name another folder", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process holds the folder.
    #[error("the data folder {} is in use by another process (pid {pid}); stop it, or name another folder", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The other process, as it wrote itself down.
        pid: String,
    },
    /// There is no room.
    #[error("the disk of {} is full; free some space and start again", path.display())]
    DiskFull {
        /// The database file, or its folder.
        path: PathBuf,
    },
    /// The file may not be written.
    #[error("{} cannot be written ({detail}); give this user the right to write the file and its folder", path.display())]
    ReadOnly {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// The file is something else, or damaged.
    #[error("{} is damaged or not a database ({detail}); restore it from a backup, or move it away to start empty", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// A newer release wrote the file.
    #[error("{} was written by a newer release (migration {found}; this one knows {known}); start that release or a later one", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The newest migration in it.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// Something in the file rests under keys that are not known here.
    #[error("what {} holds is encrypted under master key {missing}, and known here is {known}; {GIVE_THE_KEY}", path.display())]
    WrongKey {
        /// The database file.
        path: PathBuf,
        /// The fingerprints of the keys that are missing.
        missing: String,
        /// The fingerprints of those that are known.
        known: String,
    },
    /// The master key cannot be had.
    #[error("the master key: {detail}")]
    Key {
        /// What is wrong, and what to do.
        detail: String,
    },
    /// Anything else that may go away.
    #[error("{} cannot be opened: {detail}; try again", path.display())]
    Unavailable {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
}

impl OpenError {
    /// The folder cannot be used; why, the system says.
    pub(crate) fn folder(dir: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull { path: dir.to_owned() },
            _ => Self::Folder { dir: dir.to_owned(), cause },
        }
    }
}

/// What went wrong inside, before it is known for whom.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It may work later.
    Unavailable { kind: Kind, detail: String },
    /// The epoch does not stand.
    Fenced,
    /// What is stored cannot be read.
    Corrupt(String),
}

/// What made the database unavailable, as far as opening it makes a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    DiskFull,
    ReadOnly,
    /// PostgreSQL's code for it.
    Code([u8; 5]),
    Other,
}

impl Fault {
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { kind: Kind::Other, detail: detail.into() }
    }

    /// The database was closed, or its writer has ended.
    pub(crate) fn closed() -> Self {
        Self::unavailable("the database is closed")
    }

    /// The same, for a port.
    pub(crate) fn at(self, port: &'static str, operation: &'static str) -> PortError {
        match self {
            Self::Unavailable { detail, .. } => PortError::Unavailable { port, operation, detail },
            Self::Fenced => PortError::Fenced { port, operation },
            Self::Corrupt(detail) => PortError::Corrupt { port, operation, detail },
        }
    }

    /// The same, for whoever opens the file.
    pub(crate) fn opening(self, path: PathBuf) -> OpenError {
        match self {
            Self::Unavailable { kind: Kind::DiskFull, .. } => OpenError::DiskFull { path },
            Self::Unavailable { kind: Kind::ReadOnly, detail } => OpenError::ReadOnly { path, detail },
            Self::Unavailable { detail, .. } => OpenError::Unavailable { path, detail },
            Self::Fenced => OpenError::Unavailable { path, detail: "fenced".to_owned() },
            Self::Corrupt(detail) => OpenError::Corrupt { path, detail },
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code() {
                // SQLite's codes are numbers whose last byte is the primary code; PostgreSQL's have five characters.
                Some(code) if code.len() < 5 => {
                    code.parse().map_or_else(|_| plain(&error), |code| sqlite(code, &error))
                }
                Some(code) => match code.as_bytes().try_into() {
                    Ok(bytes) => Self::Unavailable { kind: Kind::Code(bytes), detail: error.to_string() },
                    Err(_) => plain(&error),
                },
                None => plain(&error),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
                Self::Corrupt(error.to_string())
            }
            _ => plain(&error),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(failure) => sqlite(failure.extended_code, &error),
            None => plain(&error),
        }
    }
}

/// PostgreSQL's code of a failure, and what it said.
pub(crate) fn refusal_code(fault: &Fault) -> Option<(&str, &str)> {
    match fault {
        Fault::Unavailable { kind: Kind::Code(code), detail } => Some((std::str::from_utf8(code).ok()?, detail)),
        _ => None,
    }
}

fn plain(error: &dyn std::error::Error) -> Fault {
    Fault::unavailable(error.to_string())
}

fn sqlite(code: i32, error: &dyn std::error::Error) -> Fault {
    let (kind, what) = match code & 0xff {
        5 | 6 => (Kind::Other, "the database is locked by another process"),
        8 => (Kind::ReadOnly, "the database is read-only"),
        10 => (Kind::Other, "the disk failed"),
        13 => (Kind::DiskFull, "the disk is full"),
        14 => (Kind::ReadOnly, "the database file cannot be opened"),
        11 | 26 => return Fault::Corrupt(error.to_string()),
        _ => return plain(error),
    };
    Fault::Unavailable { kind, detail: format!("{what}: {error}") }
}
