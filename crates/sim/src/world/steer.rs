//! People who steer lanes and send dead letters again, as ingest does it. One who was not answered does it anew.

use bytes::Bytes;
use spectrum_webhook_core::delivery::{Command, Directed, Message, Purpose, Steering};
use spectrum_webhook_core::ids::{EventId, WebhookId};
use spectrum_webhook_core::ports::{
    DeadLetters as _, LetterQuery, PortError, Publication, Queue as _, Resending, Steerings as _, Store as _,
};

use super::event::Event;
use super::ports::{Ports, took_effect};
use super::{ProjectSite, World, short};

/// How often somebody who was not answered tries again.
const TRIES: u64 = 5;

impl World {
    /// Somebody does something about a webhook's deliveries.
    pub(super) fn steer(&mut self, tries: u64) {
        let free: Vec<WebhookId> = self.sites.iter().filter(|(_, site)| !site.deleted).map(|(id, _)| *id).collect();
        let (Some(ports), false) = (self.ports(), free.is_empty()) else { return self.steer_later(tries) };
        let webhook = self.dice.pick(&free);
        let done = match self.dice.range(0, 3) {
            0 => self.order(&ports, webhook, Command::Resume),
            1 => self.skip(&ports, webhook),
            2 => self.order(&ports, webhook, Command::Drop(self.clocks().wall)),
            _ => self.send_again(&ports, webhook),
        };
        if done.is_err() {
            self.steer_later(tries);
        }
    }

    fn steer_later(&mut self, tries: u64) {
        if tries < TRIES {
            let wait = self.dice.range(200, 3_000);
            self.later(wait, Event::Steer { tries: tries + 1 });
        }
    }

    fn site_of(&self, webhook: WebhookId) -> Option<&ProjectSite> {
        self.sites.get(&webhook).and_then(|site| self.projects.get(site.project))
    }

    fn skip(&mut self, ports: &Ports, webhook: WebhookId) -> Result<(), PortError> {
        let store = ports.store.clone();
        let first = self.call(async move { store.first_waiting(webhook, None).await })?;
        // Sometimes it is one that waits in memory, or that was delivered long ago.
        let any = self.checker.any_event(self.posted);
        match if self.dice.per_mille(700) { first } else { any } {
            Some(event) => self.order(ports, webhook, Command::Skip(event)),
            None => Ok(()),
        }
    }

    fn order(&mut self, ports: &Ports, webhook: WebhookId, command: Command) -> Result<(), PortError> {
        let id = EventId(self.dice.uuid());
        self.trace(&format!("{} {:?}: {}", short(webhook), command, short(id)));
        match command {
            Command::Resume | Command::Check => {}
            Command::Skip(event) => self.checker.skipping(webhook, event),
            Command::Drop(until) => self.checker.dropping(webhook, until),
        }
        let steering = Steering { webhook, command, reason: "because".to_owned() };
        let purpose = Purpose::Steering(Box::new(steering));
        self.publish_extra(ports, webhook, id, false, purpose, Bytes::new()).map(|_| ())
    }

    /// A dead letter is sent again: noted, published, closed. A crash can come between any two.
    fn send_again(&mut self, ports: &Ports, webhook: WebhookId) -> Result<(), PortError> {
        let Some(project) = self.site_of(webhook).map(|site| site.id) else { return Ok(()) };
        let query = LetterQuery {
            project,
            webhook: Some(webhook),
            closed: Some(false),
            reason: None,
            fault: None,
            from: None,
            to: None,
            after: None,
            limit: 1,
        };
        let (store, proposed) = (ports.store.clone(), EventId(self.dice.uuid()));
        let Some(letter) = self.call(async move { store.letters(&query).await })?.pop() else { return Ok(()) };
        let store = ports.store.clone();
        let begun = self.call(async move { store.begin_resend(project, webhook, letter.id, proposed).await })?;
        let Some(Resending { id, message }) = begun else { return Ok(()) };
        self.trace(&format!("{} sends {} again as {}", short(webhook), short(letter.id), short(id)));
        let purpose = Purpose::Directed(Directed { webhook, event: message.event() });
        let took = self.publish_extra(ports, webhook, id, true, purpose, message.body.clone());
        if took.as_ref().is_ok_and(|took| *took) {
            self.checker.resent(self.now, project, webhook, id, &message.body);
        }
        took?;
        let (store, at) = (ports.store.clone(), self.clocks().wall);
        // If it stays open it may be sent again, under the same id.
        let _ = self.call(async move { store.end_resend(webhook, letter.id, at).await });
        Ok(())
    }

    /// Whether the queue took it; an error after it did is told to the checker as well.
    fn publish_extra(
        &mut self,
        ports: &Ports,
        webhook: WebhookId,
        id: EventId,
        again: bool,
        purpose: Purpose,
        body: Bytes,
    ) -> Result<bool, PortError> {
        let Some((project, partition)) = self.site_of(webhook).map(|site| (site.id, site.partition)) else {
            return Ok(false);
        };
        let store = ports.store.clone();
        let registry = self.call(async move { store.registry(project).await })?.version;
        let resends = matches!(purpose, Purpose::Directed(_));
        let message = Message {
            id,
            project,
            event_type: "messages".to_owned(),
            accepted_at: self.clocks().wall,
            registry,
            traceparent: None,
            purpose,
            body: body.clone(),
        };
        let publication = Publication { message, again, idempotency: None };
        let queue = ports.queue.clone();
        let published = self.call(async move { queue.publish(partition, publication).await });
        if took_effect(&published) && published.is_err() && resends {
            self.checker.resent(self.now, project, webhook, id, &body);
        }
        let owners = self.process.iter().flat_map(|process| process.owners.values());
        let owner = owners.filter(|owner| owner.partition() == partition).map(|owner| owner.name).next();
        if let Some(ownership) = owner {
            self.take_later(ownership);
        }
        published.map(|()| true)
    }
}
