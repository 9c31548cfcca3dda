//! The services of the cluster, modelled: what each promises, and what it loses.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `rabbit` | queues with one active consumer, channels, acknowledgements |
//! | `redis` | leases, epochs, marks, records, copies of versions, news |
//! | `postgres` | projects, webhooks, and what rests |

pub(super) mod postgres;
pub(super) mod rabbit;
pub(super) mod redis;

use postgres::Postgres;
use rabbit::Rabbit;
use redis::Redis;

/// One of the services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Service {
    Rabbit,
    Redis,
    Postgres,
}

/// All of them.
#[derive(Default)]
pub(super) struct Services {
    pub(super) rabbit: Rabbit,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
}
