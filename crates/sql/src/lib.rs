//! The SQL backends: the store and the directory, and, for the embedded mode, the queue, the sequence lock, admission
//! and announcements in one SQLite file.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`Database`] (`database`) | the file: opening, the grouped writer, the readers; or PostgreSQL: connecting, the pool; migrations; a backup of the file |
//! | [`Keyring`] (`secrets`) | the master keys, and the cipher that signing secrets rest under |
//! | `rotation` | what rests under another key is encrypted anew |
//! | [`FolderLock`] (`folder_lock`) | one process for each data folder |
//! | [`SqlStore`] (`store`, `directory`, `dead_letters`, `steerings`, `replays`, `notices`, `insight`, `survey`, `fleet`) | the ports of the same names |
//! | [`Move`] (`moving`) | a deployment's rows, carried into the database of another |
//! | [`Embedded`] (`embedded`) | the other ports, over memory and the same file |
//! | `sql`, `error` | statements and their values; what a failure means |
//!
//! The SQL of `store`, `directory`, `insight` and `survey` is what SQLite and PostgreSQL have in common. Only `embedded` and
//! `database::sqlite` may use what SQLite alone has, and only `database::postgres` and `database::keys` what PostgreSQL has.

mod database;
mod dead_letters;
mod directory;
mod embedded;
mod error;
mod fleet;
mod folder_lock;
mod insight;
mod moving;
mod notices;
mod replays;
mod rotation;
mod secrets;
mod sql;
mod steerings;
mod store;
mod survey;

pub use database::{BackupError, ConnectError, Database, FILE_NAME, Options, PostgresOptions};
pub use embedded::{Embedded, EmbeddedAdmission, EmbeddedAnnouncements, EmbeddedLock, EmbeddedQueue};
pub use error::OpenError;
pub use folder_lock::FolderLock;
pub use moving::{Carried, Move, MoveError, Queued, Record, Standing};
pub use rotation::{Resealed, Unreadable};
pub use secrets::{Fingerprint, KeyExchange, KeyFile, Keyring, MasterKey};
pub use store::SqlStore;
