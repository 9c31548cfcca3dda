//! What is measured of a history: load and latency over time, and what a healthy URL saw of each kind of fault.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::history::{At, EventId, History, WebhookId};
use crate::plan::Temper;

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Second {
    /// Events that were answered with `202`.
    pub(super) accepted: u32,
    /// Requests that came.
    pub(super) requests: u32,
    /// The longest time from a post to its first arrival at a healthy URL, of those that arrived in it, in milliseconds.
    pub(super) latency: u64,
}

/// A kind of fault, and what it cost.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Where it struck alone.
    pub(super) alone: Worst,
    /// Where it struck together with another.
    pub(super) paired: Worst,
}

/// The worst that was seen from the beginning of a fault until the next began, or until [`REACH`] after it was mended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Worst {
    /// How often it struck.
    pub(super) times: usize,
    /// The longest time from a post to its first arrival at a healthy URL, in milliseconds.
    pub(super) latency: u64,
    /// The longest time from a first try to the `202`, in milliseconds.
    pub(super) accept: u64,
}

/// What is so much later than a fault, in microseconds, is not its doing.
const REACH: u64 = 10_000_000;

/// From a post to its first arrival at a healthy URL.
struct Way {
    posted: At,
    arrived: At,
}

/// Everything that is measured.
pub(super) struct Measures {
    pub(super) seconds: Vec<Second>,
    pub(super) costs: BTreeMap<String, Cost>,
    /// Latencies of healthy URLs in milliseconds: the middle, of a hundred the last but one, the longest.
    pub(super) latency: [u64; 3],
}

impl Measures {
    pub(super) fn of(history: &History) -> Self {
        let ways = ways(history);
        let mut latencies: Vec<u64> = ways.iter().map(|way| way.arrived.minus(way.posted.0).0 / 1_000).collect();
        latencies.sort_unstable();
        let share = |of: usize, all: usize| latencies.get(latencies.len().saturating_sub(1) * of / all).copied();
        let latency = [share(1, 2), share(99, 100), share(1, 1)].map(Option::unwrap_or_default);
        Self { seconds: seconds(history, &ways), costs: costs(history, &ways), latency }
    }
}

/// The way of each event to each healthy URL; to one that was never disabled or deleted.
fn ways(history: &History) -> Vec<Way> {
    let posted: HashMap<&EventId, At> =
        history.posts.iter().filter_map(|post| Some((post.id.as_ref()?, post.begun))).collect();
    let healthy: HashSet<&WebhookId> = history
        .webhooks
        .iter()
        .filter(|hook| hook.deleted.is_none() && hook.pauses.is_empty())
        .filter(|hook| Temper::of_path(&hook.path) == Temper::Healthy)
        .map(|hook| &hook.id)
        .collect();
    let mut firsts: HashMap<(&WebhookId, &EventId), At> = HashMap::new();
    for arrival in history.arrivals.iter().filter(|had| !had.resend && healthy.contains(&had.webhook)) {
        firsts.entry((&arrival.webhook, &arrival.event)).or_insert(arrival.begun);
    }
    let ways = firsts.into_iter().filter_map(|((_, event), arrived)| {
        let posted = *posted.get(event)?;
        Some(Way { posted, arrived })
    });
    ways.collect()
}

fn seconds(history: &History, ways: &[Way]) -> Vec<Second> {
    let accepted = history.posts.iter().filter_map(|post| post.answered);
    let came = history.arrivals.iter().map(|arrival| arrival.begun);
    let second = |at: At| usize::try_from(at.0 / 1_000_000).unwrap_or(0);
    let last = accepted.clone().chain(came.clone()).map(second).max().unwrap_or(0);
    let mut seconds = vec![Second::default(); last + 1];
    accepted.for_each(|at| seconds[second(at)].accepted += 1);
    came.for_each(|at| seconds[second(at)].requests += 1);
    for way in ways {
        let latency = &mut seconds[second(way.arrived)].latency;
        *latency = (*latency).max(way.arrived.minus(way.posted.0).0 / 1_000);
    }
    seconds
}

fn costs(history: &History, ways: &[Way]) -> BTreeMap<String, Cost> {
    let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
    for (at, fault) in history.faults.iter().enumerate() {
        let over = |begun: At, ended: At, until: At| begun <= until && ended >= fault.begun;
        let mut others = history.faults.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        let paired = others.clone().any(|other| over(other.begun, other.ended, fault.ended));
        // What two cost together says little of either.
        let cost = costs.entry(fault.kind.clone()).or_default();
        let worst = if paired { &mut cost.paired } else { &mut cost.alone };
        let next = others.by_ref().map(|other| other.begun).filter(|begun| *begun > fault.ended).min();
        let until = fault.ended.plus(REACH).min(next.unwrap_or(At(u64::MAX)));
        worst.times += 1;
        let millis = |begun: At, ended: At| ended.minus(begun.0).0 / 1_000;
        let latencies = ways.iter().filter(|way| over(way.posted, way.arrived, until));
        let latency = latencies.map(|way| millis(way.posted, way.arrived)).max().unwrap_or(0);
        let answers = history.posts.iter().filter_map(|post| Some((post.begun, post.answered?)));
        let answers = answers.filter(|(begun, ended)| over(*begun, *ended, until));
        let accept = answers.map(|(begun, ended)| millis(begun, ended)).max().unwrap_or(0);
        worst.latency = worst.latency.max(latency);
        worst.accept = worst.accept.max(accept);
    }
    costs
}
