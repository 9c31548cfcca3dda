//! A copy of the SQLite file as it is at one moment, while others write it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Database, FILE_NAME};

/// How long a locked file is waited for.
const BUSY: Duration = Duration::from_secs(30);

/// Why there is no backup. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing to copy.
    #[error("there is no database in {}: name the server's data folder", .0.display())]
    Missing(PathBuf),
    /// Something is there.
    #[error("{} exists: a backup overwrites nothing; name another file", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The database cannot be read, or its copy cannot be written.
    #[error("the database cannot be copied: {0}")]
    Copy(#[from] rusqlite::Error),
    /// The copy is not sound.
    #[error("the copy is damaged ({0}), and so may the database be: keep older backups")]
    Damaged(String),
}

impl Database {
    /// Copies the database of a data folder into a file of its own, which this user alone may read; returns the bytes of
    /// it. The folder may be served meanwhile: the copy is what was committed when it began. It is on the disk, whole and
    /// checked, before it has its name. Blocks, as long as the file is large.
    ///
    /// # Errors
    /// See [`BackupError`]; then nothing is left of it.
    pub fn back_up(dir: &Path, to: &Path) -> Result<u64, BackupError> {
        let database = dir.join(FILE_NAME);
        if !database.exists() {
            return Err(BackupError::Missing(dir.to_owned()));
        }
        let failed = |cause| BackupError::File { path: to.to_owned(), cause };
        if to.try_exists().map_err(failed)? {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".{}.draft", uuid::Uuid::new_v4()));
        let draft = PathBuf::from(name);
        // SQLite writes into an empty file; so it has these rights from the beginning.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        let copied = copy(&database, &draft).and_then(|bytes| {
            std::fs::hard_link(&draft, to).map_err(failed)?;
            Ok(bytes)
        });
        let removed = std::fs::remove_file(&draft).map_err(failed);
        let bytes = copied?;
        removed?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        Ok(bytes)
    }
}

fn copy(database: &Path, draft: &Path) -> Result<u64, BackupError> {
    let failed = |cause| BackupError::File { path: draft.to_owned(), cause };
    // Not read-only: the first to open a log that a crash left brings it in order.
    let conn =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY)?;
    let name =
        draft.to_str().ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8")))?;
    // One transaction that reads, beside which others write.
    conn.execute("VACUUM INTO ?1", [name])?;
    drop(conn);
    let copied =
        Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let said: String = copied.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(BackupError::Damaged(said));
    }
    drop(copied);
    let file = File::open(draft).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}
