//! Holding the largest lanes, so that no slow one uses up what all share.
//!
//! Only a lane that keeps a sixteenth of the window is held for the window's sake: when many lanes share it evenly the
//! machine is busy, no lane is slow, and rows would only make it busier.

use std::cmp::Reverse;

use super::{Action, LaneId, Partition};
use crate::chance::Chance;
use crate::lane::{self, Broken};
use crate::time::Now;

/// A look over all lanes is made at most this often, in milliseconds.
const EVERY: u64 = 20;

impl Partition {
    /// When ¾ of the window are used, holds the largest lanes, down to ½.
    pub(super) fn relieve_window(
        &mut self,
        now: Now,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        let window = self.settings.window;
        let used = self.inbox.len() + self.events.len();
        if used < window - window / 4 || self.relieved_at.is_some_and(|at| now.mono.since(at) < EVERY) {
            return Ok(());
        }
        self.relieve(now, used - window / 2, (window / 16).max(1), chance, out)
    }

    /// Holds half of what is unsettled here, largest lanes first.
    pub(super) fn relieve_memory(
        &mut self,
        now: Now,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.relieve(now, self.events.len().div_ceil(2), 1, chance, out)
    }

    fn relieve(
        &mut self,
        now: Now,
        mut excess: usize,
        large: usize,
        chance: &mut dyn Chance,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.relieved_at = Some(now.mono);
        let mut lanes: Vec<(usize, LaneId)> = self
            .projects
            .iter()
            .flat_map(|(project, known)| known.lanes.iter().map(move |(webhook, entry)| (project, webhook, entry)))
            .map(|(project, webhook, entry)| (entry.lane.unsettled(), LaneId { project: *project, webhook: *webhook }))
            .filter(|(unsettled, _)| *unsettled >= large)
            .collect();
        lanes.sort_unstable_by_key(|(unsettled, id)| (Reverse(*unsettled), *id));
        for (unsettled, id) in lanes {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(unsettled);
            self.step_lane(now, id, lane::Input::Relieve, chance, out)?;
        }
        Ok(())
    }
}
