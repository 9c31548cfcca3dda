//! The real backends, opened, failing and abandoned.

use std::sync::Arc;

use spectrum_webhook_core::ports::PortError;
use spectrum_webhook_sql::{
    Database, Embedded, EmbeddedAdmission, EmbeddedAnnouncements, EmbeddedLock, EmbeddedQueue, MasterKey, Options,
    SqlStore,
};

use super::World;

/// Handles of one opening.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) store: Arc<SqlStore>,
    pub(super) queue: Arc<EmbeddedQueue>,
    pub(super) lock: Arc<EmbeddedLock>,
    pub(super) admission: Arc<EmbeddedAdmission>,
    pub(super) announcements: Arc<EmbeddedAnnouncements>,
}

impl Ports {
    pub(super) fn of(embedded: &Embedded) -> Self {
        Self {
            store: Arc::clone(&embedded.store),
            queue: Arc::clone(&embedded.queue),
            lock: Arc::clone(&embedded.lock),
            admission: Arc::clone(&embedded.admission),
            announcements: Arc::clone(&embedded.announcements),
        }
    }
}

/// What is done to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Before,
    After,
}

/// The same key for every run.
const KEY: [u8; 32] = [7; 32];

impl World {
    pub(super) fn open(&self) -> anyhow::Result<Embedded> {
        let options = Options { synchronous_off: true, readers: 1, ..Options::new(self.folder.path()) };
        Ok(self.runtime.block_on(Embedded::open(options, MasterKey::from_bytes(KEY)))?)
    }

    /// Makes the file once, so that its schema need not be made while the clock runs.
    pub(super) fn prepare_file(&self) -> anyhow::Result<()> {
        let options = Options { synchronous_off: true, readers: 1, ..Options::new(self.folder.path()) };
        self.runtime.block_on(async {
            let database = Database::open(options, MasterKey::from_bytes(KEY)).await?;
            Ok(database.close().await?)
        })
    }

    fn fault(&mut self) -> Fault {
        if self.calm {
            return Fault::None;
        }
        let faults = &self.plan.faults;
        if faults.down.iter().any(|(from, until)| (*from..*until).contains(&self.now)) {
            return Fault::Before;
        }
        let (before, after) = (faults.before, faults.after);
        if before + after == 0 {
            return Fault::None;
        }
        let drawn = self.dice.range(0, 999);
        if drawn < before {
            Fault::Before
        } else if drawn < before + after {
            Fault::After
        } else {
            Fault::None
        }
    }

    /// A call that may fail without effect, or fail though it took effect.
    pub(super) fn call<T>(&mut self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(injected("before"));
        }
        let result = self.runtime.block_on(call);
        if fault == Fault::After { result.and(Err(injected("after"))) } else { result }
    }

    /// The same for a call that has an error type of its own.
    pub(super) fn call_directory<T>(
        &mut self,
        call: impl Future<Output = Result<T, spectrum_webhook_core::ports::DirectoryError>>,
    ) -> Result<T, spectrum_webhook_core::ports::DirectoryError> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(injected("before").into());
        }
        let result = self.runtime.block_on(call);
        if fault == Fault::After { result.and(Err(injected("after").into())) } else { result }
    }
}

fn injected(detail: &str) -> PortError {
    PortError::Unavailable { port: "simulation", operation: "injected", detail: detail.to_owned() }
}

/// Whether the call took effect, when only chance made it fail.
pub(super) fn took_effect<T>(result: &Result<T, PortError>) -> bool {
    match result {
        Ok(_) => true,
        Err(PortError::Unavailable { operation, detail, .. }) => *operation == "injected" && detail == "after",
        Err(_) => false,
    }
}
