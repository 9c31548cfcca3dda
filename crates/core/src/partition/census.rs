//! The lanes of a partition, counted as they change: nobody walks over all of them to know.

use crate::lane::{Lane, Standing};

/// Lanes in memory by what they do, and the deliveries that only memory has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    lanes: [usize; Standing::ALL.len()],
    /// Deliveries in memory that are not settled and have no row: their messages are not acknowledged.
    pub unsettled: usize,
}

impl Census {
    /// Lanes that do this.
    pub fn of(&self, standing: Standing) -> usize {
        self.lanes[standing as usize]
    }

    /// All lanes.
    pub fn lanes(&self) -> usize {
        self.lanes.iter().sum()
    }

    /// One lane as it is now.
    pub(super) fn look(lane: &Lane) -> (Standing, usize) {
        (lane.standing(), lane.unsettled())
    }

    /// A lane came.
    pub(super) fn came(&mut self, (standing, unsettled): (Standing, usize)) {
        self.lanes[standing as usize] += 1;
        self.unsettled += unsettled;
    }

    /// A lane went, which was like this.
    pub(super) fn went(&mut self, (standing, unsettled): (Standing, usize)) {
        let lanes = &mut self.lanes[standing as usize];
        *lanes = lanes.saturating_sub(1);
        self.unsettled = self.unsettled.saturating_sub(unsettled);
    }
}
