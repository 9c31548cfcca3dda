//! The key file of a data folder: the first line is the key that encrypts; while keys are exchanged, the ones before it
//! follow. It is only ever replaced as a whole: whoever reads it finds all keys of one moment, whatever crashes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::key::MasterKey;
use crate::error::OpenError;
use crate::folder_lock::{FolderLock, create_folder};

/// The file that holds the keys of a data folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFile {
    dir: PathBuf,
}

impl KeyFile {
    /// The name of the file in the data folder.
    pub const NAME: &str = "master.key";
    /// The file that whoever exchanges keys holds a lock on.
    const LOCK: &str = "master.key.lock";

    /// The key file of a data folder.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Reads the key that encrypts, and those before it; at the first start it makes the folder, and a key from the
    /// system's secure randomness in a file that this user alone may read.
    ///
    /// # Errors
    /// [`OpenError::Key`] when the file cannot be read or made, or holds no key.
    pub fn load_or_create(&self) -> Result<(MasterKey, Vec<MasterKey>), OpenError> {
        create_folder(&self.dir)?;
        if !self.path().try_exists().map_err(|error| self.failed("read", &error))? {
            match self.create() {
                Ok(()) => {}
                // Another process was faster: its key is the one.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.failed("made", &error)),
            }
        }
        let mode = self.path().metadata().map_err(|error| self.failed("read", &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(file = %self.path().display(), "the master key can be read by other users: chmod 600 it");
        }
        self.load()
    }

    /// Reads the key that encrypts, and those before it.
    ///
    /// # Errors
    /// [`OpenError::Key`] when the file cannot be read, or holds no key.
    pub fn load(&self) -> Result<(MasterKey, Vec<MasterKey>), OpenError> {
        let text = std::fs::read_to_string(self.path()).map_err(|error| self.failed("read", &error))?;
        let text = Zeroizing::new(text);
        let mut keys = text.trim().lines().map(|line| line.trim().parse().map_err(|error| self.failed("used", &error)));
        let master = keys.next().unwrap_or_else(|| Err(self.failed("used", &"it is empty")))?;
        Ok((master, keys.collect::<Result<_, _>>()?))
    }

    /// Begins an exchange, or goes on with one that was interrupted: puts a new key before the one that is there. No
    /// other exchange begins until this one is dropped.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another one runs; [`OpenError::Key`] when the file cannot be read or replaced.
    pub fn exchange(&self) -> Result<KeyExchange, OpenError> {
        let lock = FolderLock::acquire_file(&self.dir, Self::LOCK)?;
        let (mut newest, before) = self.load()?;
        if before.is_empty() {
            let failed = |error| self.failed("replaced", &error);
            let keys = [MasterKey::new().map_err(failed)?, newest];
            self.replace(&keys).map_err(failed)?;
            [newest, _] = keys;
        }
        Ok(KeyExchange { file: self.clone(), newest, _lock: lock })
    }

    fn path(&self) -> PathBuf {
        self.dir.join(Self::NAME)
    }

    fn failed(&self, doing: &str, error: &dyn fmt::Display) -> OpenError {
        OpenError::Key { detail: format!("{} cannot be {doing}: {error}", self.path().display()) }
    }

    /// Links a new key to its place: either nobody sees it, or it is whole; and none that is there is lost.
    fn create(&self) -> io::Result<()> {
        let draft = self.draft(&[MasterKey::new()?])?;
        let linked = std::fs::hard_link(&draft, self.path());
        std::fs::remove_file(&draft)?;
        linked?;
        File::open(&self.dir)?.sync_all()
    }

    fn replace(&self, keys: &[MasterKey]) -> io::Result<()> {
        let draft = self.draft(keys)?;
        std::fs::rename(&draft, self.path()).inspect_err(|_| drop(std::fs::remove_file(&draft)))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Writes keys beside their place, for this user alone.
    fn draft(&self, keys: &[MasterKey]) -> io::Result<PathBuf> {
        let draft = self.dir.join(format!("{}.{}.draft", Self::NAME, uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let written =
            keys.iter().try_for_each(|key| writeln!(file, "{}", key.expose().as_str())).and_then(|()| file.sync_all());
        written.inspect_err(|_| drop(std::fs::remove_file(&draft)))?;
        Ok(draft)
    }
}

/// An exchange of the keys of a file, which holds the new one and those before it until [`KeyExchange::finish`].
#[derive(Debug)]
pub struct KeyExchange {
    file: KeyFile,
    newest: MasterKey,
    _lock: FolderLock,
}

impl KeyExchange {
    /// Takes all keys but the newest out of the file: call it when nothing rests under them any more.
    ///
    /// # Errors
    /// [`OpenError::Key`] when the file cannot be replaced: it is as it was.
    pub fn finish(self) -> Result<(), OpenError> {
        let Self { file, newest, _lock } = self;
        file.replace(&[newest]).map_err(|error| file.failed("replaced", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprints((master, before): (MasterKey, Vec<MasterKey>)) -> Vec<String> {
        std::iter::once(&master).chain(&before).map(|key| key.fingerprint().to_string()).collect()
    }

    #[test]
    fn a_folders_key_is_made_once_for_this_user_alone() {
        let dir = tempfile::tempdir().expect("folder");
        let file = KeyFile::of(dir.path());
        let first = file.load_or_create().expect("made");
        assert_eq!(fingerprints(first), fingerprints(file.load_or_create().expect("read")));
        assert_eq!(file.path().metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        for wrong in ["short", "", "\n"] {
            std::fs::write(file.path(), wrong).expect("write");
            let error = file.load_or_create().expect_err("no key");
            assert!(!error.to_string().contains("short"), "{error}");
        }
    }

    #[test]
    fn an_exchange_keeps_the_old_key_until_it_is_finished_and_goes_on_after_a_crash() {
        let dir = tempfile::tempdir().expect("folder");
        let file = KeyFile::of(dir.path());
        let old = fingerprints(file.load_or_create().expect("made")).remove(0);
        let exchange = file.exchange().expect("begun");
        assert!(matches!(file.exchange(), Err(OpenError::InUse { .. })), "one at a time");
        let both = fingerprints(file.load().expect("two keys"));
        assert!(both.len() == 2 && both[0] != old && both[1] == old, "{both:?}");
        assert_eq!(file.path().metadata().expect("metadata").permissions().mode() & 0o777, 0o600);

        // Killed, and begun again: the new key is the same.
        drop(exchange);
        let exchange = file.exchange().expect("goes on");
        assert_eq!(fingerprints(file.load().expect("two keys")), both);
        exchange.finish().expect("finished");
        assert_eq!(fingerprints(file.load().expect("one key")), both[..1]);
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).expect("folder").flatten().map(|file| file.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".draft")), "{left:?}");
    }
}
