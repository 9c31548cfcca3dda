//! The master keys of a process: those of its settings, or of the key file in the data folder.

use parking_lot::Mutex;
use spectrum_webhook_sql::{KeyFile, Keyring, MasterKey};
use zeroize::Zeroizing;

use crate::config::Settings;

/// What the keys of sessions are derived for.
const SESSIONS: &str = "spectrum-webhook dashboard sessions 1";

/// The further keys of the settings.
///
/// # Errors
/// When one is none: the settings were read without a look at it.
pub(super) fn others(settings: &Settings) -> anyhow::Result<Vec<MasterKey>> {
    Ok(settings.master_key_others.iter().map(|key| key.expose().parse()).collect::<Result<_, _>>()?)
}

/// The keys, and where they come from.
pub(crate) struct MasterKeys {
    ring: Keyring,
    /// Of the settings; they come after those of the file.
    others: Vec<MasterKey>,
    /// Where the keys are in a file.
    file: Option<KeyFile>,
    /// What was wrong with the file when it was read last.
    wrong: Mutex<Option<String>>,
}

impl MasterKeys {
    /// Those of the settings; without a master key in them, those of the key file, which is made where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no key.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        let others = others(settings)?;
        let (ring, file) = match &settings.master_key {
            Some(key) => (Keyring::new(key.expose().parse()?, others.clone()), None),
            None => {
                let file = KeyFile::of(&settings.data_dir);
                let (master, before) = file.load_or_create()?;
                (Keyring::new(master, [before, others.clone()].concat()), Some(file))
            }
        };
        Ok(Self { ring, others, file, wrong: Mutex::default() })
    }

    /// What encrypts and decrypts.
    pub(crate) fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// What cookies are sealed with, and what opens others: keys of their own, from the master keys.
    pub(crate) fn sessions(&self) -> (Zeroizing<[u8; 32]>, Vec<Zeroizing<[u8; 32]>>) {
        let (master, others) = self.ring.each(|key| key.derive(SESSIONS));
        (master, others)
    }

    /// Reads the key file again: a command that runs beside this process may have exchanged a key. What cannot be read
    /// leaves the keys as they are.
    pub(crate) fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let wrong = match file.load() {
            Ok((master, before)) => {
                self.ring.replace(master, [before, self.others.clone()].concat());
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let mut known = self.wrong.lock();
        if let Some(why) = wrong.as_ref().filter(|_| wrong != *known) {
            tracing::warn!(why, "the key file cannot be read any more: this process goes on, and would not start");
        }
        *known = wrong;
    }
}
