//! In-memory ports with switches, and a client of the router.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::ids::{EventId, PartitionId, ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ports::{
    Admission, Admitted, Announcements, Directory, DirectoryError, IdempotencyKey, Lease, NewWebhook, PortError,
    Project, Publication, Queue, Replay, Subscription, Verdict, WebhookPatch,
};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, SigningSecret, Webhook};
use spectrum_webhook_ingest::{Ingest, Metrics, OperatorToken, Ports, Settings, router};
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt as _;

use crate::described::is_described;

pub(crate) const SECRET: &str = "project-secret";
pub(crate) const OPERATOR: &str = "operator-token-of-32-characters!";
pub(crate) const NOW: Millis = Millis(1_767_323_045_678);
pub(crate) const NOW_ISO: &str = "2026-01-02T03:04:05.678Z";
pub(crate) const ID: ProjectId = ProjectId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0001));
pub(crate) const OTHER: ProjectId = ProjectId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0002));
pub(crate) const NOBODY: ProjectId = ProjectId(uuid::Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0003));

/// What the backends hold and how they behave.
pub(crate) struct World {
    pub(crate) projects: Mutex<HashMap<ProjectId, Project>>,
    pub(crate) webhooks: Mutex<Vec<(Webhook, bool)>>,
    pub(crate) rotations: Mutex<Vec<(WebhookId, SigningSecret, Millis)>>,
    pub(crate) published: Mutex<Vec<(PartitionId, Publication)>>,
    pub(crate) records: Mutex<HashMap<[u8; 32], (IdempotencyKey, EventId, bool)>>,
    /// What was called for changes, in order.
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) directory_fails: AtomicBool,
    /// Projects are read for ever.
    pub(crate) directory_hangs: AtomicBool,
    pub(crate) changes_fail: AtomicBool,
    pub(crate) publish_fails: AtomicBool,
    pub(crate) admission_fails: AtomicBool,
    pub(crate) end_fails: AtomicBool,
    pub(crate) knows_registry: AtomicBool,
    /// What the next posts see of the registry's copy, before it is as usual.
    pub(crate) copies: Mutex<VecDeque<Option<RegistryVersion>>>,
    pub(crate) begin_change_fails: AtomicBool,
    pub(crate) end_change_fails: AtomicBool,
    pub(crate) unconfirmed: AtomicBool,
    pub(crate) directory_reads: AtomicUsize,
    /// So often a copy of a registry version was renewed.
    pub(crate) renewed: AtomicUsize,
    pub(crate) letters_fail: AtomicBool,
    /// What a resend was begun as.
    pub(crate) resends: Mutex<Vec<(EventId, EventId)>>,
    pub(crate) replays: Mutex<Vec<Replay>>,
    /// So often it is asked in vain whether a steering is done.
    pub(crate) steered_after: AtomicUsize,
    /// Publishes wait for a permit.
    /// How many were published together each time.
    pub(crate) groups: Mutex<Vec<usize>>,
    pub(crate) gate: Semaphore,
    pub(crate) publishing: Notify,
}

