//! People who change webhooks, as the management API does it: begin the change, commit it, end it, wait for the owner.

use std::time::Duration;

use spectrum_webhook_core::ids::{RegistryVersion, WebhookId};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::ports::{
    Announcements as _, Directory as _, DirectoryError, NewWebhook, PortError, WebhookPatch,
};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;

use super::event::Event;
use super::ports::Ports;
use super::{World, short};
use crate::checker::Target;
use crate::endpoint::{Character, Endpoint};

/// A webhook as people know it.
pub(super) struct Site {
    pub(super) project: usize,
    /// Someone has begun to delete it.
    pub(super) deleted: bool,
    /// A change of it goes on: people wait for it.
    pub(super) busy: bool,
}

/// What is changed.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Register { target: Target, ordering: Ordering },
    Delete,
    Disable,
    Enable,
    Move { url: String },
    Order { ordering: Ordering },
    Rotate { secret: String },
}

/// One change.
pub(super) struct Operation {
    kind: Kind,
    webhook: WebhookId,
    project: usize,
    step: Step,
    process: u64,
    tries: u64,
}

#[derive(Clone, Copy)]
enum Step {
    Begin,
    Commit,
    End {
        version: RegistryVersion,
    },
    Wait {
        version: RegistryVersion,
    },
    /// It failed, and may have taken effect: the version is read, and announced.
    Repair,
}

/// How often the owner's confirmation is asked for, in milliseconds, and how many times.
const POLL: u64 = 50;
const POLLS: u64 = 400;

impl World {
    /// Registers a webhook at the start, without steps in between.
    pub(super) fn register_at_once(&mut self, project: usize, character: Character) -> anyhow::Result<()> {
        let Some(ports) = self.ports() else { anyhow::bail!("there is no process") };
        let Some(site) = self.projects.get(project) else { anyhow::bail!("there is no such project") };
        let (id, now) = (site.id, self.clocks().wall);
        let healthy = matches!(character, Character::Healthy);
        self.trace(&format!("an endpoint is {character:?}"));
        let (webhook, target, secret) = self.new_webhook(project, character);
        let ordering = self.new_ordering();
        self.checker.registering(self.now, id, webhook, target.clone(), healthy);
        self.checker.ordering(webhook, ordering);
        let new = NewWebhook {
            id: webhook,
            project: id,
            url: target.url,
            secret,
            event_types: None,
            shape: Shape { ordering, ..Shape::default() },
        };
        self.runtime.block_on(async move { ports.store.register(new, now).await })?;
        self.checker.registered(self.now, webhook);
        Ok(())
    }

    fn new_webhook(&mut self, project: usize, character: Character) -> (WebhookId, Target, SigningSecret) {
        let webhook = WebhookId(self.dice.uuid());
        let (target, secret) = self.new_target(character);
        self.sites.insert(webhook, Site { project, deleted: false, busy: false });
        (webhook, target, secret)
    }

    fn new_ordering(&mut self) -> Ordering {
        self.dice.pick(&[Ordering::Project, Ordering::Project, Ordering::Space, Ordering::None])
    }

    fn new_target(&mut self, character: Character) -> (Target, SigningSecret) {
        let secret = SigningSecret::from_random(self.dice.bytes32());
        let url = format!("https://receiver.example/{}", self.endpoints.len());
        let mut endpoint = Endpoint::new(character, self.dice.fork());
        if self.calm {
            endpoint.heal(true);
        }
        self.endpoints.insert(url.clone(), endpoint);
        (Target { url, secret: secret.expose().to_owned() }, secret)
    }

    /// Somebody changes something.
    pub(super) fn new_operation(&mut self) {
        let free: Vec<WebhookId> =
            self.sites.iter().filter(|(_, site)| !site.deleted && !site.busy).map(|(id, _)| *id).collect();
        let span = self.plan.span;
        if free.is_empty() || (self.sites.len() < 6 && self.dice.per_mille(200)) {
            let project = self.dice.range(0, self.projects.len() as u64 - 1) as usize;
            let character = Character::of(&mut self.dice, span);
            let healthy = matches!(character, Character::Healthy);
            let (webhook, target, _) = self.new_webhook(project, character);
            let ordering = self.new_ordering();
            if let Some(site) = self.projects.get(project) {
                self.checker.registering(self.now, site.id, webhook, target.clone(), healthy);
                self.checker.ordering(webhook, ordering);
            }
            return self.begin_operation(Kind::Register { target, ordering }, webhook);
        }
        let webhook = self.dice.pick(&free);
        let kind = match self.dice.range(0, 11) {
            0..=2 => Kind::Delete,
            3..=5 => Kind::Disable,
            6 => Kind::Enable,
            7 | 8 => {
                let character = Character::of(&mut self.dice, span);
                let (target, _) = self.new_target(character);
                Kind::Move { url: target.url }
            }
            9 | 10 => Kind::Order { ordering: self.new_ordering() },
            _ => Kind::Rotate { secret: SigningSecret::from_random(self.dice.bytes32()).expose().to_owned() },
        };
        let disabled = matches!(kind, Kind::Disable);
        self.begin_operation(kind, webhook);
        if disabled {
            // Somebody enables it again some time later; if not, it happens when the faults stop.
            let wait = self.dice.range(500, 20_000);
            self.later(wait, Event::EnableAll);
        }
    }

