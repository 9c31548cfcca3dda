//! What a seed stands for. Numbers are small, so that holds, pressure, outages and expiry happen often.

use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::lane::LaneSettings;
use spectrum_webhook_core::partition::PartitionSettings;
use spectrum_webhook_core::retry::{Policy, Schedule};

use crate::dice::Dice;
use crate::endpoint::Character;

/// A whole history in short.
#[derive(Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The chance of everything that is not planned ahead.
    pub dice: Dice,
    /// Partitions.
    pub partitions: u16,
    /// The webhooks of each project: what their endpoints are like.
    pub projects: Vec<Vec<Character>>,
    /// Events in all.
    pub events: u64,
    /// The last planned event is posted about then, in milliseconds.
    pub span: u64,
    /// Changes of webhooks by people.
    pub changes: u64,
    /// Times that people do something about deliveries.
    pub steerings: u64,
    /// The numbers of the partitions.
    pub settings: PartitionSettings,
    /// The same, as far as the checker needs them.
    pub limits: Limits,
    /// What goes wrong.
    pub faults: Faults,
}

/// Numbers that the checker judges by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attempts of an event before it counts as exhausted.
    pub attempts: u64,
    /// Messages that may be unacknowledged.
    pub window: usize,
    /// How old the events of a disabled webhook may become, in milliseconds.
    pub keep: i64,
    /// Attempts that a webhook may have under way at once, when not all its events wait for one another.
    pub parallel: usize,
}

/// What goes wrong, until the faults stop.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The process ends without warning, after so many events of the simulation.
    pub crashes: Vec<u64>,
    /// A partition's channel is lost, after so many events of the simulation.
    pub losses: Vec<u64>,
    /// Calls of the store that fail without effect, of a thousand.
    pub before: u64,
    /// Calls of the store that fail though they took effect, of a thousand.
    pub after: u64,
    /// When the store is down, from and to.
    pub down: Vec<(u64, u64)>,
    /// Posts that a client repeats for no reason, of a thousand.
    pub repeats: u64,
    /// Milliseconds by which a process's wall clock may be wrong.
    pub skew: u64,
}

impl Faults {
    /// Whether nothing but endpoints goes wrong.
    pub fn none(&self) -> bool {
        self.crashes.is_empty() && self.losses.is_empty() && self.before + self.after == 0 && self.down.is_empty()
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let partitions = u16::try_from(dice.range(1, 3)).unwrap_or(1);
        let webhooks = dice.range(2, 4);
        let mut projects = vec![Vec::new(); usize::try_from(dice.range(1, 2)).unwrap_or(1)];
        let span = if dice.per_mille(100) { dice.range(600_000, 9_000_000) } else { dice.range(2_000, 60_000) };
        for _ in 0..webhooks {
            let at = usize::try_from(dice.range(0, projects.len() as u64 - 1)).unwrap_or(0);
            let character = Character::of(&mut dice, span);
            projects[at].push(character);
        }
        let events = dice.range(20, 60);
        let changes = if dice.per_mille(600) { dice.range(1, 6) } else { 0 };
        let (mut settings, limits) = settings(&mut dice);
        // Short, so that lanes are forgotten between their events.
        settings.keep_idle = 4 * settings.lane.hold_after;
        let faults = faults(&mut dice, span);
        let steerings = if dice.per_mille(500) { dice.range(1, 8) } else { 0 };
        let dice = dice.fork();
        Self { seed, dice, partitions, projects, events, span, changes, steerings, settings, limits, faults }
    }
}

pub(crate) fn settings(dice: &mut Dice) -> (PartitionSettings, Limits) {
    let millis = Duration::from_millis;
    let attempts = u32::try_from(dice.range(2, 4)).unwrap_or(3);
    let retry = Policy { initial: millis(dice.range(50, 200)), factor: 3.0, cap: millis(1_000), attempts };
    let probe = Policy { initial: millis(dice.range(500, 2_000)), factor: 2.0, cap: millis(6_000), attempts: 1 };
    let keep = if dice.per_mille(300) { dice.range(5_000, 60_000) } else { 30 * 24 * 3_600_000 };
    let lane = LaneSettings {
        attempts,
        retry: Schedule::new(&retry),
        hold_after: dice.range(200, 2_000),
        outage_after: u32::try_from(dice.range(2, 3)).unwrap_or(3),
        probe: Schedule::new(&probe),
        outage_budget: if dice.per_mille(300) { dice.range(10_000, 60_000) } else { 72 * 3_600_000 },
        keep,
        batch: u32::try_from(dice.range(1, 8)).unwrap_or(4),
        parallel: usize::try_from(dice.range(1, 4)).unwrap_or(1),
    };
    let window = usize::try_from(dice.range(8, 20)).unwrap_or(8);
    let lanes = usize::try_from(dice.range(1, 4)).unwrap_or(1);
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let limits = Limits { attempts: u64::from(attempts), window, keep, parallel: lane.parallel };
    // As by default: with less, ten thousand histories of clusters do not need every rule. Those of the embedded form have
    // less.
    let keep_idle = PartitionSettings::default().keep_idle;
    (PartitionSettings { lane: Arc::new(lane), window, lanes, keep_idle }, limits)
}

fn faults(dice: &mut Dice, span: u64) -> Faults {
    let mut times = |most: u64| -> Vec<u64> {
        let count = dice.range(0, most);
        let mut times: Vec<u64> = (0..count).map(|_| dice.range(10, 1_200)).collect();
        times.sort_unstable();
        times
    };
    let (crashes, losses) = (times(4), times(2));
    let flaky = dice.per_mille(500);
    let (before, after) = if flaky { (dice.range(0, 60), dice.range(0, 60)) } else { (0, 0) };
    let down = if dice.per_mille(200) {
        let from = dice.range(0, span);
        vec![(from, from + dice.range(100, 8_000))]
    } else {
        Vec::new()
    };
    let repeats = if dice.per_mille(500) { dice.range(0, 200) } else { 0 };
    let skew = if dice.per_mille(300) { dice.range(0, 1_500) } else { 0 };
    let faults = Faults { crashes, losses, before, after, down, repeats, skew };
    if dice.per_mille(150) {
        // Some histories have no fault of our own: there the strictest rules hold.
        return Faults { crashes: Vec::new(), losses: Vec::new(), before: 0, after: 0, down: Vec::new(), ..faults };
    }
    faults
}
