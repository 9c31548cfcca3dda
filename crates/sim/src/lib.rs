//! A seeded simulation of the whole pipeline, with a clock of its own and an independent checker.
//!
//! The partition's state machine is the real one; simulated are time, chance, the thin shell, the clients, and the
//! endpoints. A seed stands for one process over the real embedded backends, or for a cluster over modelled services.
//! Everything happens on one thread, one event after the other, so that a seed replays to the last line of its trace.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`plan`] | what an embedded seed stands for: sizes, settings, faults, characters |
//! | [`world`] | one process: its events, and what they do to the real parts |
//! | `cluster` | several processes, and the services between them |
//! | [`rule`] | the design's rules against faults, which can be switched off |
//! | [`endpoint`] | receivers that answer, fail, hang, and lose their answers |
//! | [`checker`] | what must hold, judged from outside |
//! | [`sabotage`] | faults of our own making, which show that the checker cries |
//! | `ownership`, `body` | what both kinds of histories share |
//! | [`dice`], `timeline`, [`trace`] | chance, time and memory of a run |

mod body;
pub mod checker;
mod cluster;
pub mod dice;
pub mod endpoint;
mod ownership;
pub mod plan;
pub mod rule;
pub mod sabotage;
mod timeline;
pub mod trace;
pub mod world;

use cluster::Cluster;
use plan::Plan;
use rule::Rule;
use sabotage::Sabotage;
use world::World;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold; `None` is a good run.
    pub violation: Option<String>,
    /// A digest of every line of the trace: the same for the same seed.
    pub trace_hash: u64,
    /// The last lines of the trace.
    pub tail: Vec<String>,
    /// Events of the simulation that took place.
    pub steps: u64,
    /// Deliveries that endpoints took.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Crashes of the process.
    pub crashes: u64,
}

/// What a seed stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// One process over the real embedded backends.
    Embedded,
    /// A cluster over modelled services.
    Cluster,
}

impl Stage {
    /// What a seed stands for when nobody says: one in five is embedded.
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(5) { Self::Embedded } else { Self::Cluster }
    }
}

/// How a run is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Prints every line of the trace to standard output.
    pub print: bool,
    /// What the seed stands for; `None` is by the seed itself.
    pub stage: Option<Stage>,
    /// What is broken on purpose, in one process.
    pub sabotage: Option<Sabotage>,
    /// The rule that is switched off, in a cluster.
    pub without: Option<Rule>,
}

/// On how many threads seeds are best run. An embedded history mostly waits, in real time, for the thread that writes its
/// file, so there are many to each processor.
pub fn threads() -> usize {
    (16 * std::thread::available_parallelism().map_or(1, usize::from)).min(128)
}

/// Runs one seed to its end.
///
/// # Errors
/// When the simulation itself cannot run: no temporary folder, say.
pub fn run(seed: u64, options: Options) -> anyhow::Result<Report> {
    match options.stage.unwrap_or_else(|| Stage::of(seed)) {
        Stage::Embedded => World::new(Plan::of(seed), options)?.run(),
        Stage::Cluster => Ok(Cluster::new(seed, options).run()),
    }
}
