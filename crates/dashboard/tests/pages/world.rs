//! A store in a folder, the API and the dashboard over it, and a browser's share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use prometheus::Registry;
use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Next};
use spectrum_webhook_core::credentials::OperatorToken;
use spectrum_webhook_core::delivery::DeliveryKey;
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion, Sequence, WebhookId};
use spectrum_webhook_core::ports::{Directory as _, NewWebhook, Project};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningSecret;
use spectrum_webhook_dashboard::{Dashboard, Ports, Settings, router};
use spectrum_webhook_ingest::{self as ingest, Ingest, Metrics};
use spectrum_webhook_sql::{Embedded, MasterKey, Options};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) const SECRET: &str = "the-secret-of-the-project";
pub(crate) const OPERATOR: &str = "operator-token-of-32-characters!";
pub(crate) const HOST: &str = "127.0.0.1:8080";
/// What nobody may find in a page as it stands.
pub(crate) const HOSTILE: &str = r#""'><script>alert(1)</script><img src=x onerror=alert(2)>"#;

pub(crate) struct World {
    pub(crate) embedded: Embedded,
    pub(crate) project: ProjectId,
    pub(crate) other: ProjectId,
    now: Arc<AtomicI64>,
    routers: Vec<Router>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = MasterKey::from_bytes([7; 32]);
        let embedded = Embedded::open(Options::new(folder.path()), key).await.expect("a store");
        let store = embedded.store.clone();
        store.partitions(64).await.expect("partitions");
        let now = Arc::new(AtomicI64::new(1_795_778_000_000));
        let mut ids = Vec::new();
        for (name, secret) in [("Acme", SECRET), ("Other", "another-secret")] {
            let id = ProjectId(Uuid::now_v7());
            let project = Project {
                id,
                name: name.to_owned(),
                secret_hash: sha(secret),
                registry: RegistryVersion(0),
                created_at: Millis(now.load(SeqCst)),
            };
            store.create_project(&project).await.expect("a project");
            ids.push(id);
        }
        let mut world = Self { embedded, project: ids[0], other: ids[1], now, routers: Vec::new(), _folder: folder };
        // Two processes with the same key, one with another, and one to which that is the new one.
        for (key, others) in [(1, &[][..]), (1, &[]), (2, &[]), (2, &[3, 1])] {
            world.routers.push(world.router(key, others));
        }
        world
    }

    fn router(&self, key: u8, others: &[u8]) -> Router {
        let store = self.embedded.store.clone();
        let clock = || {
            let now = Arc::clone(&self.now);
            Arc::new(move || Millis(now.load(SeqCst)))
        };
        let ports = ingest::Ports {
            admission: self.embedded.admission.clone(),
            announcements: self.embedded.announcements.clone(),
            queue: self.embedded.queue.clone(),
            directory: store.clone(),
            insight: store.clone(),
            dead_letters: store.clone(),
            steerings: store.clone(),
            replays: store.clone(),
            notices: store.clone(),
            spans: None,
        };
        let settings = ingest::Settings { steer_patience: Duration::from_millis(1), ..ingest::Settings::default() };
        let metrics = Metrics::register(&Registry::new()).expect("metrics");
        let api = ingest::router(Ingest::new(ports, settings, clock(), metrics));
        let ports = Ports {
            directory: store.clone(),
            insight: store.clone(),
            survey: store.clone(),
            fleet: store.clone(),
            dead_letters: store.clone(),
            steerings: store.clone(),
            replays: store.clone(),
        };
        let settings = Settings {
            key: Zeroizing::new([key; 32]),
            other_keys: others.iter().map(|byte| Zeroizing::new([*byte; 32])).collect(),
            operator_token: Some(OperatorToken::new(OPERATOR).expect("a token")),
            session: Duration::from_secs(12 * 3_600),
            partitions: 64,
            version: "0.1.0".to_owned(),
        };
        let dashboard = Dashboard::new(ports, api.clone(), settings, clock(), CancellationToken::new());
        api.merge(router(dashboard))
    }

    /// The body of a stream, as it comes.
    pub(crate) async fn stream(&self, request: http::request::Builder) -> Body {
        let request = request.body(Body::empty()).expect("a request");
        let response = self.routers[0].clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    pub(crate) fn now(&self) -> Millis {
        Millis(self.now.load(SeqCst))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).expect("small"), SeqCst);
    }

    /// The path of a page of the project.
    pub(crate) fn at(&self, behind: &str) -> String {
        format!("/dashboard/projects/{}{behind}", self.project)
    }

    pub(crate) fn nobody(&self) -> Visitor<'_> {
        Visitor { world: self, process: 0, host: HOST, cookie: None, token: String::new() }
    }

    /// Someone who has signed in to the project.
    pub(crate) async fn visitor(&self) -> Visitor<'_> {
        let mut visitor = self.nobody();
        let signed = visitor.sign_in(&self.project.to_string(), SECRET).await;
        assert_eq!((signed.status, signed.header("location")), (StatusCode::SEE_OTHER, "/dashboard"));
        visitor.learn_token().await;
        visitor
    }

    pub(crate) async fn operator(&self) -> Visitor<'_> {
        let mut visitor = self.nobody();
        let form = format!("as=operator&secret={OPERATOR}&to=");
        let signed = visitor.post_bare("/dashboard/sign-in", &form).await;
        assert_eq!(signed.status, StatusCode::SEE_OTHER, "{}", signed.body);
        visitor.learn_token().await;
        visitor
    }

    pub(crate) async fn webhook(&self, url: &str) -> WebhookId {
        let webhook = NewWebhook {
            id: WebhookId(Uuid::now_v7()),
            project: self.project,
            url: url.to_owned(),
            secret: SigningSecret::from_random([9; 32]),
            event_types: None,
            shape: Shape::default(),
        };
        self.embedded.store.register(webhook, self.now()).await.expect("a webhook").0.id
    }

    /// An attempt that was answered so, some milliseconds ago.
    pub(crate) fn attempt(&self, webhook: WebhookId, status: u16, ago: i64) -> AttemptRecord {
        AttemptRecord {
            key: DeliveryKey { event: EventId(Uuid::now_v7()), webhook },
            resend: None,
            project: self.project,
            event_type: "messages".to_owned(),
            sequence: Sequence(5),
            number: 1,
            started_at: Millis(self.now().0 - ago),
            connect_ms: Some(3),
            first_byte_ms: Some(40),
            total_ms: 41,
            ended: Ended::Answered { status, retry_after: None },
            address: "203.0.113.7:443".parse().ok(),
            snippet: HOSTILE.to_owned(),
            next: if status < 300 { Next::Delivered } else { Next::DeadLetter },
        }
    }
}

