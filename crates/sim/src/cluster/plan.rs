//! What a seed stands for. Leases are short, and faults many, so that takeovers happen often.

use spectrum_webhook_core::partition::PartitionSettings;

use crate::checker::{Calm, Checker};
use crate::dice::Dice;
use crate::endpoint::Character;
use crate::plan::{Limits, settings};

/// A whole history in short.
pub(super) struct Plan {
    pub(super) seed: u64,
    /// The chance of everything that is not planned ahead.
    pub(super) dice: Dice,
    pub(super) partitions: u16,
    pub(super) dispatchers: u64,
    /// The webhooks of each project: what their endpoints are like.
    pub(super) projects: Vec<Vec<Character>>,
    pub(super) events: u64,
    /// The last planned event is posted about then, in milliseconds.
    pub(super) span: u64,
    /// Changes of webhooks by people.
    pub(super) changes: u64,
    pub(super) settings: PartitionSettings,
    pub(super) limits: Limits,
    pub(super) timing: Timing,
    /// Calls of a thousand that are lost before they take effect, and whose answer is lost.
    pub(super) flaky: (u64, u64),
    /// Posts that a client repeats for no reason, of a thousand.
    pub(super) repeats: u64,
    /// Milliseconds by which a process's wall clock may be wrong.
    pub(super) skew: u64,
    pub(super) faults: Vec<Fault>,
}

/// Times around a lease, in milliseconds, in the relations of the defaults.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) lease: u64,
    /// When a holder that has not renewed it stops.
    pub(super) hold: u64,
    pub(super) renew: u64,
    /// How often a process looks for its share.
    pub(super) tick: u64,
    /// How long a call of Redis may take.
    pub(super) patience: u64,
    /// How long the broker keeps what a process has that it does not hear of.
    pub(super) heartbeat: u64,
}

/// One fault.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) when: When,
    pub(super) kind: Kind,
}

/// When a fault comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    At(u64),
    /// So many milliseconds after the lease of a takeover was granted, the n-th of the run.
    AfterLease {
        nth: u64,
        wait: u64,
    },
    /// Right after a renewal was sent, the n-th of the run.
    AfterRenewal {
        nth: u64,
        wait: u64,
    },
}

/// What a fault is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A dispatcher ends without warning.
    Kill,
    /// A dispatcher stands still for so long.
    Freeze(u64),
    /// A dispatcher stands still for so long with its clock: its machine was paused.
    Pause(u64),
    /// A dispatcher is stopped in good order, and another one started.
    Stop,
    /// A channel is lost; its owner hears of it so much later.
    LoseChannel(u64),
    /// Redis forgets everything.
    Flush,
    /// The replica, which has not followed for so long, becomes the master.
    FailOver(u64),
    /// Redis's clock jumps.
    Jump(i64),
    /// A service cannot be reached for so long, by one dispatcher or by all.
    Cut { service: usize, all: bool, lasts: u64 },
    /// The store takes so much longer, for so long.
    Slow { by: u64, lasts: u64 },
    /// Ingest ends without warning.
    KillIngest,
    /// Who was just granted a lease does not reach Redis, which forgets the lease, while the store is slow; and whoever
    /// takes the partition over meanwhile fails.
    Eclipse,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x00c1_0573);
        let partitions = u16::try_from(dice.range(1, 3)).unwrap_or(1);
        let mut projects = vec![Vec::new(); usize::try_from(dice.range(1, 2)).unwrap_or(1)];
        let span = dice.range(3_000, 30_000);
        for _ in 0..dice.range(1, 3) {
            let at = usize::try_from(dice.range(0, projects.len() as u64 - 1)).unwrap_or(0);
            projects[at].push(Character::of(&mut dice, span));
        }
        let (settings, limits) = settings(&mut dice);
        let lease = dice.range(1_500, 6_000);
        let timing = Timing {
            lease,
            hold: lease * 4 / 5,
            renew: lease / 3,
            tick: (lease / 8).max(200),
            patience: (lease / 4).max(400),
            heartbeat: lease * 2,
        };
        let faults = faults(&mut dice, span, lease);
        let quiet = faults.iter().all(|fault| matches!(fault.kind, Kind::Stop));
        let flaky = if dice.per_mille(500) && !quiet { (dice.range(0, 40), dice.range(0, 40)) } else { (0, 0) };
        Self {
            seed,
            partitions,
            dispatchers: dice.range(2, 3),
            projects,
            events: dice.range(10, 40),
            span,
            changes: if dice.per_mille(500) { dice.range(1, 5) } else { 0 },
            settings,
            limits,
            timing,
            flaky,
            repeats: if dice.per_mille(500) { dice.range(0, 200) } else { 0 },
            skew: if dice.per_mille(300) { dice.range(0, 1_500) } else { 0 },
            faults,
            dice: dice.fork(),
        }
    }

    /// The judge of such a history.
    pub(super) fn checker(&self) -> Checker {
        Checker::new(self.limits, if self.is_quiet() { Calm::Orderly } else { Calm::No })
    }

    /// Whether nothing goes wrong but endpoints: processes that stop in good order are no fault.
    pub(super) fn is_quiet(&self) -> bool {
        self.flaky == (0, 0) && self.faults.iter().all(|fault| matches!(fault.kind, Kind::Stop))
    }
}

