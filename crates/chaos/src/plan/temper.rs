//! How a URL behaves.

use std::time::Duration;

use serde::Serialize;

use crate::dice::Dice;
use crate::history::At;

/// The temper of a URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Temper {
    /// Takes everything at once.
    Healthy,
    /// Fails a third of its attempts; a few events it always fails, and a few it refuses for good.
    Fails,
    /// Gives no answer to a tenth.
    Hangs,
    /// Is down for some seconds, then up for some.
    Flaps,
    /// Resets the connection after a fifth of the requests.
    Resets,
    /// Takes its time.
    Slow,
    /// Announces more of a body than it sends, or less.
    Lies,
    /// Sends its answer's body byte by byte.
    Drips,
    /// Closes the connection before it has read the body of a fifth.
    Closes,
    /// Says of one in fifteen events that it is gone for good: its webhook is disabled, and someone enables it again.
    Gone,
}

/// What a receiver does with one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This status, after a while.
    Status(u16, Duration),
    /// Nothing until the other side gives up.
    Hang,
    /// A reset.
    Reset,
    /// The connection is closed before the body is read.
    Close,
    /// `200`, and more or less of a body than announced.
    Lie(bool),
    /// `200`, and a body of so many bytes, one at a time.
    Drip(u32),
}

impl Temper {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Healthy,
        Self::Fails,
        Self::Hangs,
        Self::Flaps,
        Self::Resets,
        Self::Slow,
        Self::Lies,
        Self::Drips,
        Self::Closes,
        Self::Gone,
    ];

    /// More than half are healthy.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        if dice.percent(55) { Self::Healthy } else { dice.pick(&Self::ALL) }
    }

    /// Its name, which is the last part of its URL's path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Fails => "fails",
            Self::Hangs => "hangs",
            Self::Flaps => "flaps",
            Self::Resets => "resets",
            Self::Slow => "slow",
            Self::Lies => "lies",
            Self::Drips => "drips",
            Self::Closes => "closes",
            Self::Gone => "gone",
        }
    }

    /// The temper of a path.
    pub fn of_path(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        Self::ALL.into_iter().find(|temper| temper.name() == name).unwrap_or(Self::Healthy)
    }

    /// What it does: `event` is the same in each attempt of an event, `attempt` is not. When all is to be well, it takes
    /// everything but what it refuses for good.
    pub fn answer(self, now: At, event: u64, attempt: u64, well: bool) -> Answer {
        let mut dice = Dice::new(event, attempt);
        let ok = Answer::Status(200, Duration::ZERO);
        if self == Self::Fails && event % 40 == 1 {
            return Answer::Status(422, Duration::ZERO);
        }
        if well {
            return ok;
        }
        match self {
            Self::Fails if event.is_multiple_of(40) || dice.percent(30) => {
                Answer::Status(dice.pick(&[500, 502, 503, 429, 408]), Duration::ZERO)
            }
            Self::Hangs if dice.percent(10) => Answer::Hang,
            Self::Flaps if (now.0 / 6_000_000) % 2 == 1 => Answer::Status(503, Duration::ZERO),
            Self::Resets if dice.percent(20) => Answer::Reset,
            Self::Slow => Answer::Status(200, Duration::from_millis(dice.range(50, 400))),
            Self::Lies => Answer::Lie(dice.percent(50)),
            Self::Drips => Answer::Drip(u32::try_from(dice.range(1, 40)).unwrap_or(1)),
            Self::Closes if dice.percent(20) => Answer::Close,
            Self::Gone if event % 15 == 1 => Answer::Status(410, Duration::ZERO),
            _ => ok,
        }
    }
}
