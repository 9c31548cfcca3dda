//! Whether a service that a backend needs can be reached: what readiness and the metrics say of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most bytes kept of what went wrong last.
const DETAIL: usize = 300;
/// The connection of a service that has only one.
const ONLY: &str = "";

/// One service as its client saw it last, over one connection or several of them: it answers while all of them do. The
/// backend reports, whoever is on call reads.
#[derive(Debug)]
pub struct Reach {
    service: &'static str,
    losses: AtomicU64,
    /// Connections that do not answer, and why.
    down: Mutex<BTreeMap<&'static str, String>>,
}

impl Reach {
    /// A service that has not been reached yet. Its name becomes a label: `rabbitmq`, `redis` or `postgresql`.
    pub fn new(service: &'static str) -> Self {
        Self::over(service, &[ONLY])
    }

    /// The same, of a client with these connections to it.
    pub fn over(service: &'static str, connections: &[&'static str]) -> Self {
        let down = connections.iter().map(|connection| (*connection, "not reached yet".to_owned())).collect();
        Self { service, losses: AtomicU64::new(0), down: Mutex::new(down) }
    }

    fn down(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// It answers. Returns whether it did not before.
    pub fn reached(&self) -> bool {
        self.reached_over(ONLY)
    }

    /// It answers on this connection. Returns whether it did not before.
    pub fn reached_over(&self, connection: &'static str) -> bool {
        self.down().remove(connection).is_some()
    }

    /// It does not, and why: for people, without credentials. Returns whether it did before.
    pub fn lost(&self, detail: &str) -> bool {
        self.lost_over(ONLY, detail)
    }

    /// It does not on this connection, and why, as for [`Reach::lost`]. Returns whether it did before.
    pub fn lost_over(&self, connection: &'static str, detail: &str) -> bool {
        let end = detail.floor_char_boundary(DETAIL);
        let mut down = self.down();
        if down.is_empty() {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        down.insert(connection, detail[..end].to_owned()).is_none()
    }

    /// How often it went from answering, on all connections, to not answering.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// `Ok` while it answers on all connections, otherwise why it does not on one of them.
    ///
    /// # Errors
    /// Why it does not.
    pub fn state(&self) -> Result<(), String> {
        self.down().first_key_value().map_or(Ok(()), |(_, detail)| Err(detail.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_up_while_all_its_connections_are() {
        let reach = Reach::over("rabbitmq", &["ingest", "dispatcher"]);
        assert!(reach.reached_over("ingest"));
        assert_eq!(reach.state(), Err("not reached yet".to_owned()), "one is missing");
        assert!(reach.reached_over("dispatcher"));
        assert_eq!(reach.state(), Ok(()));
        assert!(reach.lost_over("ingest", "gone"));
        assert!(reach.lost_over("dispatcher", "gone too"));
        assert!(!reach.lost_over("dispatcher", "refused"));
        assert!(reach.reached_over("ingest"));
        assert_eq!(reach.state(), Err("refused".to_owned()), "the one that is back does not hide the other's loss");
        assert!(reach.reached_over("dispatcher") && !reach.reached_over("dispatcher"));
        assert_eq!((reach.state(), reach.losses()), (Ok(()), 1));
    }

    #[test]
    fn a_service_with_one_connection_is_lost_and_reached() {
        let reach = Reach::new("redis");
        assert!(reach.reached() && !reach.reached());
        assert!(reach.lost("gone") && !reach.lost(&"é".repeat(DETAIL)));
        assert_eq!(reach.state(), Err("é".repeat(DETAIL / 2)));
        assert_eq!(reach.losses(), 1);
    }
}
