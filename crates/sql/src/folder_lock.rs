//! One process for each data folder: an exclusive lock on a file of its own. Never on the database file: closing
//! another descriptor of that one would drop SQLite's own locks.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::OpenError;

/// The lock on a data folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// The name of the file beside the database.
    pub const FILE_NAME: &str = "spectrum-webhook.lock";

    /// Takes the lock, and makes the folder first where there is none.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when someone holds it, [`OpenError::Folder`] when the folder cannot be used.
    pub fn acquire(dir: &Path) -> Result<Self, OpenError> {
        Self::acquire_file(dir, Self::FILE_NAME)
    }

    /// The same for something else in the folder, which has a file of its own to lock.
    pub(crate) fn acquire_file(dir: &Path, name: &str) -> Result<Self, OpenError> {
        create_folder(dir)?;
        let failed = |source| OpenError::folder(dir, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(name))
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // A holder that has not written itself down yet is unknown, no more.
                let read = file.take(32).read_to_string(&mut pid);
                let known = read.is_ok() && !pid.trim().is_empty();
                let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
                return Err(OpenError::InUse { dir: dir.to_owned(), pid });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Makes the data folder, for this user alone, where there is none.
pub(crate) fn create_folder(dir: &Path) -> Result<(), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| OpenError::folder(dir, source))
}
