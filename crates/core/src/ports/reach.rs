//! Whether a service that a backend needs can be reached: what readiness and the metrics say of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most bytes kept of what went wrong last.
const DETAIL: usize = 300;

/// One service as its client saw it last. The backend reports, whoever is on call reads.
#[derive(Debug)]
pub struct Reach {
    service: &'static str,
    up: AtomicBool,
    losses: AtomicU64,
    detail: Mutex<String>,
}

impl Reach {
    /// A service that has not been reached yet. Its name becomes a label: `rabbitmq`, `redis` or `postgresql`.
    pub fn new(service: &'static str) -> Self {
        let detail = Mutex::new("not reached yet".to_owned());
        Self { service, up: AtomicBool::new(false), losses: AtomicU64::new(0), detail }
    }

    /// Its name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// It answers. Returns whether it did not before.
    pub fn reached(&self) -> bool {
        !self.up.swap(true, Ordering::Relaxed)
    }

    /// It does not, and why: for people, without credentials. Returns whether it did before.
    pub fn lost(&self, detail: &str) -> bool {
        let end = detail.floor_char_boundary(DETAIL);
        detail[..end].clone_into(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner));
        let was_up = self.up.swap(false, Ordering::Relaxed);
        if was_up {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        was_up
    }

    /// How often it went from answering to not answering.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// `Ok` while it answers, otherwise why it does not.
    pub fn state(&self) -> Result<(), String> {
        if self.up.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(self.detail.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
