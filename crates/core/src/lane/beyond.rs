//! What a lane knows of the rows of its backlog that it has not read: of which order keys there may be some.
//!
//! With one key for all, that is one bit. With a key for each space, rows are read key by key in a circle, a few of
//! each, so that no space waits for the end of another's backlog; and an event that comes anew need not wait for rows of
//! other spaces, so it is remembered which ones those are.

use std::collections::{BTreeSet, VecDeque};

use crate::ordering::{OrderKey, Ordering, Reading};

/// Keys that are remembered; beyond so many, any key may have rows.
const KEYS: usize = 1_024;

/// Keys above the first and up to the second; `None` is no bound.
type Range = (Option<OrderKey>, Option<OrderKey>);

/// Where rows may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Beyond {
    /// Keys that were not looked at yet: two ranges at most, the next one first.
    unread: VecDeque<Range>,
    /// Others that may have rows: they were left out, or had more than were read.
    keys: BTreeSet<OrderKey>,
    /// There are more of those than are remembered.
    many: bool,
    /// Where the circle stands.
    at: Option<OrderKey>,
}

impl Beyond {
    /// There may be rows of every key.
    pub(super) fn everything() -> Self {
        let mut beyond = Self::default();
        beyond.look_again(Ordering::Project);
        beyond
    }

    /// From here on there may be rows of every key.
    pub(super) fn look_again(&mut self, ordering: Ordering) {
        self.keys.clear();
        self.many = false;
        self.unread.clear();
        match self.at.filter(|_| ordering == Ordering::Space) {
            Some(at) => self.unread.extend([(Some(at), None), (None, Some(at))]),
            None => self.unread.push_back((None, None)),
        }
    }

    /// There are no rows.
    pub(super) fn clear(&mut self) {
        *self = Self { at: self.at, ..Self::default() };
    }

    /// There may be rows of this key.
    pub(super) fn add(&mut self, key: OrderKey) {
        if self.may_hold(key) {
            return;
        }
        self.keys.insert(key);
        if self.keys.len() > KEYS {
            self.keys.clear();
            self.many = true;
        }
    }

    /// Whether there are none.
    pub(super) fn is_nothing(&self) -> bool {
        self.unread.is_empty() && self.keys.is_empty() && !self.many
    }

    /// Whether there may be rows of a key.
    pub(super) fn may_hold(&self, key: OrderKey) -> bool {
        self.many || self.keys.contains(&key) || self.unread.iter().any(|range| covers(*range, key))
    }

    /// What to read next, when these keys are left out; `None` when nothing else can be there.
    pub(super) fn next(&mut self, ordering: Ordering, except: &BTreeSet<OrderKey>) -> Option<Range> {
        if self.unread.is_empty() && (self.many || !self.keys.is_subset(except)) {
            self.look_again(ordering);
        }
        self.unread.front().copied()
    }

    /// What a read of the first range found: the keys of its rows, in their order, and whether there are more.
    pub(super) fn found(&mut self, reading: &Reading, rows: impl Iterator<Item = OrderKey>, more: bool) {
        let Some((above, up_to)) = self.unread.pop_front() else { return };
        let (mut last, mut of_last, mut full) = (None, 0, Vec::new());
        for key in rows {
            of_last = if last == Some(key) { of_last + 1 } else { 1 };
            last = Some(key);
            if reading.ordering == Ordering::Space && of_last == Reading::OF_A_SPACE {
                full.push(key);
            }
        }
        self.at = last.or(self.at);
        let looked_at = match (reading.ordering, last) {
            // Of the only key, or nothing was found that could be gone on behind.
            (Ordering::Project, _) | (_, None) if more => {
                self.unread.push_front((above, up_to));
                return;
            }
            (_, Some(last)) if more => {
                self.unread.push_front((Some(last), up_to));
                full.push(last);
                (above, Some(last))
            }
            _ => (above, up_to),
        };
        // Each event is a key of its own without order, and has no other row.
        if reading.ordering == Ordering::Space {
            let left_out = reading.except.iter().copied().filter(|key| covers(looked_at, *key));
            for key in left_out.chain(full).collect::<Vec<_>>() {
                self.add(key);
            }
        }
    }
}

fn covers((above, up_to): Range, key: OrderKey) -> bool {
    above.is_none_or(|above| key > above) && up_to.is_none_or(|up_to| key <= up_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[i64]) -> BTreeSet<OrderKey> {
        keys.iter().copied().map(OrderKey).collect()
    }

    /// Reads what is next, of a store that has so many rows of each key; the keys that were read.
    fn read(beyond: &mut Beyond, rows: &[(i64, u32)], except: &[i64], limit: u32) -> Option<Vec<i64>> {
        let except = keys(except);
        let (above, up_to) = beyond.next(Ordering::Space, &except)?;
        let reading = Reading { ordering: Ordering::Space, after: above, up_to, except, rows: limit };
        let mut found: Vec<i64> = rows
            .iter()
            .filter(|(key, _)| covers((above, up_to), OrderKey(*key)) && !reading.except.contains(&OrderKey(*key)))
            .flat_map(|(key, count)| std::iter::repeat_n(*key, (*count).min(Reading::OF_A_SPACE) as usize))
            .collect();
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        beyond.found(&reading, found.iter().copied().map(OrderKey), more);
        Some(found)
    }

    #[test]
    fn spaces_have_their_turn_in_a_circle_and_the_end_is_found() {
        let mut beyond = Beyond::everything();
        let rows = [(1, 20), (2, 1), (3, 2)];
        assert_eq!(read(&mut beyond, &rows, &[], 9), Some(vec![1, 1, 1, 1, 1, 1, 1, 1, 2]));
        assert_eq!(read(&mut beyond, &rows, &[1, 2], 9), Some(vec![3, 3]), "not the first again");
        assert!(beyond.may_hold(OrderKey(1)) && !beyond.may_hold(OrderKey(3)) && !beyond.may_hold(OrderKey(7)));
        assert_eq!(read(&mut beyond, &rows, &[1, 2], 9), None, "only they may have more");
        let left = [(1, 12)];
        assert_eq!(read(&mut beyond, &left, &[], 9), Some(vec![]), "behind the place where the circle stands");
        assert_eq!(read(&mut beyond, &left, &[], 9), Some(vec![1; 8]));
        assert_eq!(read(&mut beyond, &[], &[], 9), Some(vec![]));
        assert_eq!(read(&mut beyond, &[], &[], 9), Some(vec![]));
        assert!(beyond.is_nothing());
    }

    #[test]
    fn what_is_left_out_may_have_rows_and_what_comes_anew_need_not_wait_for_it() {
        let mut beyond = Beyond::everything();
        assert_eq!(read(&mut beyond, &[(1, 3), (5, 3)], &[5], 9), Some(vec![1, 1, 1]));
        assert!(beyond.may_hold(OrderKey(5)) && !beyond.may_hold(OrderKey(1)) && !beyond.may_hold(OrderKey(6)));
        beyond.add(OrderKey(6));
        assert_eq!(read(&mut beyond, &[(5, 3), (6, 1)], &[5], 9), Some(vec![6]));
    }

    #[test]
    fn more_keys_than_are_remembered_are_any() {
        let mut beyond = Beyond::default();
        for key in 0..5_000 {
            beyond.add(OrderKey(key));
        }
        assert!(beyond.may_hold(OrderKey(-1)) && beyond.keys.len() <= KEYS);
        assert!(beyond.next(Ordering::Space, &BTreeSet::new()).is_some());
        beyond.clear();
        assert!(beyond.is_nothing());
    }
}
