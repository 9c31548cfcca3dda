//! A seeded simulation of the whole pipeline, with a clock of its own and an independent checker.
//!
//! The partition's state machine and the embedded backends are the real ones; simulated are time, chance, the thin shell
//! between them, the clients, and the endpoints. Everything happens on one thread, one event after the other, so that a
//! seed replays to the last line of its trace.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`plan`] | what a seed stands for: sizes, settings, faults, characters |
//! | [`world`] | the simulated world: its events, and what they do to the real parts |
//! | [`endpoint`] | receivers that answer, fail, hang, and lose their answers |
//! | [`checker`] | what must hold, judged from outside |
//! | [`sabotage`] | faults of our own making, which show that the checker cries |
//! | [`dice`], [`trace`] | chance and memory of a run |

pub mod checker;
pub mod dice;
pub mod endpoint;
pub mod plan;
pub mod sabotage;
pub mod trace;
pub mod world;

use plan::Plan;
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

/// How a run is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Prints every line of the trace to standard output.
    pub print: bool,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

/// Runs one seed to its end.
///
/// # Errors
/// When the simulation itself cannot run: no temporary folder, say.
pub fn run(seed: u64, options: Options) -> anyhow::Result<Report> {
    World::new(Plan::of(seed), options)?.run()
}
