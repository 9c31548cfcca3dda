//! Receivers with a character.

use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_core::ids::EventId;

use crate::dice::Dice;

/// What an endpoint is like, until it heals.
#[derive(Clone, Debug)]
pub enum Character {
    /// It answers 200, quickly.
    Healthy,
    /// It answers 200, slowly.
    Slow,
    /// It fails the first so many attempts of each event.
    FailsFirst(u64),
    /// It fails about one attempt in so many.
    Flaky(u64),
    /// It cannot take one event in so many, whatever is tried.
    Poison(u64),
    /// It is down for a while: refuses connections, or answers 503.
    Down {
        /// From, in milliseconds.
        from: u64,
        /// Until.
        until: u64,
        /// Nothing is sent.
        refuses: bool,
    },
    /// It hangs for a while.
    Hangs {
        /// From, in milliseconds.
        from: u64,
        /// Until.
        until: u64,
    },
    /// It refuses one event in so many for good, with this status.
    Refuses(u64, u16),
    /// It answers 410 to one event in so many.
    Gone(u64),
    /// It is busy now and then, and says for how long.
    Busy,
    /// It takes the event, and about one answer in three is lost.
    LosesAnswers,
    /// Its host does not exist for a while.
    NotFound {
        /// From, in milliseconds.
        from: u64,
        /// Until.
        until: u64,
    },
}

impl Character {
    /// One by chance.
    pub fn of(dice: &mut Dice, span: u64) -> Self {
        let from = dice.range(0, span);
        let until = from + dice.range(500, 30_000);
        match dice.range(0, 13) {
            0 | 1 => Self::Healthy,
            2 => Self::Slow,
            3 => Self::FailsFirst(dice.range(1, 3)),
            4 => Self::Flaky(dice.range(2, 5)),
            5 => Self::Poison(dice.range(3, 12)),
            6 | 7 => Self::Down { from, until, refuses: dice.per_mille(500) },
            8 => Self::Hangs { from, until },
            9 => Self::Refuses(dice.range(3, 12), dice.pick(&[400, 404, 301, 422])),
            10 => Self::Gone(dice.range(10, 40)),
            11 => Self::Busy,
            12 => Self::LosesAnswers,
            _ => Self::NotFound { from, until: from + dice.range(100, 2_000) },
        }
    }
}

/// What an endpoint does with one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// The request arrives.
    pub arrives: bool,
    /// The endpoint takes the event, whatever is heard of it.
    pub takes: bool,
    /// How long until the sender knows, in milliseconds.
    pub takes_ms: u64,
    /// What the sender hears.
    pub ended: Ended,
}

/// How long an attempt may take, in milliseconds.
pub const ATTEMPT_TIMEOUT: u64 = 3_000;

/// A receiver.
#[derive(Debug)]
pub struct Endpoint {
    /// What it is like.
    pub character: Character,
    dice: Dice,
}

impl Endpoint {
    /// One with a chance of its own.
    pub fn new(character: Character, dice: Dice) -> Self {
        Self { character, dice }
    }

    /// From here on it answers 200; but an endpoint that poison breaks is mended later.
    pub fn heal(&mut self, poison_too: bool) {
        if poison_too || !matches!(self.character, Character::Poison(_)) {
            self.character = Character::Healthy;
        }
    }

    /// Answers an attempt, the `tried`-th (from 0) that arrives for this event.
    pub fn answer(&mut self, now: u64, event: EventId, tried: u64) -> Reply {
        let latency = self.dice.latency().min(ATTEMPT_TIMEOUT);
        let chosen = |every: u64| event.0.as_u128().is_multiple_of(u128::from(every.max(1)));
        match self.character {
            Character::Healthy => taken(latency),
            Character::Slow => taken(self.dice.range(200, 1_500)),
            Character::FailsFirst(attempts) if tried < attempts => answered(latency, 500, None),
            Character::Flaky(every) if self.dice.range(1, every) == 1 => {
                let status = self.dice.pick(&[500, 502, 503, 408]);
                answered(latency, status, None)
            }
            Character::Poison(every) if chosen(every) => match self.dice.range(0, 3) {
                0 => failed(latency, Failure::Reset),
                1 => failed(ATTEMPT_TIMEOUT, Failure::Timeout),
                _ => answered(latency, 500, None),
            },
            Character::Down { from, until, refuses } if (from..until).contains(&now) => {
                if refuses {
                    failed(latency, Failure::Connect)
                } else {
                    answered(latency, 503, None)
                }
            }
            Character::Hangs { from, until } if (from..until).contains(&now) => {
                failed(ATTEMPT_TIMEOUT, Failure::Timeout)
            }
            Character::Refuses(every, status) if chosen(every) => answered(latency, status, None),
            Character::Gone(every) if chosen(every) => answered(latency, 410, None),
            Character::Busy if self.dice.per_mille(300) => {
                let wish = self.dice.range(0, 3_000);
                answered(latency, self.dice.pick(&[429, 503]), Some(wish))
            }
            Character::LosesAnswers if self.dice.per_mille(333) => {
                let (takes_ms, failure) =
                    self.dice.pick(&[(latency, Failure::Reset), (ATTEMPT_TIMEOUT, Failure::Timeout)]);
                Reply { takes: true, ..failed(takes_ms, failure) }
            }
            Character::NotFound { from, until } if (from..until).contains(&now) => {
                failed(latency, Failure::NameNotFound)
            }
            _ => taken(latency),
        }
    }
}

fn taken(takes_ms: u64) -> Reply {
    Reply { takes: true, ..answered(takes_ms, 200, None) }
}

fn answered(takes_ms: u64, status: u16, retry_after: Option<u64>) -> Reply {
    Reply { arrives: true, takes: false, takes_ms, ended: Ended::Answered { status, retry_after } }
}

fn failed(takes_ms: u64, failure: Failure) -> Reply {
    Reply { arrives: failure.sent(), takes: false, takes_ms, ended: Ended::Failed(failure) }
}
