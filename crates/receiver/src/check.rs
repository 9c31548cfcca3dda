//! What was accepted, against what arrived: the last word on loss, order, duplicates, bytes and signatures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::recorded::Recorded;
use crate::verify::{Key, Problem, TOLERANCE, verify};

/// An event that got its `202`.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id, as the `202` said.
    pub id: String,
    /// The bytes that were posted.
    pub body: Bytes,
    /// When it was posted for the first time.
    pub posted: Instant,
}

/// What came of it at one URL.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events accepted.
    pub accepted: usize,
    /// Of these, how many were sent to the URL at least once.
    pub arrived: usize,
    /// Of these, how many were answered with a 2xx.
    pub delivered: usize,
    /// Requests in all.
    pub attempts: usize,
    /// Requests that passed the verifier.
    pub verified: usize,
    /// Requests of an event that had been answered with a 2xx before.
    pub duplicates: usize,
    /// Accepted events that were never answered with a 2xx.
    pub missing: Vec<String>,
    /// First arrivals that came after that of an event accepted later: the late one, and the one before it.
    pub swapped: Vec<(String, String)>,
    /// First arrivals whose `X-Spectrum-Sequence` is missing or not above all before it.
    pub unnumbered: Vec<String>,
    /// Requests that the verifier refused, by event.
    pub refused: Vec<(String, Vec<Problem>)>,
    /// Requests whose body is not what was posted, by event.
    pub changed: Vec<String>,
    /// Requests for events that nobody accepted.
    pub unknown: Vec<String>,
    /// From the first post to the first arrival, sorted.
    pub latencies: Vec<Duration>,
}

impl Report {
    /// Whether nothing was lost, swapped, changed, made up or badly signed. Duplicates are allowed.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty()
            && self.swapped.is_empty()
            && self.unnumbered.is_empty()
            && self.refused.is_empty()
            && self.changed.is_empty()
            && self.unknown.is_empty()
    }

    /// The latency that `share` (0 to 1) of the first arrivals stay within; zero when there are none.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.latencies.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Compares the events accepted for one webhook, in the order in which they were accepted, with the requests to its
/// URL, in the order in which they came.
pub fn check<'a>(accepted: &[Accepted], requests: impl IntoIterator<Item = &'a Arc<Recorded>>, key: &Key) -> Report {
    let places: HashMap<&str, usize> = accepted.iter().enumerate().map(|(at, event)| (event.id.as_str(), at)).collect();
    let mut report = Report { accepted: accepted.len(), ..Report::default() };
    let mut seen = vec![false; accepted.len()];
    let mut taken = vec![false; accepted.len()];
    let mut furthest: Option<usize> = None;
    let mut highest: Option<u64> = None;
    for request in requests {
        report.attempts += 1;
        let id = request.event_id().unwrap_or("(no id)");
        match verify(key, &request.headers, &request.body, request.wall, TOLERANCE) {
            Ok(()) => report.verified += 1,
            Err(problems) => report.refused.push((id.to_owned(), problems)),
        }
        let Some(place) = places.get(id).copied() else {
            report.unknown.push(id.to_owned());
            continue;
        };
        let event = &accepted[place];
        if request.body != event.body {
            report.changed.push(id.to_owned());
        }
        if !seen[place] {
            seen[place] = true;
            report.arrived += 1;
            report.latencies.push(request.arrived.saturating_duration_since(event.posted));
            match furthest {
                Some(further) if further > place => {
                    report.swapped.push((id.to_owned(), accepted[further].id.clone()));
                }
                _ => furthest = Some(place),
            }
            match request.sequence() {
                Some(sequence) if highest.is_none_or(|highest| sequence > highest) => highest = Some(sequence),
                _ => report.unnumbered.push(id.to_owned()),
            }
        }
        if taken[place] {
            report.duplicates += 1;
        }
        taken[place] |= request.taken();
    }
    report.delivered = taken.iter().filter(|taken| **taken).count();
    report.missing =
        accepted.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(event, _)| event.id.clone()).collect();
    report.latencies.sort_unstable();
    report
}
