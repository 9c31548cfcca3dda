//! Which event a request is, and which requests a webhook got.

use std::collections::{HashMap, HashSet};

use crate::history::{Arrival, EventId, History, Post, ProjectNo, Webhook, WebhookId};

/// What a request is, by its event's id and its body.
#[derive(Clone, Copy)]
pub(super) enum Known<'h> {
    /// The event of a `202`.
    Event(&'h Post),
    /// Another event of the same post: one whose answer was lost.
    Copy,
    /// Nothing that was posted.
    Unknown,
}

pub(super) struct Index<'h> {
    pub(super) events: HashMap<&'h EventId, &'h Post>,
    bodies: HashMap<&'h [u8], &'h Post>,
    pub(super) webhooks: HashMap<&'h WebhookId, &'h Webhook>,
    pub(super) uncertain: HashSet<&'h str>,
    /// Requests by webhook, in the order in which they began.
    pub(super) arrivals: HashMap<&'h WebhookId, Vec<&'h Arrival>>,
    /// Posts with a `202` by project, in their order.
    pub(super) posts: HashMap<ProjectNo, Vec<&'h Post>>,
}

impl<'h> Index<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut arrivals: HashMap<&WebhookId, Vec<&Arrival>> = HashMap::new();
        for arrival in &history.arrivals {
            arrivals.entry(&arrival.webhook).or_default().push(arrival);
        }
        for requests in arrivals.values_mut() {
            requests.sort_by_key(|arrival| arrival.begun);
        }
        let mut posts: HashMap<ProjectNo, Vec<&Post>> = HashMap::new();
        for post in history.posts.iter().filter(|post| post.id.is_some()) {
            posts.entry(post.project).or_default().push(post);
        }
        Self {
            events: history.posts.iter().filter_map(|post| Some((post.id.as_ref()?, post))).collect(),
            bodies: history.posts.iter().map(|post| (&*post.body, post)).collect(),
            webhooks: history.webhooks.iter().map(|webhook| (&webhook.id, webhook)).collect(),
            uncertain: history.uncertain.iter().map(|path| &**path).collect(),
            arrivals,
            posts,
        }
    }

    pub(super) fn known(&self, arrival: &Arrival) -> Known<'h> {
        if let Some(post) = self.events.get(&arrival.event) {
            return Known::Event(post);
        }
        // Without its body, what an unknown event is cannot be told.
        let Some(body) = &arrival.body else { return Known::Copy };
        match self.bodies.get(&**body) {
            Some(post) if post.repeats > 0 || post.id.is_none() => Known::Copy,
            _ => Known::Unknown,
        }
    }

    /// The requests of a webhook.
    pub(super) fn requests(&self, webhook: &WebhookId) -> &[&'h Arrival] {
        self.arrivals.get(webhook).map_or(&[], Vec::as_slice)
    }
}
