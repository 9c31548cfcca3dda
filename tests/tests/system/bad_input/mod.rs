//! Input that is refused leaves nothing behind; input that is merely odd arrives to the byte; clients that misbehave
//! harm nobody.

mod clients;
mod events;
mod registrations;