    pub(super) fn begin_operation(&mut self, kind: Kind, webhook: WebhookId) {
        let Some(site) = self.sites.get_mut(&webhook) else { return };
        site.busy = true;
        let project = site.project;
        self.trace(&format!("{} {}", name_of(&kind), short(webhook)));
        self.operations.push(Operation { kind, webhook, project, step: Step::Begin, process: 0, tries: 0 });
        self.operate(self.operations.len() - 1);
    }

    pub(super) fn operate(&mut self, at: usize) {
        let process = self.process.as_ref().map_or(0, |process| process.name);
        let ports = self.ports();
        let Some(operation) = self.operations.get_mut(at) else { return };
        if matches!(operation.step, Step::Begin | Step::Repair) {
            operation.process = process;
        }
        let Some(ports) = ports.filter(|_| operation.process == process) else {
            // The connection broke; the next owner reads the registry as it is.
            return self.give_up_operation(at);
        };
        match operation.step {
            Step::Begin => self.begin_change(at, &ports),
            Step::Commit => self.commit_change(at, &ports),
            Step::End { version } => self.end_change(at, &ports, version),
            Step::Wait { version } => self.wait_for_owner(at, &ports, version),
            Step::Repair => self.repair(at, &ports),
        }
    }

    fn step_operation(&mut self, at: usize, step: Step) {
        if let Some(operation) = self.operations.get_mut(at) {
            operation.step = step;
        }
        self.soon(Event::Operate { operation: at });
    }

    /// People do not know what became of it.
    fn give_up_operation(&mut self, at: usize) {
        let Some(operation) = self.operations.get(at) else { return };
        let webhook = operation.webhook;
        if let Some(site) = self.sites.get_mut(&webhook) {
            site.busy = false;
        }
        self.trace(&format!("a change of {} has an unknown end", short(webhook)));
    }

    fn begin_change(&mut self, at: usize, ports: &Ports) {
        let Some(operation) = self.operations.get(at) else { return };
        let Some(site) = self.projects.get(operation.project) else { return };
        let (project, partition, webhook) = (site.id, site.partition, operation.webhook);
        match operation.kind.clone() {
            Kind::Delete => {
                self.checker.deleting(webhook);
                if let Some(site) = self.sites.get_mut(&webhook) {
                    site.deleted = true;
                }
            }
            Kind::Disable => self.checker.disabling(webhook),
            Kind::Enable => self.checker.enabling(webhook),
            Kind::Move { url } => self.checker.moving(webhook, &url),
            Kind::Order { ordering } => self.checker.ordering(webhook, ordering),
            Kind::Rotate { secret } => self.checker.rotating(webhook, &secret),
            Kind::Register { .. } => {}
        }
        let announcements = ports.announcements.clone();
        match self.call(async move { announcements.begin_change(partition, project).await }) {
            Ok(()) => self.step_operation(at, Step::Commit),
            // Nothing was changed.
            Err(_) => self.step_operation(at, Step::Repair),
        }
    }

