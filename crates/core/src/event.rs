//! What ingest checks of an event's bytes, without rebuilding them.

/// What was found in the bytes of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The top-level `event`: 1 to 64 visible ASCII characters.
    pub event_type: String,
    /// `message.id`, if there is one that is a string.
    pub message_id: Option<String>,
}
