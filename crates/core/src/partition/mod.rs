//! The partition: numbers the events of its projects, fans them out into lanes, and says when each is settled. A state
//! machine without IO, driven by whoever holds the partition's lease.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `messages` | what it is told, and what it asks for |
//! | `project` | what it knows of one project: its registry and its lanes |
//! | `inbox` | from the queue to the lanes: registry, look-up, number, fan-out |
//! | `census` | its lanes, counted |
//! | `step` | inputs, timers, settlement |
//! | `pressure` | holding the largest lanes when the window or memory is nearly used up |

mod census;
mod inbox;
mod messages;
mod pressure;
mod project;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use census::Census;
pub use messages::{Action, Counts, Input, LaneId};

use crate::attempt::{Ended, Next};
use crate::ids::{EventId, ProjectId, Sequence};
use crate::lane::LaneSettings;
use crate::ports::{Lease, Tag, Takeover};
use crate::time::{Mono, Now};
use inbox::Incoming;
use project::Project;

/// The numbers of every partition of a deployment.
#[derive(Clone, Debug)]
pub struct PartitionSettings {
    /// Those of its lanes.
    pub lane: Arc<LaneSettings>,
    /// Messages that may be unacknowledged: the queue's prefetch.
    pub window: usize,
    /// Lanes that are kept before idle ones are looked for.
    pub lanes: usize,
    /// How long, in milliseconds, lanes and projects with nothing in them stay at least; at most twice as long.
    pub keep_idle: u64,
}

impl Default for PartitionSettings {
    fn default() -> Self {
        Self { lane: Arc::default(), window: 300, lanes: 1_024, keep_idle: 60_000 }
    }
}

/// An event whose deliveries are not all settled.
#[derive(Debug)]
struct InFlight {
    /// Its message, and any copies of it that came meanwhile.
    tags: Vec<Tag>,
    /// Deliveries that are not settled.
    remaining: usize,
    /// The size of its body.
    bytes: usize,
    /// It is no event: its row in the store says that it is done, and a mark is not needed.
    steers: bool,
}

/// One ownership of one partition.
#[derive(Debug)]
pub struct Partition {
    settings: PartitionSettings,
    next: Sequence,
    inbox: VecDeque<Incoming>,
    /// A look-up is in flight: its number, and how many messages at the inbox's front it is for.
    looking_up: Option<(u64, usize)>,
    look_ups: u64,
    events: HashMap<EventId, InFlight>,
    projects: HashMap<ProjectId, Project>,
    census: Census,
    sweep_lanes_at: usize,
    /// When lanes and projects that have long been idle are looked for; `None`: there are none.
    tidy_at: Option<Mono>,
    timers: BTreeSet<(Mono, LaneId)>,
    relieved_at: Option<Mono>,
    bytes: usize,
    counts: Counts,
}

impl Partition {
    /// The partition as its new owner finds it. The actions load what its resting lanes need.
    pub fn new(lease: &Lease, takeover: &Takeover, settings: PartitionSettings, out: &mut Vec<Action>) -> Self {
        let mut partition = Self {
            // Greater than every number given under an earlier epoch, and than every one stored.
            next: Sequence(lease.epoch.0.max(takeover.highest.0)),
            sweep_lanes_at: settings.lanes,
            settings,
            inbox: VecDeque::new(),
            looking_up: None,
            look_ups: 0,
            events: HashMap::new(),
            projects: HashMap::new(),
            census: Census::default(),
            tidy_at: None,
            timers: BTreeSet::new(),
            relieved_at: None,
            bytes: 0,
            counts: Counts::default(),
        };
        for lane in &takeover.lanes {
            partition.counts.recovered += lane.backlog + lane.set_aside;
            partition.projects.entry(lane.project).or_default().resting.push(*lane);
        }
        let projects: BTreeSet<ProjectId> = takeover.lanes.iter().map(|lane| lane.project).collect();
        for project in projects {
            partition.load(project, crate::ids::RegistryVersion(0), out);
        }
        partition
    }

    /// Messages that are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.inbox.len() + self.events.values().map(|event| event.tags.len()).sum::<usize>()
    }

    /// Bytes of the bodies of messages that are not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where its deliveries are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What becomes of a delivery whose attempt ended so: see [`crate::lane::Lane::outlook`].
    pub fn outlook(&self, now: Now, lane: LaneId, event: EventId, ended: Ended) -> Next {
        let lane = self.projects.get(&lane.project).and_then(|project| project.lanes.get(&lane.webhook));
        lane.map_or(Next::Undecided, |entry| entry.lane.outlook(now, event, ended))
    }

    /// When it wants an [`Input::Wake`].
    pub fn deadline(&self) -> Option<Mono> {
        self.timers.first().map(|(due, _)| *due).into_iter().chain(self.tidy_at).min()
    }

    /// How many lanes are in memory.
    pub fn lanes(&self) -> usize {
        self.census.lanes()
    }

    /// Its lanes, counted.
    pub fn census(&self) -> Census {
        self.census
    }
}
