//! What a lane does, shown by feeding it.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `model_store` | what a lane writes and reads, in memory |
//! | `bench` | a lane, its store, and a hand to feed it with |
//! | `order` | one at a time, in order; retries; stale names |
//! | `holding` | the backlog: when it is written, when it is read |
//! | `outages` | poison or down |
//! | `disabled` | disabled, enabled again, deleted, expired |
//! | `steering` | what people want of it |
//! | `ordering` | webhooks whose events do not all wait for one another |
//! | `histories` | random histories |

mod bench;
mod disabled;
mod histories;
mod holding;
mod model_store;
mod order;
mod ordering;
mod outages;
mod steering;
