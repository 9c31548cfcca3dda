//! What runs here, whether it is ready, and the disk under its data folder.

use std::path::{Path, PathBuf};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use spectrum_webhook_sql::FILE_NAME;

use super::{gauge, number, registered};

/// A gauge that is always 1, with labels that say what runs.
///
/// # Errors
/// When its name is registered already.
pub(crate) fn say_what_runs(registry: &Registry, role: &str) -> prometheus::Result<()> {
    let help = "Always 1: the version of this process, and what it does.";
    let info = IntGaugeVec::new(Opts::new("spectrum_webhook_build_info", help), &["version", "role"])?;
    registered(registry, info)?.with_label_values(&[env!("CARGO_PKG_VERSION"), role]).set(1);
    Ok(())
}

/// The gauge of readiness, which is set whenever metrics are asked for.
///
/// # Errors
/// When its name is registered already.
pub(crate) fn ready_gauge(registry: &Registry) -> prometheus::Result<IntGauge> {
    gauge(registry, "ready", "Whether the process is ready, as /readyz says: 1 or 0.")
}

/// The data folder of the embedded backends, looked at when it is asked for.
pub(crate) struct FolderGauges {
    folder: PathBuf,
    free: IntGauge,
    size: IntGauge,
    database: IntGauge,
}

impl FolderGauges {
    /// Gauges of this folder.
    ///
    /// # Errors
    /// Never: the names are sound.
    pub(crate) fn new(folder: &Path) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("spectrum_webhook_data_{name}"), help);
        Ok(Self {
            folder: folder.to_owned(),
            free: gauge("free_bytes", "What the process may still write to the disk of its data folder.")?,
            size: gauge("disk_bytes", "The size of that disk.")?,
            database: gauge("database_bytes", "The database, with its write-ahead log.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 3] {
        [&self.free, &self.size, &self.database]
    }
}

impl Collector for FolderGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Ok(disk) = rustix::fs::statvfs(&self.folder) {
            self.free.set(number(disk.f_bavail.saturating_mul(disk.f_frsize)));
            self.size.set(number(disk.f_blocks.saturating_mul(disk.f_frsize)));
        }
        let size = |name: String| std::fs::metadata(self.folder.join(name)).map_or(0, |file| file.len());
        self.database.set(number(size(FILE_NAME.to_owned()).saturating_add(size(format!("{FILE_NAME}-wal")))));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
