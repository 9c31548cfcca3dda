//! What the dispatcher counts. Conservation, in deliveries, at any time and over all processes:
//! `recovered + fanned_out = delivered + dead + dropped + released + pending`.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use spectrum_webhook_core::lane::{Class, Standing};
use spectrum_webhook_core::ports::PortError;
use spectrum_webhook_core::time::Millis;

use crate::memory::MemoryBudget;
use crate::partition::Lost;
use crate::slots::SlotGate;

/// Counters and gauges of one process; none has a label whose values are not known beforehand.
#[derive(Clone, Debug)]
pub struct Metrics {
    taken: IntCounter,
    queue_wait: Histogram,
    pub(crate) recovered: IntCounter,
    pub(crate) fanned_out: IntCounter,
    pub(crate) delivered: IntCounter,
    pub(crate) dead: IntCounter,
    pub(crate) dropped: IntCounter,
    pub(crate) released: IntCounter,
    pub(crate) pending: IntGauge,
    /// Of those pending, the ones that have no row.
    pub(crate) in_memory: IntGauge,
    first_attempt: Histogram,
    pub(crate) slot_wait: Histogram,
    straight: Histogram,
    detour: Histogram,
    /// By [`Standing`].
    pub(crate) lanes: [IntGauge; Standing::ALL.len()],
    pub(crate) partitions_held: IntGauge,
    pub(crate) partitions_wanted: IntGauge,
    pub(crate) takeovers: IntCounter,
    pub(crate) given_back: IntCounter,
    lost: IntCounterVec,
}

/// Bounds of what takes from a few milliseconds to hours, in seconds. 5 s is what the alert on late deliveries goes by.
const LONG: [f64; 15] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3_600.0, 36_000.0];
/// Bounds of waits within the process, in seconds.
const SHORT: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// Registers one metric after the other.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: Result<C, Error>) -> Result<C, Error> {
        let collector = collector?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::new(format!("spectrum_webhook_{name}"), help))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::new(format!("spectrum_webhook_{name}"), help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(options(name, help, buckets)))
    }
}

fn options(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(format!("spectrum_webhook_{name}"), help).buckets(buckets.to_vec())
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn new(registry: &Registry) -> Result<Self, Error> {
        let registrar = Registrar(registry);
        let lanes = Opts::new("spectrum_webhook_lanes", "Lanes in memory, by what they do.");
        let lanes = registrar.add(IntGaugeVec::new(lanes, &["state"]))?;
        let lost = Opts::new("spectrum_webhook_partitions_lost_total", "Ownerships that ended by an error, by which.");
        let lost = registrar.add(IntCounterVec::new(lost, &["reason"]))?;
        for reason in Lost::REASONS {
            lost.with_label_values(&[reason]);
        }
        let delivery = options(
            "delivery_seconds",
            "From the acceptance of an event to its delivery, by whether it went straight: at its first attempt, without \
             a rest in the backlog, to a URL whose last attempt had not failed.",
            &LONG,
        );
        let delivery = registrar.add(HistogramVec::new(delivery, &["path"]))?;
        Ok(Self {
            taken: registrar.counter(
                "events_taken_total",
                "Events that a partition's owner took from the queue for the first time.",
            )?,
            queue_wait: registrar.histogram(
                "queue_wait_seconds",
                "From the acceptance of an event to when its partition's owner took it for the first time.",
                &LONG,
            )?,
            recovered: registrar
                .counter("deliveries_recovered_total", "Deliveries found at rest when a partition was taken over.")?,
            fanned_out: registrar.counter("deliveries_fanned_out_total", "Deliveries made of accepted events.")?,
            delivered: registrar.counter("deliveries_delivered_total", "Deliveries that their endpoint took.")?,
            dead: registrar.counter("deliveries_dead_total", "Deliveries that became dead letters.")?,
            dropped: registrar
                .counter("deliveries_dropped_total", "Deliveries dropped with their webhook, or by a person.")?,
            released: registrar.counter(
                "deliveries_released_total",
                "Deliveries that were pending when a partition was given up: its next owner recovers or repeats them.",
            )?,
            pending: registrar
                .gauge("deliveries_pending", "Deliveries of the partitions held whose way has not ended.")?,
            in_memory: registrar.gauge(
                "deliveries_in_memory",
                "Those of the pending deliveries that only memory and the queue have.",
            )?,
            first_attempt: registrar.histogram(
                "first_attempt_delay_seconds",
                "From the acceptance of an event to the start of its first attempt, where it went straight.",
                &LONG,
            )?,
            slot_wait: registrar.histogram(
                "attempt_wait_seconds",
                "How long attempts that were due waited for a slot.",
                &SHORT,
            )?,
            straight: delivery.with_label_values(&["straight"]),
            detour: delivery.with_label_values(&["detour"]),
            lanes: Standing::ALL.map(|standing| lanes.with_label_values(&[standing.code()])),
            partitions_held: registrar.gauge("partitions_held", "Partitions that this process delivers.")?,
            partitions_wanted: registrar.gauge("partitions_wanted", "This process's share of the partitions.")?,
            takeovers: registrar
                .counter("partitions_taken_total", "Partitions taken over: each time under a new epoch.")?,
            given_back: registrar
                .counter("partitions_given_back_total", "Partitions given back in order: to others, or at the stop.")?,
            lost,
        })
    }

    /// The owner of its partition took an event.
    pub(crate) fn taken(&self, accepted_at: Millis, now: Millis) {
        self.taken.inc();
        self.queue_wait.observe(seconds(accepted_at, now));
    }

    /// An attempt starts.
    pub(crate) fn started(&self, way: Way, now: Millis) {
        if way.is_straight {
            self.first_attempt.observe(seconds(way.accepted_at, now));
        }
    }

    /// An attempt has delivered.
    pub(crate) fn arrived(&self, way: Way, now: Millis) {
        let path = if way.is_straight { &self.straight } else { &self.detour };
        path.observe(seconds(way.accepted_at, now));
    }

    /// An ownership ended by an error.
    pub(crate) fn lost(&self, lost: &Lost) {
        self.lost.with_label_values(&[lost.reason()]).inc();
    }
}

