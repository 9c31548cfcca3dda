//! What a fault may make come twice: the deliveries that it found taken, and not settled for good.
//!
//! A delivery is settled once its mark or its row is written, moments after it was taken. It is made again only if its
//! owner ends before that. So the reach of a fault goes back by an attempt and what settles it, and forward for as long
//! as owners may end by it:
//!
//! | fault | how long owners may end by it |
//! | --- | --- |
//! | of an ingest, or of a way from one; an orderly stop | none does |
//! | of PostgreSQL, or of a way to it | none does: its writes are tried until they succeed |
//! | a dispatcher killed | it does at once |
//! | a dispatcher frozen | until it thaws: then it learns that it is none any more |
//! | a way to Redis | until the lease is over, for it is not renewed |
//! | Redis itself | until it is back, and the lease over that it does not know |
//! | RabbitMQ, or a way to it | until it is back: channels end, and attempts with them |
//!
//! A fault ends an owner once, but for a restart of RabbitMQ: its nodes stop one after the other, and whoever moves to
//! the next one loses that too.
//!
//! Redis takes the marks with it: of an event that is not acknowledged because one of its webhooks is not done, the others
//! come again. And while PostgreSQL is away rows wait to be written, so that others reach back to when it went.

use super::Bounds;
use crate::history::{At, Fault, History};
use crate::nemesis;
use crate::plan::{Kind, Service};

/// What a fault strikes, as far as repeats go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strikes {
    /// Nothing by which an owner ends.
    NoOwner,
    /// The rows, and no owner.
    Rows,
    /// An owner, at once.
    Owner,
    /// Leases that one process cannot renew.
    Renewals,
    /// What Redis knows.
    Leases,
    /// Whatever lasts until it is mended.
    Lasting,
}

fn strikes(fault: &Fault) -> Strikes {
    let Ok(kind) = fault.kind.parse::<Kind>() else { return Strikes::Lasting };
    match kind {
        _ if fault.clean => Strikes::NoOwner,
        Kind::KillIngest | Kind::FreezeIngest => Strikes::NoOwner,
        Kind::Link(..) if fault.target.starts_with("ingest") => Strikes::NoOwner,
        Kind::RestartPostgres | Kind::StopPostgres | Kind::ExhaustPostgres | Kind::FillDisk => Strikes::Rows,
        Kind::Link(_, Service::Postgres) => Strikes::Rows,
        Kind::KillDispatcher => Strikes::Owner,
        Kind::Link(_, Service::Redis) => Strikes::Renewals,
        Kind::FlushRedis | Kind::RestartRedis | Kind::FailOverRedis => Strikes::Leases,
        _ => Strikes::Lasting,
    }
}

/// The times at which what was taken may come again by a fault; `None` when nothing does.
fn reach(history: &History, bounds: &Bounds, fault: &Fault) -> Option<(At, At)> {
    let until = match strikes(fault) {
        _ if fault.clean => return None,
        Strikes::NoOwner | Strikes::Rows => return None,
        Strikes::Owner => fault.begun,
        Strikes::Renewals => fault.begun.plus(bounds.lease),
        Strikes::Leases => fault.ended.plus(bounds.lease),
        Strikes::Lasting => fault.ended,
    };
    let until = until.plus(bounds.after);
    let back = if strikes(fault) == Strikes::Leases { bounds.marks } else { bounds.before };
    let from = fault.begun.minus(back);
    let away = history.faults.iter().filter(|other| strikes(other) == Strikes::Rows);
    let waited = away.filter(|away| away.begun <= until && away.ended.plus(bounds.rows) >= from);
    let from = waited.map(|away| away.begun.minus(bounds.before)).fold(from, At::min);
    Some((from, until))
}

/// How often a fault may end the owner of one partition.
fn blows(fault: &Fault) -> usize {
    match fault.kind.parse() {
        Ok(Kind::RestartBroker) => nemesis::BROKER_NODES,
        _ => 1,
    }
}

/// How often owners may have ended by faults that have something to do with what was taken between two moments.
pub(super) fn blows_over(history: &History, bounds: &Bounds, from: At, until: At) -> usize {
    let over =
        |fault: &&Fault| reach(history, bounds, fault).is_some_and(|(begins, ends)| begins <= until && ends >= from);
    history.faults.iter().filter(over).map(blows).sum()
}

/// Whether Redis may have forgotten between two moments which events it knows, or not have been told.
pub(super) fn forgot(history: &History, from: At, until: At) -> bool {
    let redis = |fault: &&Fault| {
        matches!(
            fault.kind.parse(),
            Ok(Kind::FlushRedis | Kind::RestartRedis | Kind::FailOverRedis | Kind::Link(_, Service::Redis))
        )
    };
    history.faults.iter().filter(redis).any(|fault| fault.begun <= until && fault.ended >= from)
}
