//! The whole schedule of a run, from its seed alone: who posts when and what, how each URL behaves, which changes are
//! made, which faults strike when. What the machine makes of it differs from run to run; what is asked of it does not.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `temper` | how a URL behaves |
//! | `kind` | the kinds of fault |
//! | `tests` | a seed replays |

mod kind;
mod temper;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use crate::dice::Dice;
use crate::history::{At, ProjectNo};
pub use kind::{Kind, Network, Service};
pub use temper::{Answer, Temper};

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    /// The seed.
    pub seed: u64,
    /// How long load and faults last, in seconds: 5 to 14,400.
    pub seconds: u64,
    /// Projects: 1 to 1,000.
    pub projects: u32,
    /// Events a second over all projects: 1 to 500.
    pub rate: u64,
    /// Which faults there may be; none is a run without faults.
    pub kinds: Vec<Kind>,
}

/// A change of webhooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Deed {
    /// Registers one more URL.
    Register,
    /// Deletes one.
    Delete,
    /// Rotates a secret, with an overlap in seconds.
    Rotate(u64),
    /// Disables a webhook for so many seconds.
    Pause(u64),
    /// Changes a webhook's URL.
    Move,
    /// Starts a replay of all that is in the archive.
    ReplayAll,
    /// Starts a replay of the dead letters.
    ReplayDead,
}

/// A deed, and to whom it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// When.
    pub at: At,
    /// Whose webhook.
    pub project: ProjectNo,
    /// Which of the project's webhooks, counted round.
    pub pick: u64,
    /// What.
    pub deed: Deed,
}

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Strike {
    /// When.
    pub at: At,
    /// What.
    pub kind: Kind,
    /// Which of its possible targets, counted round.
    pub pick: u64,
    /// How long it stays, in milliseconds, where it stays.
    pub lasts: u64,
}

/// Faults come in turns: one or two at once, then a pause in which the system mends itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Turn {
    /// One or two faults; the second begins while the first lasts.
    pub strikes: Vec<Strike>,
}

/// The plan.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What was asked for.
    pub setup: Setup,
    /// Each project's URLs: 1 to 4.
    pub urls: Vec<Vec<Temper>>,
    /// Changes, by time.
    pub changes: Vec<Change>,
    /// Faults, by time.
    pub turns: Vec<Turn>,
}

/// No fault strikes in the first seconds, so that there is something to break.
const FIRST: u64 = 5_000;
/// From one turn to the next, in milliseconds, at least and at most.
const BETWEEN: (u64, u64) = (9_000, 16_000);

impl Plan {
    /// The plan of a seed.
    pub fn of(setup: Setup) -> Self {
        let mut dice = Dice::new(setup.seed, 1);
        let urls = (0..setup.projects).map(|_| {
            let count = dice.range(1, 4);
            (0..count).map(|_| Temper::draw(&mut dice)).collect()
        });
        let urls = urls.collect();
        Self { changes: changes(&setup), turns: turns(&setup), urls, setup }
    }

    /// Who posts at a tick; there are `rate` of them a second.
    pub fn poster(&self, tick: u64) -> ProjectNo {
        let project = Dice::new(self.setup.seed, 1_000_000 + tick).range(0, u64::from(self.setup.projects) - 1);
        ProjectNo(u32::try_from(project).unwrap_or(0))
    }

    /// The body of a post: no two are the same, and each has something that a parser and a printer would change.
    pub fn body(&self, project: ProjectNo, number: u32) -> Arc<[u8]> {
        let mut dice =
            Dice::new(self.setup.seed, 2_000_000_000 + u64::from(project.0) * 10_000_000 + u64::from(number));
        let (project, space) = (project.0, ["", " ", "  ", "\t", "\n "]);
        let odd = ["1.0e2", "-0", "12345678901234567890123", "0.10", "1E+2"];
        let text = ["Hello", "\\u0048i", "caf\\u00e9", "caf\u{e9}", "\\/slash", "\\ud83d\\ude00", "\u{1f600}"];
        let filler = "x".repeat(usize::try_from(dice.range(0, 40) * dice.range(0, 40)).unwrap_or(0));
        let body = format!(
            "{{{a}\"event\":{b}\"messages\",\"odd\":{odd},\"space\":{{\"id\":\"s-{project}\",\"platform\":\"imessage\"}},\
             {c}\"message\":{{\"id\":\"p{project}-n{number}\",\"platform\":\"imessage\",\"direction\":\"inbound\",\
             \"space\":{{\"id\":\"s-{project}\"}},\"content\":{{\"type\":\"text\",\"text\":\"{text}{filler}\"}},\
             \"odd\":1,\"odd\":{odd}}}}}{a}",
            a = dice.pick(&space),
            b = dice.pick(&space),
            c = dice.pick(&space),
            odd = dice.pick(&odd),
            text = dice.pick(&text),
        );
        body.into_bytes().into()
    }
}

fn changes(setup: &Setup) -> Vec<Change> {
    let mut dice = Dice::new(setup.seed, 2);
    let mut changes = Vec::new();
    let mut millis = 2_000;
    // What is changed at the very end has nothing to show.
    while millis + 3_000 < setup.seconds * 1_000 {
        let deed = match dice.range(0, 22) {
            0..=5 => Deed::Register,
            6..=9 => Deed::Delete,
            10..=13 => Deed::Rotate(dice.pick(&[0, 5, 30, 86_400])),
            14..=17 => Deed::Pause(dice.range(2, 12)),
            18..=20 => Deed::Move,
            21 => Deed::ReplayAll,
            _ => Deed::ReplayDead,
        };
        let project = ProjectNo(u32::try_from(dice.range(0, u64::from(setup.projects) - 1)).unwrap_or(0));
        changes.push(Change { at: At::millis(millis), project, pick: dice.draw() >> 16, deed });
        millis += dice.range(400, 1_600);
    }
    changes
}

fn turns(setup: &Setup) -> Vec<Turn> {
    let mut dice = Dice::new(setup.seed, 3);
    let mut turns = Vec::new();
    let mut millis = FIRST;
    // Every kind comes before one comes again.
    let mut deck: Vec<Kind> = Vec::new();
    while !setup.kinds.is_empty() && millis + 5_000 < setup.seconds * 1_000 {
        let strikes = if setup.kinds.len() > 1 && dice.percent(40) { 2 } else { 1 };
        let mut at = At::millis(millis);
        let mut turn = Turn { strikes: Vec::new() };
        for _ in 0..strikes {
            if deck.is_empty() {
                deck.clone_from(&setup.kinds);
            }
            let place = usize::try_from(dice.range(0, deck.len() as u64 - 1)).unwrap_or(0);
            let kind = deck.swap_remove(place);
            let (low, high) = kind.lasts();
            turn.strikes.push(Strike { at, kind, pick: dice.draw() >> 16, lasts: dice.range(low, high) });
            at = at.plus(dice.range(100_000, 2_500_000));
        }
        let longest = turn.strikes.iter().map(|strike| strike.lasts).max().unwrap_or(0);
        turns.push(turn);
        millis += longest + dice.range(BETWEEN.0, BETWEEN.1);
    }
    turns
}