    fn commit_change(&mut self, at: usize, ports: &Ports) {
        let Some(operation) = self.operations.get(at) else { return };
        let Some(site) = self.projects.get(operation.project) else { return };
        let (project, webhook, kind) = (site.id, operation.webhook, operation.kind.clone());
        let (store, now) = (ports.store.clone(), self.clocks().wall);
        let patch = |patch: WebhookPatch| {
            let store = store.clone();
            async move { store.patch(project, webhook, patch, now).await.map(|(_, version)| version) }
        };
        let changed = match &kind {
            Kind::Register { target, ordering } => {
                let Ok(secret) = target.secret.parse::<SigningSecret>() else { return };
                let new = NewWebhook {
                    id: webhook,
                    project,
                    url: target.url.clone(),
                    secret,
                    event_types: None,
                    shape: Shape { ordering: *ordering, ..Shape::default() },
                };
                self.call_directory(async move { store.register(new, now).await.map(|(_, version)| version) })
            }
            Kind::Delete => self.call_directory(async move { store.delete(project, webhook, now).await }),
            Kind::Disable => {
                self.call_directory(patch(WebhookPatch { enabled: Some(false), ..WebhookPatch::default() }))
            }
            Kind::Enable => self.call_directory(patch(WebhookPatch { enabled: Some(true), ..WebhookPatch::default() })),
            Kind::Move { url } => {
                self.call_directory(patch(WebhookPatch { url: Some(url.clone()), ..WebhookPatch::default() }))
            }
            Kind::Order { ordering } => {
                self.call_directory(patch(WebhookPatch { ordering: Some(*ordering), ..WebhookPatch::default() }))
            }
            Kind::Rotate { secret } => {
                let Ok(secret) = secret.parse::<SigningSecret>() else { return };
                let rotate = async move { store.rotate(project, webhook, secret, Millis(0), now).await };
                self.call_directory(async move { rotate.await.map(|(_, version)| version) })
            }
        };
        match changed {
            Ok(version) => self.step_operation(at, Step::End { version }),
            // A webhook whose registration has an unknown end may not be there.
            Err(DirectoryError::NotFound) => self.give_up_operation(at),
            Err(DirectoryError::Port(PortError::Unavailable { .. })) => self.step_operation(at, Step::Repair),
            Err(error) => self.checker.cry(|| format!("a change of a webhook was refused: {error}")),
        }
    }

    fn end_change(&mut self, at: usize, ports: &Ports, version: RegistryVersion) {
        let Some(operation) = self.operations.get(at) else { return };
        let Some(site) = self.projects.get(operation.project) else { return };
        let (project, partition, number) = (site.id, site.partition, operation.project);
        let announcements = ports.announcements.clone();
        // If that fails the call still succeeds; the owner is told again by who waits for it.
        let _ = self.call(async move { announcements.end_change(partition, project, version).await });
        self.announce(number);
        // A registration is answered now: what is posted from here on is for it, whatever the owner has heard.
        if let Some(Operation { kind: Kind::Register { .. }, webhook, .. }) = self.operations.get(at) {
            self.checker.registered(self.now, *webhook);
        }
        self.step_operation(at, Step::Wait { version });
    }

    fn wait_for_owner(&mut self, at: usize, ports: &Ports, version: RegistryVersion) {
        let Some(operation) = self.operations.get_mut(at) else { return };
        operation.tries += 1;
        let (tries, webhook, number, kind) =
            (operation.tries, operation.webhook, operation.project, operation.kind.clone());
        let Some(site) = self.projects.get(number) else { return };
        let (project, partition) = (site.id, site.partition);
        let announcements = ports.announcements.clone();
        let asked = async move { announcements.confirmed(partition, project, version, Duration::ZERO).await };
        match self.call(asked) {
            Ok(true) => {}
            _ if tries > POLLS => {
                if self.calm {
                    self.checker.cry(|| format!("nobody confirms version {version}"));
                }
                return self.give_up_operation(at);
            }
            _ => {
                // Asking announces what was not announced.
                self.announce(number);
                return self.later(POLL, Event::Operate { operation: at });
            }
        }
        self.trace(&format!("{} {} is confirmed at {version}", name_of(&kind), short(webhook)));
        if let Some(site) = self.sites.get_mut(&webhook) {
            site.busy = false;
        }
        match kind {
            Kind::Delete | Kind::Disable => self.checker.is_off(webhook),
            Kind::Register { .. } | Kind::Enable | Kind::Order { .. } => {}
            Kind::Move { url } => self.checker.moved(webhook, &url),
            Kind::Rotate { secret } => self.checker.rotated(webhook, &secret),
        }
    }

    /// After a failure: whatever the version is now, copies and the owner must hear of it.
    fn repair(&mut self, at: usize, ports: &Ports) {
        let Some(operation) = self.operations.get(at) else { return };
        let (webhook, number) = (operation.webhook, operation.project);
        let Some(site) = self.projects.get(number) else { return };
        let (project, partition) = (site.id, site.partition);
        let (store, announcements) = (ports.store.clone(), ports.announcements.clone());
        let repaired = self.call(async move {
            let version = match store.project(project).await {
                Ok(project) => project.registry,
                Err(DirectoryError::Port(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            announcements.end_change(partition, project, version).await
        });
        if repaired.is_err() {
            return self.later(300, Event::Operate { operation: at });
        }
        self.announce(number);
        let _ = webhook;
        self.give_up_operation(at);
    }
}

fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Register { .. } => "register",
        Kind::Delete => "delete",
        Kind::Disable => "disable",
        Kind::Enable => "enable",
        Kind::Move { .. } => "change the URL of",
        Kind::Order { .. } => "change the order of",
        Kind::Rotate { .. } => "rotate the key of",
    }
}
