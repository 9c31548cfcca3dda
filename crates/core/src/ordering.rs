//! Which of a webhook's events wait for one another.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::event;
use crate::ids::Sequence;

/// What is delivered in order to a webhook. Within one order key it is one delivery at a time, in the order in which the
/// queue took the events; deliveries of different keys run beside one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ordering {
    /// All events of the project: one key.
    #[default]
    Project,
    /// The events of each space, by the body's `space.id`. Those without one are a key of their own.
    Space,
    /// None: each event is a key of its own.
    None,
}

impl Ordering {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Project, Self::Space, Self::None];

    /// The stable word for it, in the store and in the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Space => "space",
            Self::None => "none",
        }
    }

    /// The ordering of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ordering| ordering.code() == code)
    }

    /// The key of an event.
    pub fn key(self, sequence: Sequence, space: Space) -> OrderKey {
        OrderKey(match self {
            Self::Project => 0,
            Self::Space => space.0,
            Self::None => sequence.0,
        })
    }
}

/// A space, by a hash of its id; 0 is none. Two spaces with one hash would wait for one another, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Space(pub i64);

impl Space {
    /// The space of an event: 63 bits of the SHA-256 of the body's `space.id`, which is stored data and must never
    /// change. A body without a `space.id` is of no space.
    pub fn of(body: &[u8]) -> Self {
        let Some(id) = event::space_id(body) else { return Self::default() };
        let digest = Sha256::digest(id);
        let number = digest.iter().take(8).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
        Self((number & i64::MAX).max(1))
    }
}

/// What a delivery's place is counted within.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OrderKey(pub i64);

/// Which rows of a backlog are read: the lowest of each key that is asked for, in the order of keys, then of places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// What the keys are.
    pub ordering: Ordering,
    /// Keys above this one; `None` is all.
    pub after: Option<OrderKey>,
    /// And not above this one; `None` is all.
    pub up_to: Option<OrderKey>,
    /// But not these. Of [`Ordering::Project`] there is one key alone, which is never left out.
    pub except: BTreeSet<OrderKey>,
    /// At most so many rows; with [`Ordering::Space`] at most [`Reading::OF_A_SPACE`] of one space.
    pub rows: u32,
}

impl Reading {
    /// How many rows of one space are read at once, so that each space has its turn.
    pub const OF_A_SPACE: u32 = 8;

    /// The lowest rows, whatever they wait for.
    pub fn lowest(rows: u32) -> Self {
        Self { ordering: Ordering::Project, after: None, up_to: None, except: BTreeSet::new(), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_its_code_is_read_by_it() {
        for ordering in Ordering::ALL {
            assert_eq!(Ordering::from_code(ordering.code()), Some(ordering));
        }
        assert_eq!(Ordering::from_code("Space"), None);
    }

    #[test]
    fn a_space_is_the_same_however_its_id_is_written_and_another_for_another_id() {
        let one = Space::of(br#"{"event":"messages","space":{"id":"any;-;+1555"}}"#);
        assert_eq!(one.0, 0x2683_0ea3_70fb_f419, "stored data never changes: {:#x}", one.0);
        assert_eq!(one, Space::of(br#" { "space" : { "name" : 1, "id" : "\u0061ny;-;+1555" }, "event":"x" } "#));
        assert_ne!(one, Space::of(br#"{"event":"messages","space":{"id":"any;-;+1556"}}"#));
        assert_eq!(Space::of(br#"{"space":{"id":7}}"#), Space::of(br#"{"space":{"id": 7 }}"#));
        assert_ne!(Space::of(br#"{"space":{"id":7}}"#), Space(0));
    }

    #[test]
    fn a_body_without_a_space_is_of_none() {
        for body in
            [r#"{"event":"x"}"#, r#"{"space":"id"}"#, r#"{"space":{}}"#, r#"{"space":{"id":null}}"#, "[1]", "{", ""]
        {
            assert_eq!(Space::of(body.as_bytes()), Space(0), "{body}");
        }
    }
}