/// How a delivery came to an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// When its event was accepted.
    pub(crate) accepted_at: Millis,
    /// Nothing held it up but this system: it is its first attempt, it never rested in the backlog, and the URL's last
    /// attempt had not failed.
    pub(crate) is_straight: bool,
}

/// By two machines' clocks: never less than nothing.
fn seconds(from: Millis, to: Millis) -> f64 {
    to.0.saturating_sub(from.0).max(0) as f64 / 1_000.0
}

impl Lost {
    /// All that [`Lost::reason`] says.
    const REASONS: [&'static str; 8] =
        ["unavailable", "fenced", "corrupt", "lease", "expired", "memory", "broken", "panicked"];

    /// The stable word for it.
    fn reason(&self) -> &'static str {
        match self {
            Self::Port(PortError::Unavailable { .. }) => "unavailable",
            Self::Port(PortError::Fenced { .. }) => "fenced",
            Self::Port(PortError::Corrupt { .. }) => "corrupt",
            Self::Lease => "lease",
            Self::Expired => "expired",
            Self::Memory => "memory",
            Self::Broken(_) => "broken",
            Self::Panicked => "panicked",
        }
    }
}

/// How much of the slots and of the byte budget is in use, read when it is asked for.
pub struct LoadGauges {
    gate: SlotGate,
    memory: Arc<MemoryBudget>,
    running: IntGaugeVec,
    waiting: IntGaugeVec,
    slots: IntGaugeVec,
    used: IntGauge,
    budget: IntGauge,
}

/// The classes of attempts, as labels.
const CLASSES: [(Class, &str); 3] =
    [(Class::Healthy, "healthy"), (Class::Failing, "failing"), (Class::Outage, "outage")];

impl LoadGauges {
    /// Those of this gate and this budget.
    ///
    /// # Errors
    /// Never: the names are sound.
    pub fn new(gate: SlotGate, memory: Arc<MemoryBudget>) -> Result<Self, Error> {
        let by_class =
            |name: &str, help: &str| IntGaugeVec::new(Opts::new(format!("spectrum_webhook_{name}"), help), &["class"]);
        let gauge = |name: &str, help: &str| IntGauge::new(format!("spectrum_webhook_{name}"), help);
        Ok(Self {
            gate,
            memory,
            running: by_class("attempts_running", "Attempts under way, by the class of their lane.")?,
            waiting: by_class("attempts_waiting", "Attempts that are due and wait for a slot, by class.")?,
            slots: by_class("attempt_slots", "Attempts of a class that may start at once.")?,
            used: gauge("memory_used_bytes", "Bytes of events that are not acknowledged, in memory for deliveries.")?,
            budget: gauge("memory_budget_bytes", "How many there may be.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.running, &self.waiting, &self.slots, &self.used, &self.budget]
    }
}

impl Collector for LoadGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (class, label) in CLASSES {
            self.running.with_label_values(&[label]).set(number(self.gate.running(class)));
            self.waiting.with_label_values(&[label]).set(number(self.gate.waiting(class)));
            self.slots.with_label_values(&[label]).set(number(self.gate.cap(class)));
        }
        self.used.set(number(self.memory.used()));
        self.budget.set(number(self.memory.limit()));
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
