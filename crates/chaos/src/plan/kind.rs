//! The kinds of fault.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What the network between a role and a service does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Network {
    /// Connections end, and new ones are refused.
    Cut,
    /// Everything comes late.
    Delay,
    /// Connections stand, and what is sent over them is swallowed.
    Hole,
}

/// A service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Service {
    /// RabbitMQ, all its nodes.
    Rabbit,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// `kill -9` of an ingest.
    KillIngest,
    /// SIGSTOP of an ingest, and SIGCONT later.
    FreezeIngest,
    /// `kill -9` of a dispatcher.
    KillDispatcher,
    /// SIGSTOP of a dispatcher, mostly for longer than a lease, and SIGCONT later.
    FreezeDispatcher,
    /// `kill -9` of a node of RabbitMQ, and its start.
    KillBrokerNode,
    /// All nodes of RabbitMQ are stopped in order and started.
    RestartBroker,
    /// An operator closes the channels of consumers.
    CloseChannels,
    /// An operator closes all connections of a node.
    CloseConnections,
    /// The queues get other leaders.
    MoveLeaders,
    /// The network between a role and a service.
    Link(Network, Service),
    /// FLUSHALL.
    FlushRedis,
    /// Redis is killed and comes back empty.
    RestartRedis,
    /// Redis fails over to a replica that had been cut off for a while.
    FailOverRedis,
    /// PostgreSQL is stopped and started.
    RestartPostgres,
    /// PostgreSQL is stopped for up to 30 s.
    StopPostgres,
    /// PostgreSQL gives no new connection, and ends some of those it has.
    ExhaustPostgres,
    /// The disk of PostgreSQL is full.
    FillDisk,
    /// All processes are restarted in order, one after the other.
    RollingRestart,
    /// A dispatcher more, and then one less: partitions move.
    MovePartitions,
}

const LINKS: [Network; 3] = [Network::Cut, Network::Delay, Network::Hole];
const SERVICES: [Service; 3] = [Service::Rabbit, Service::Redis, Service::Postgres];

impl Kind {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::KillIngest,
            Self::FreezeIngest,
            Self::KillDispatcher,
            Self::FreezeDispatcher,
            Self::KillBrokerNode,
            Self::RestartBroker,
            Self::CloseChannels,
            Self::CloseConnections,
            Self::MoveLeaders,
            Self::FlushRedis,
            Self::RestartRedis,
            Self::FailOverRedis,
            Self::RestartPostgres,
            Self::StopPostgres,
            Self::ExhaustPostgres,
            Self::FillDisk,
            Self::RollingRestart,
            Self::MovePartitions,
        ];
        all.extend(LINKS.iter().flat_map(|network| SERVICES.map(|service| Self::Link(*network, service))));
        all
    }

    /// How long it stays, in milliseconds: at least and at most. What mends itself stays no longer than that takes.
    pub(super) fn lasts(self) -> (u64, u64) {
        match self {
            Self::FreezeIngest => (1_000, 6_000),
            Self::FreezeDispatcher => (1_000, 9_000),
            Self::KillIngest | Self::KillDispatcher => (0, 4_000),
            Self::KillBrokerNode => (2_000, 8_000),
            Self::RestartBroker => (0, 3_000),
            Self::Link(Network::Delay, _) => (4_000, 10_000),
            Self::Link(..) => (2_000, 14_000),
            Self::RestartRedis => (0, 5_000),
            Self::FailOverRedis => (1_000, 4_000),
            Self::StopPostgres => (5_000, 30_000),
            Self::ExhaustPostgres | Self::FillDisk => (4_000, 10_000),
            Self::CloseChannels
            | Self::CloseConnections
            | Self::MoveLeaders
            | Self::FlushRedis
            | Self::RestartPostgres
            | Self::RollingRestart
            | Self::MovePartitions => (0, 0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::KillIngest => "kill-ingest",
            Self::FreezeIngest => "freeze-ingest",
            Self::KillDispatcher => "kill-dispatcher",
            Self::FreezeDispatcher => "freeze-dispatcher",
            Self::KillBrokerNode => "kill-broker-node",
            Self::RestartBroker => "restart-broker",
            Self::CloseChannels => "close-channels",
            Self::CloseConnections => "close-connections",
            Self::MoveLeaders => "move-leaders",
            Self::Link(Network::Cut, Service::Rabbit) => "cut-rabbit",
            Self::Link(Network::Cut, Service::Redis) => "cut-redis",
            Self::Link(Network::Cut, Service::Postgres) => "cut-postgres",
            Self::Link(Network::Delay, Service::Rabbit) => "delay-rabbit",
            Self::Link(Network::Delay, Service::Redis) => "delay-redis",
            Self::Link(Network::Delay, Service::Postgres) => "delay-postgres",
            Self::Link(Network::Hole, Service::Rabbit) => "half-open-rabbit",
            Self::Link(Network::Hole, Service::Redis) => "half-open-redis",
            Self::Link(Network::Hole, Service::Postgres) => "half-open-postgres",
            Self::FlushRedis => "flush-redis",
            Self::RestartRedis => "restart-redis",
            Self::FailOverRedis => "fail-over-redis",
            Self::RestartPostgres => "restart-postgres",
            Self::StopPostgres => "stop-postgres",
            Self::ExhaustPostgres => "exhaust-postgres",
            Self::FillDisk => "fill-disk",
            Self::RollingRestart => "rolling-restart",
            Self::MovePartitions => "move-partitions",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::all().into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::all().into_iter().map(Self::name).collect();
            format!("there is no fault `{name}`; there are {}", names.join(", "))
        })
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