pub(crate) fn sha(text: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).into()
}

/// Someone with a browser.
#[derive(Clone)]
pub(crate) struct Visitor<'w> {
    world: &'w World,
    /// The process that a balancer leads to.
    pub(crate) process: usize,
    pub(crate) host: &'static str,
    pub(crate) cookie: Option<String>,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn says(&self, status: u16, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert!(self.body.contains(words), "{words:?} is not in {}", self.body);
    }

    /// It leads to this page.
    #[track_caller]
    pub(crate) fn leads_to(&self, page: &str) {
        assert_eq!((self.status.as_u16(), self.header("location")), (303, page), "{}", self.body);
    }
}

impl Visitor<'_> {
    pub(crate) async fn request(&mut self, request: http::request::Builder, body: &str) -> Seen {
        let mut request = request.header(header::HOST, self.host);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let path = request.uri().path().to_owned();
        let response = self.world.routers[self.process].clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let seen = Seen { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into() };
        if path.starts_with("/dashboard") {
            guarded(&path, &seen);
        }
        if let Some(set) = seen.headers.get(header::SET_COOKIE).and_then(|value| value.to_str().ok()) {
            let pair = set.split(';').next().unwrap_or_default();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        seen
    }

    pub(crate) async fn get(&mut self, path: &str) -> Seen {
        self.request(Request::builder().method(Method::GET).uri(path), "").await
    }

    /// A form from one of our pages, without a token.
    pub(crate) async fn post_bare(&mut self, path: &str, form: &str) -> Seen {
        let request = Request::builder().method(Method::POST).uri(path).header("sec-fetch-site", "same-origin");
        self.request(request, form).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Seen {
        let form = format!("token={}&{form}", self.token);
        self.post_bare(path, &form).await
    }

    pub(crate) async fn sign_in(&mut self, id: &str, secret: &str) -> Seen {
        self.post_bare("/dashboard/sign-in", &format!("id={id}&secret={secret}&to=")).await
    }

    pub(crate) async fn learn_token(&mut self) {
        let page = self.get("/dashboard/signature").await;
        let token = page.body.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.token = token.expect("a token").to_owned();
    }
}

/// What every answer of the dashboard has.
#[track_caller]
fn guarded(path: &str, seen: &Seen) {
    let policy = seen.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(seen.header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(seen.header("referrer-policy"), "same-origin", "{path}");
    if !path.starts_with("/dashboard/assets/") && !path.ends_with("/live") {
        assert_eq!(seen.header("cache-control"), "no-store", "{path}");
    }
    if seen.header("content-type").starts_with("text/html") {
        assert!(!seen.body.contains("<script>alert") && !seen.body.contains("<img"), "{path}: {}", seen.body);
        assert!(!seen.body.contains(" style=") && !seen.body.contains(" onclick="), "{path}");
    }
}
