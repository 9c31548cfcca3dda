//! Events out: a long-lived task for each URL, which posts one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Request, Url};
use tokio::sync::{Semaphore, mpsc};

use super::sign::Key;
use crate::progress::complain;

/// What is told when an event has arrived at all its URLs.
pub(super) type Done = Box<dyn FnOnce() + Send + Sync>;

/// An event on its way.
pub(super) struct Event {
    id: String,
    body: Bytes,
    /// URLs that it has not arrived at.
    left: AtomicUsize,
    done: parking_lot::Mutex<Option<Done>>,
}

impl Event {
    fn arrived(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.done.lock().take()
        {
            done();
        }
    }
}

/// A task for each URL of each project.
pub(super) struct Lanes {
    urls: usize,
    lanes: Vec<mpsc::UnboundedSender<Arc<Event>>>,
}

impl Lanes {
    pub(super) fn start(receiver: SocketAddr, projects: usize, urls: usize, in_flight: usize) -> Result<Self> {
        let client = client()?;
        let slots = Arc::new(Semaphore::new(in_flight));
        let mut lanes = Vec::with_capacity(projects * urls);
        for number in 0..projects * urls {
            let url = format!("http://{receiver}/{}/{}", number / urls, number % urls);
            let poster = Poster::new(client.clone(), &url, number)?;
            let (sender, events) = mpsc::unbounded_channel();
            tokio::spawn(run(poster, Arc::clone(&slots), events));
            lanes.push(sender);
        }
        Ok(Self { urls, lanes })
    }

    /// Sends an event to all URLs of a project, behind those before it.
    pub(super) fn send(&self, project: usize, id: String, body: Bytes, done: Done) {
        let event =
            Arc::new(Event { id, body, left: AtomicUsize::new(self.urls), done: parking_lot::Mutex::new(Some(done)) });
        for lane in self.lanes.iter().skip(project * self.urls).take(self.urls) {
            // A lane lives as long as this.
            let _ = lane.send(Arc::clone(&event));
        }
    }
}

async fn run(poster: Poster, slots: Arc<Semaphore>, mut events: mpsc::UnboundedReceiver<Arc<Event>>) {
    while let Some(event) = events.recv().await {
        let Ok(_slot) = slots.acquire().await else { return };
        match poster.post(&event.id, event.body.clone()).await {
            Ok(()) => event.arrived(),
            Err(error) => return complain(&format!("a delivery failed, and the limit tries none twice: {error:#}")),
        }
    }
}

/// As little as reqwest can be.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(1_024)
        .tcp_nodelay(true)
        .build()
}

/// One URL, with all that is the same in each request.
pub(super) struct Poster {
    client: Client,
    url: Url,
    key: Key,
    headers: HeaderMap,
}

const TIMESTAMP: HeaderName = HeaderName::from_static("x-spectrum-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-spectrum-signature");
const EVENT_ID: HeaderName = HeaderName::from_static("x-spectrum-event-id");
const STANDARD_ID: HeaderName = HeaderName::from_static("webhook-id");
const STANDARD_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Poster {
    pub(super) fn new(client: Client, url: &str, number: usize) -> Result<Self> {
        let mut headers = HeaderMap::with_capacity(32);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("spectrum-webhook/0.0.0"));
        headers.insert("x-spectrum-event", HeaderValue::from_static("messages"));
        headers.insert("x-spectrum-webhook-id", HeaderValue::try_from(uuid::Uuid::now_v7().to_string())?);
        headers.insert("x-spectrum-attempt", HeaderValue::from_static("1"));
        headers.insert("x-spectrum-sequence", HeaderValue::from_static("1000000000"));
        Ok(Self { client, url: url.parse()?, key: Key::new(number)?, headers })
    }

    /// Signs, posts, and reads the answer to its end.
    pub(super) async fn post(&self, id: &str, body: Bytes) -> Result<()> {
        let timestamp = jiff::Timestamp::now().as_second().to_string();
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let id_value = HeaderValue::try_from(id)?;
        let timestamp_value = HeaderValue::try_from(&timestamp)?;
        headers.insert(SIGNATURE, HeaderValue::try_from(self.key.spectrum(&timestamp, &body))?);
        headers.insert(STANDARD_SIGNATURE, HeaderValue::try_from(self.key.standard(id, &timestamp, &body))?);
        headers.insert(TIMESTAMP, timestamp_value.clone());
        headers.insert(STANDARD_TIMESTAMP, timestamp_value);
        headers.insert(EVENT_ID, id_value.clone());
        headers.insert(STANDARD_ID, id_value);
        *request.body_mut() = Some(body.into());
        let response = self.client.execute(request).await?;
        let status = response.status();
        response.bytes().await?;
        if !status.is_success() {
            bail!("{status}");
        }
        Ok(())
    }
}
