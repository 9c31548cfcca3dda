//! The embedded mode: one process, one file, no service to install.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `queue`, `subscription` | the queue: publishing, and consuming a partition in order |
//! | `queue_rows` | its rows |
//! | `fresh` | its newest messages, in memory, so that they are not read back |
//! | `leases` | who holds which partition: memory, since there is one process |
//! | `lock` | the sequence lock over it, and the marks |
//! | `admission` | repeats: what is pending in memory, what is durable beside the queue |
//! | `lookups` | what admission asks of the file |
//! | `announcements` | news of the registry, also of changes that other processes made |

mod admission;
mod announcements;
mod fresh;
mod leases;
mod lock;
mod lookups;
mod queue;
pub(crate) mod queue_rows;
mod subscription;

use std::sync::Arc;

use spectrum_webhook_core::ports::PortError;

pub use admission::EmbeddedAdmission;
pub use announcements::EmbeddedAnnouncements;
pub use lock::EmbeddedLock;
pub use queue::EmbeddedQueue;

use crate::database::{Database, FILE_NAME, Options};
use crate::error::{Fault, OpenError};
use crate::folder_lock::FolderLock;
use crate::secrets::Keyring;
use crate::store::SqlStore;

/// All backends of the embedded mode, over one data folder that no other process serves meanwhile.
pub struct Embedded {
    /// The file.
    pub database: Database,
    /// The store and the directory.
    pub store: Arc<SqlStore>,
    /// The queue.
    pub queue: Arc<EmbeddedQueue>,
    /// The sequence lock; it holds the folder's lock.
    pub lock: Arc<EmbeddedLock>,
    /// Admission.
    pub admission: Arc<EmbeddedAdmission>,
    /// Announcements.
    pub announcements: Arc<EmbeddedAnnouncements>,
}

impl Embedded {
    /// Takes the folder's lock and opens its database.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: Options, keys: impl Into<Keyring>) -> Result<Self, OpenError> {
        let folder = FolderLock::acquire(&options.dir)?;
        let path = options.dir.join(FILE_NAME);
        let database = Database::open(options, keys).await?;
        match Self::start(database.clone(), folder).await {
            Ok(embedded) => Ok(embedded),
            Err(fault) => {
                database.abandon().await;
                Err(fault.opening(path))
            }
        }
    }

    async fn start(database: Database, folder: FolderLock) -> Result<Self, Fault> {
        let queue = Arc::new(EmbeddedQueue::new(database.clone()).await?);
        let lock = Arc::new(EmbeddedLock::new(database.clone(), folder));
        let announcements = Arc::new(EmbeddedAnnouncements::new(database.clone(), lock.leases()).await?);
        let admission = Arc::new(EmbeddedAdmission::new(database.clone()));
        let store = Arc::new(SqlStore::new(database.clone()));
        Ok(Self { database, store, queue, lock, admission, announcements })
    }

    /// Finishes what was begun, closes the file and gives the folder back.
    ///
    /// # Errors
    /// When the log could not be moved into the file: nothing is lost, the next opening does it.
    pub async fn close(&self) -> Result<(), PortError> {
        let closed = self.database.close().await;
        self.lock.release_folder();
        closed
    }

    /// Ends as a crash would: what waits is not written. Returns when the file and the folder are let go, so that
    /// they can be opened again.
    pub async fn abandon(&self) {
        self.database.abandon().await;
        self.lock.release_folder();
    }
}
