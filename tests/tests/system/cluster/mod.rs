//! The cluster: several processes over RabbitMQ, Redis and PostgreSQL, under load, through every fault that one of them
//! can have. After each, every accepted event arrived at every URL, first arrivals in order, signatures valid.

mod keys;
mod refusals;
mod services;
mod sharing;
pub(crate) mod stage;
mod upgrades;

pub(crate) use stage::settings;