const OPEN: usize = 1 << 20;

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let project = |id, name: &str, secret: &str, registry| Project {
            id,
            name: name.to_owned(),
            secret_hash: Sha256::digest(secret).into(),
            registry: RegistryVersion(registry),
            created_at: NOW,
        };
        let projects = [project(ID, "Näme", SECRET, 7), project(OTHER, "other", "other-secret", 3)];
        Arc::new(Self {
            projects: Mutex::new(projects.into_iter().map(|project| (project.id, project)).collect()),
            webhooks: Mutex::default(),
            rotations: Mutex::default(),
            published: Mutex::default(),
            records: Mutex::default(),
            calls: Mutex::default(),
            directory_fails: false.into(),
            directory_hangs: false.into(),
            changes_fail: false.into(),
            publish_fails: false.into(),
            admission_fails: false.into(),
            end_fails: false.into(),
            knows_registry: true.into(),
            copies: Mutex::default(),
            begin_change_fails: false.into(),
            end_change_fails: false.into(),
            unconfirmed: false.into(),
            directory_reads: 0.into(),
            renewed: 0.into(),
            letters_fail: false.into(),
            resends: Mutex::default(),
            replays: Mutex::default(),
            steered_after: 0.into(),
            groups: Mutex::default(),
            gate: Semaphore::new(OPEN),
            publishing: Notify::new(),
        })
    }

    pub(crate) fn close_gate(&self) {
        assert_eq!(self.gate.forget_permits(OPEN), OPEN);
    }

    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(OPEN);
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.published.lock().iter().map(|(_, publication)| publication.message.body.to_vec()).collect()
    }

    pub(crate) fn webhooks(&self) -> Vec<Webhook> {
        self.webhooks.lock().iter().filter(|(_, deleted)| !deleted).map(|(webhook, _)| webhook.clone()).collect()
    }

    pub(crate) fn call(&self, call: impl Into<String>) {
        self.calls.lock().push(call.into());
    }

    pub(crate) fn call_count(&self, name: &str) -> usize {
        self.calls.lock().iter().filter(|call| *call == name).count()
    }

    pub(crate) fn fails(switch: &AtomicBool) -> Result<(), PortError> {
        if switch.load(SeqCst) {
            Err(PortError::Unavailable { port: "fake", operation: "work", detail: "hidden detail".to_owned() })
        } else {
            Ok(())
        }
    }

    fn raise(&self, project: ProjectId) -> Result<RegistryVersion, DirectoryError> {
        let mut projects = self.projects.lock();
        let registry = &mut projects.get_mut(&project).ok_or(DirectoryError::NotFound)?.registry;
        registry.0 += 1;
        Ok(*registry)
    }

    fn edit(
        &self,
        project: ProjectId,
        id: WebhookId,
        edit: impl FnOnce(&mut Webhook, &mut bool),
    ) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        Self::fails(&self.changes_fail)?;
        let mut webhooks = self.webhooks.lock();
        let (webhook, deleted) = webhooks
            .iter_mut()
            .find(|(webhook, deleted)| webhook.id == id && webhook.project == project && !deleted)
            .ok_or(DirectoryError::NotFound)?;
        edit(webhook, deleted);
        Ok((webhook.clone(), self.raise(project)?))
    }

    fn free(&self, project: ProjectId, url: &str, but: Option<WebhookId>) -> Result<(), DirectoryError> {
        let taken =
            self.webhooks().iter().any(|known| known.project == project && known.url == url && Some(known.id) != but);
        if taken { Err(DirectoryError::UrlTaken) } else { Ok(()) }
    }
}

