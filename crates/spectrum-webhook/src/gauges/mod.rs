//! What the process knows beside what it counts on its way: read now and then, or when the metrics are asked for, and
//! always within bounds.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `store` | what the store holds |
//! | `ownership` | partitions that nobody has |
//! | `certificates` | when those of the services expire |
//! | `services` | which services answer |
//! | `process` | what runs here, whether it is ready, the disk under its data folder |

mod certificates;
mod ownership;
mod process;
mod services;
mod store;

use prometheus::core::Collector;
use prometheus::{IntGauge, Registry};

pub(crate) use certificates::Certificates;
pub(crate) use ownership::Ownership;
pub(crate) use process::{FolderGauges, ready_gauge, say_what_runs};
pub(crate) use services::ServiceGauges;
pub(crate) use store::StoreGauges;

/// A gauge of this name.
fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(format!("spectrum_webhook_{name}"), help)?;
    registered(registry, gauge)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