/// In milliseconds.
const HOUR: i64 = 3_600_000;

fn faults(dice: &mut Dice, span: u64, lease: u64) -> Vec<Fault> {
    if dice.per_mille(100) {
        return (0..dice.range(0, 2))
            .map(|_| Fault { when: When::At(dice.range(0, span)), kind: Kind::Stop })
            .collect();
    }
    let mut faults = Vec::new();
    if dice.per_mille(100) {
        faults.push(Fault { when: When::AfterLease { nth: dice.range(1, 6), wait: 0 }, kind: Kind::Eclipse });
    }
    for _ in 0..dice.range(1, 4) {
        let when = match dice.range(0, 9) {
            0 | 1 => When::AfterLease { nth: dice.range(1, 8), wait: dice.range(0, lease) },
            2 => When::AfterRenewal { nth: dice.range(1, 30), wait: dice.range(0, 5) },
            _ => When::At(dice.range(0, span)),
        };
        faults.push(Fault { when, kind: kind(dice, lease) });
        // Faults love company.
        if dice.per_mille(500) {
            let wait = dice.range(0, lease);
            let when = match when {
                When::At(at) => When::At(at + wait),
                When::AfterLease { nth, .. } => When::AfterLease { nth, wait },
                When::AfterRenewal { nth, .. } => When::AfterRenewal { nth, wait },
            };
            faults.push(Fault { when, kind: kind(dice, lease) });
        }
    }
    faults
}

fn kind(dice: &mut Dice, lease: u64) -> Kind {
    let lasts = dice.range(100, lease * 3);
    match dice.range(0, 16) {
        0 | 1 => Kind::Kill,
        2 | 3 => Kind::Freeze(lasts),
        4 => Kind::Stop,
        5 | 6 => Kind::LoseChannel(if dice.per_mille(500) { dice.range(0, 50) } else { dice.range(0, lease * 2) }),
        7 | 8 => Kind::Flush,
        9 => Kind::FailOver(dice.range(100, 4_000)),
        10 => Kind::Jump(dice.pick(&[HOUR, -HOUR, -1_000 * HOUR])),
        11 | 12 => Kind::Cut { service: usize::try_from(dice.range(0, 2)).unwrap_or(0), all: false, lasts },
        13 => Kind::Cut { service: usize::try_from(dice.range(0, 2)).unwrap_or(0), all: true, lasts },
        14 => Kind::Pause(lasts),
        15 => Kind::Slow { by: dice.range(100, lease * 2), lasts },
        _ => Kind::KillIngest,
    }
}