#[async_trait]
impl Queue for World {
    async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), PortError> {
        self.publishing.notify_one();
        self.gate.acquire().await.expect("an open gate").forget();
        self.gate.add_permits(1);
        Self::fails(&self.publish_fails)?;
        self.published.lock().push((partition, publication));
        Ok(())
    }

    async fn publish_all(&self, partition: PartitionId, publications: Vec<Publication>) -> Vec<Result<(), PortError>> {
        self.groups.lock().push(publications.len());
        let mut outcomes = Vec::new();
        for publication in publications {
            outcomes.push(self.publish(partition, publication).await);
        }
        outcomes
    }

    async fn subscribe(&self, _: &Lease, _: usize) -> Result<Box<dyn Subscription>, PortError> {
        unreachable!("ingest consumes nothing")
    }

    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Admission for World {
    async fn begin(
        &self,
        _: PartitionId,
        project: ProjectId,
        proposed: EventId,
        key: Option<&IdempotencyKey>,
        _: Millis,
    ) -> Result<Admitted, PortError> {
        Self::fails(&self.admission_fails)?;
        let known = self.knows_registry.load(SeqCst);
        let usual = self.projects.lock().get(&project).map(|project| project.registry).filter(|_| known);
        let registry = self.copies.lock().pop_front().unwrap_or(usual);
        let mut records = self.records.lock();
        let verdict = match key.map(|key| (key, records.get(&key.key))) {
            None => Verdict::Publish { id: proposed, again: false },
            Some((key, Some((first, ..)))) if first.body != key.body => Verdict::Mismatch,
            Some((_, Some((_, id, true)))) => Verdict::Duplicate(*id),
            Some((_, Some((_, id, false)))) => Verdict::Publish { id: *id, again: true },
            Some((key, None)) => {
                records.insert(key.key, (key.clone(), proposed, false));
                Verdict::Publish { id: proposed, again: false }
            }
        };
        Ok(Admitted { verdict, registry })
    }

    async fn end(
        &self,
        _: PartitionId,
        _: ProjectId,
        id: EventId,
        key: &IdempotencyKey,
        durable: bool,
    ) -> Result<(), PortError> {
        Self::fails(&self.end_fails)?;
        let mut records = self.records.lock();
        let record = records.get_mut(&key.key).expect("a record that was begun");
        assert_eq!(record.1, id);
        record.2 = durable;
        Ok(())
    }

    async fn renew(&self, _: PartitionId, _: ProjectId, _: RegistryVersion) -> Result<(), PortError> {
        self.renewed.fetch_add(1, SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Announcements for World {
    async fn begin_change(&self, _: PartitionId, _: ProjectId) -> Result<(), PortError> {
        self.call("begin");
        Self::fails(&self.begin_change_fails)
    }

    async fn end_change(&self, _: PartitionId, _: ProjectId, version: RegistryVersion) -> Result<(), PortError> {
        self.call(format!("end {version}"));
        Self::fails(&self.end_change_fails)
    }

    async fn announce(&self, _: PartitionId, _: ProjectId, _: RegistryVersion) -> Result<(), PortError> {
        unreachable!("ingest begins its changes")
    }

    async fn confirmed(
        &self,
        _: PartitionId,
        _: ProjectId,
        version: RegistryVersion,
        _: Duration,
    ) -> Result<bool, PortError> {
        self.call(format!("confirmed {version}"));
        Ok(!self.unconfirmed.load(SeqCst))
    }

    async fn changed(&self, _: &Lease) -> Result<Vec<(ProjectId, RegistryVersion)>, PortError> {
        unreachable!("ingest owns nothing")
    }

    async fn news(&self, _: &Lease) -> Result<(), PortError> {
        unreachable!("ingest owns nothing")
    }

    async fn confirm(&self, _: &Lease, _: ProjectId, _: RegistryVersion) -> Result<(), PortError> {
        unreachable!("ingest owns nothing")
    }
}

#[async_trait]
impl Directory for World {
    async fn partitions(&self, wanted: u16) -> Result<u16, PortError> {
        Ok(wanted)
    }

    async fn create_project(&self, _: &Project) -> Result<(), DirectoryError> {
        unreachable!("not by HTTP")
    }

    async fn list_projects(&self) -> Result<Vec<Project>, DirectoryError> {
        unreachable!("not by HTTP")
    }

    async fn project(&self, id: ProjectId) -> Result<Project, DirectoryError> {
        self.directory_reads.fetch_add(1, SeqCst);
        Self::fails(&self.directory_fails)?;
        if self.directory_hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        self.projects.lock().get(&id).cloned().ok_or(DirectoryError::NotFound)
    }

    async fn rotate_project_secret(&self, _: ProjectId, _: [u8; 32]) -> Result<(), DirectoryError> {
        unreachable!("not by HTTP")
    }

    async fn delete_project(&self, _: ProjectId, _: Millis) -> Result<RegistryVersion, DirectoryError> {
        unreachable!("not by HTTP")
    }

    async fn register(&self, new: NewWebhook, now: Millis) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        self.call("register");
        Self::fails(&self.changes_fail)?;
        self.free(new.project, &new.url, None)?;
        let version = self.raise(new.project)?;
        let webhook = Webhook {
            id: new.id,
            project: new.project,
            url: new.url,
            disabled: None,
            event_types: new.event_types,
            shape: new.shape,
            added: version,
            created_at: now,
            updated_at: now,
        };
        self.webhooks.lock().push((webhook.clone(), false));
        Ok((webhook, version))
    }

    async fn list(&self, project: ProjectId) -> Result<Vec<Webhook>, DirectoryError> {
        Ok(self.webhooks().into_iter().filter(|webhook| webhook.project == project).collect())
    }

    async fn patch(
        &self,
        project: ProjectId,
        id: WebhookId,
        patch: WebhookPatch,
        now: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        self.call("patch");
        if let Some(url) = &patch.url {
            self.free(project, url, Some(id))?;
        }
        self.edit(project, id, |webhook, _| {
            webhook.url = patch.url.unwrap_or(std::mem::take(&mut webhook.url));
            if let Some(enabled) = patch.enabled {
                webhook.disabled = (!enabled).then_some((now, DisabledReason::Manual));
            }
            if let Some(types) = patch.event_types {
                webhook.event_types = types;
            }
            if let Some(headers) = patch.headers {
                webhook.shape.headers = headers;
            }
            webhook.shape.rate_limit = patch.rate_limit.unwrap_or(webhook.shape.rate_limit);
            webhook.shape.attempt_timeout = patch.attempt_timeout.unwrap_or(webhook.shape.attempt_timeout);
            webhook.shape.ordering = patch.ordering.unwrap_or(webhook.shape.ordering);
        })
    }

    async fn delete(&self, project: ProjectId, id: WebhookId, _: Millis) -> Result<RegistryVersion, DirectoryError> {
        self.call("delete");
        self.edit(project, id, |_, deleted| *deleted = true).map(|(_, version)| version)
    }

    async fn rotate(
        &self,
        project: ProjectId,
        id: WebhookId,
        secret: SigningSecret,
        overlap_until: Millis,
        _: Millis,
    ) -> Result<(Webhook, RegistryVersion), DirectoryError> {
        self.call("rotate");
        let changed = self.edit(project, id, |_, _| ())?;
        self.rotations.lock().push((id, secret, overlap_until));
        Ok(changed)
    }
}

/// The router over a world.
pub(crate) struct Api {
    pub(crate) world: Arc<World>,
    pub(crate) ingest: Ingest,
    pub(crate) router: Router,
    pub(crate) registry: prometheus::Registry,
}

pub(crate) fn settings() -> Settings {
    Settings { operator_token: Some(OperatorToken::new(OPERATOR).expect("a token")), ..Settings::default() }
}

pub(crate) fn api() -> Api {
    api_with(settings())
}

pub(crate) fn api_with(settings: Settings) -> Api {
    let world = World::new();
    let registry = prometheus::Registry::new();
    let ports = Ports {
        admission: Arc::clone(&world) as _,
        announcements: Arc::clone(&world) as _,
        queue: Arc::clone(&world) as _,
        directory: Arc::clone(&world) as _,
        insight: Arc::clone(&world) as _,
        dead_letters: Arc::clone(&world) as _,
        steerings: Arc::clone(&world) as _,
        replays: Arc::clone(&world) as _,
        notices: Arc::clone(&world) as _,
        spans: None,
    };
    let metrics = Metrics::register(&registry).expect("free names");
    let ingest = Ingest::new(ports, settings, Arc::new(|| NOW), metrics);
    Api { world, router: router(ingest.clone()), ingest, registry }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Asserts a problem's whole form; the message must contain `says`.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str, says: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let json = self.json();
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 3, "{self:?}");
        assert!(self.text.starts_with(&format!(r#"{{"succeed":false,"code":"{code}","message":""#)), "{self:?}");
        let message = json["message"].as_str().expect("a message");
        assert!(message.contains(says), "{message:?} does not say {says:?}");
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 429 | 503), "{self:?}");
        let challenge = (status == 401).then_some("Basic realm=\"spectrum-webhook\"");
        assert_eq!(self.header("www-authenticate"), challenge);
    }

    /// The one id in an accepted event's answer, whose whole form is asserted.
    #[track_caller]
    pub(crate) fn is_accepted(&self, duplicate: bool) -> String {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        let id = self.json()["data"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(self.text, format!(r#"{{"succeed":true,"data":{{"id":"{id}","duplicate":{duplicate}}}}}"#));
        id
    }
}

pub(crate) fn basic(project: ProjectId, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{project}:{secret}")))
}

impl Api {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // What comes in one piece can be looked at.
        let body = body.into();
        let (body, known) = match body.size_hint().exact() {
            Some(_) => {
                let bytes = body.collect().await.expect("a body").to_bytes();
                (Body::from(bytes.clone()), Some(bytes))
            }
            None => (body, None),
        };
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let compressed = parts.headers.contains_key("content-encoding");
        let text = if compressed { String::new() } else { String::from_utf8(bytes.to_vec()).expect("UTF-8") };
        let reply = Reply { status: parts.status, headers: parts.headers, text };
        is_described(method, path, known.as_deref(), &reply);
        reply
    }

    /// With the project's credentials.
    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        self.send(method, path, &[("authorization", &basic(ID, SECRET))], body).await
    }

    pub(crate) async fn event(&self, body: impl Into<Body>) -> Reply {
        self.call("POST", &events(), body).await
    }

    pub(crate) async fn keyed(&self, key: &str, body: impl Into<Body>) -> Reply {
        let headers = [("authorization", &*basic(ID, SECRET)), ("idempotency-key", key)];
        self.send("POST", &events(), &headers, body).await
    }

    /// The value of a metric without labels, or with this code.
    pub(crate) fn metric(&self, name: &str, code: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("the metric");
        let metric = family
            .get_metric()
            .iter()
            .find(|metric| code.is_none_or(|code| metric.get_label().iter().any(|label| label.value() == code)))
            .expect("the label");
        metric.get_counter().get_value() + metric.get_histogram().get_sample_count() as f64
    }
}

pub(crate) fn events() -> String {
    format!("/projects/{ID}/events")
}

pub(crate) fn webhooks() -> String {
    format!("/projects/{ID}/webhooks/")
}
