//! RabbitMQ: the queue of a cluster. One quorum queue with a single active consumer for each partition.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `hosts` | the URL, with one host or several |
//! | `link` | a connection that heals by itself; the declaring of queues |
//! | `message` | what a message looks like on the wire |
//! | `publish` | publishing with confirms, many in flight |
//! | `consume` | one consumer of one partition |
//! | `acks` | its acknowledgements, many at a time |
//!
//! Order rests on one rule: work is dropped by closing the channel, never by cancelling, rejecting or returning single
//! messages. A closed channel returns its messages to the head of the queue, in order, before the next consumer gets
//! any.

mod acks;
mod consume;
mod hosts;
mod link;
mod message;
mod publish;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::{Lease, PortError, Publication, Queue, Reach, Subscription};

pub use message::{Wire, decode, encode};

use acks::Acker;
use hosts::Hosts;
use link::{Link, Queues};
use publish::Publisher;

const PORT: &str = "queue";
/// The connections, by whom they serve.
const PUBLISHING: &str = "ingest";
const CONSUMING: &str = "dispatcher";

/// How RabbitMQ is reached and used.
#[derive(Clone)]
pub struct Options {
    /// `amqp://user:password@host1:5672,host2:5672/vhost`, or the same with `amqps` for TLS.
    pub url: String,
    /// Begins the names of all queues.
    pub namespace: String,
    /// How many there are.
    pub partitions: u16,
    /// A PEM file of the authorities that signed the broker's certificate, if they are not public ones.
    pub ca: Option<PathBuf>,
    /// How long a confirm may take.
    pub confirm_timeout: Duration,
}

impl Options {
    /// The defaults: 10 s for a confirm.
    pub fn new(url: impl Into<String>, namespace: impl Into<String>, partitions: u16) -> Self {
        Self {
            url: url.into(),
            namespace: namespace.into(),
            partitions,
            ca: None,
            confirm_timeout: Duration::from_secs(10),
        }
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("namespace", &self.namespace)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// What a person has to change before RabbitMQ can be used. No message holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("the URL of RabbitMQ cannot be used: {0}")]
    Url(String),
    /// The broker refuses the user.
    #[error(
        "RabbitMQ refuses access ({0}): correct the user and the password in its URL, and give the user the right \
             to configure, write and read the queues of the namespace in the virtual host"
    )]
    Access(String),
    /// There is no such virtual host.
    #[error("RabbitMQ does not open the virtual host ({0}): make it, or name another one as the path of the URL")]
    VirtualHost(String),
    /// TLS does not come about.
    #[error(
        "TLS with RabbitMQ fails ({0}): its certificate must be valid for the host in the URL; name the authority \
             that signed it in SPECTRUM_SERVICES_CA_FILE"
    )]
    Tls(String),
    /// It knows no quorum queues.
    #[error(
        "this RabbitMQ is too old: quorum queues with a single active consumer need 3.8 or later, and 3.10 is the \
             oldest that is tested"
    )]
    Old,
    /// A queue has other arguments.
    #[error(
        "the queue `{queue}` exists with other arguments ({detail}): delete it when it is empty, or set another \
             SPECTRUM_NAMESPACE"
    )]
    OtherQueue {
        /// Its name.
        queue: String,
        /// What the broker said.
        detail: String,
    },
}

/// The queue of every partition, in RabbitMQ.
pub struct RabbitQueue {
    /// Publishing has a connection of its own: a broker under an alarm stops reading it, and acknowledgements go on.
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    queues: Arc<Queues>,
    partitions: u16,
    publisher: Publisher,
    acker: Arc<Acker>,
    reach: Arc<Reach>,
}

impl RabbitQueue {
    /// Connects, however long it takes until the broker can be reached; the connections then heal by themselves for
    /// ever. All queues are declared.
    ///
    /// # Errors
    /// What a person has to change.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        // A second call finds it installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hosts = Arc::new(Hosts::read(&options.url, options.ca.as_deref())?);
        let reach = Arc::new(Reach::over("rabbitmq", &[PUBLISHING, CONSUMING]));
        let queues = Arc::new(Queues::new(options.namespace));
        let publishing = Link::connect(Arc::clone(&hosts), PUBLISHING, Arc::clone(&reach));
        let consuming = Link::connect(hosts, CONSUMING, Arc::clone(&reach));
        let (publishing, consuming) = tokio::try_join!(publishing, consuming)?;
        let partitions = options.partitions;
        queues.declare_all(&publishing, partitions).await?;
        let publisher = Publisher::new(Arc::clone(&publishing), Arc::clone(&queues), options.confirm_timeout);
        Ok(Self { publishing, consuming, queues, partitions, publisher, acker: Arc::new(Acker::start()), reach })
    }

    /// Whether it can be reached, on both connections.
    pub fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.reach)
    }

    /// How many messages all queues have that no consumer holds at this moment.
    ///
    /// # Errors
    /// When the broker cannot say.
    pub async fn messages(&self) -> Result<u64, PortError> {
        let messages = self.queues.messages(&self.publishing, self.partitions).await;
        messages.map_err(|error| unavailable("count messages", error))
    }

    /// Ends the connections in order, in a bounded time.
    pub async fn close(&self) {
        tokio::join!(self.publishing.close(), self.consuming.close());
    }
}

fn unavailable(operation: &'static str, detail: impl fmt::Display) -> PortError {
    PortError::Unavailable { port: PORT, operation, detail: detail.to_string() }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, partition: PartitionId, publication: Publication) -> Result<(), PortError> {
        let mut outcomes = self.publisher.publish(partition, vec![publication]).await;
        outcomes.pop().unwrap_or_else(|| Err(unavailable("publish", "no outcome")))
    }

    async fn publish_all(&self, partition: PartitionId, publications: Vec<Publication>) -> Vec<Result<(), PortError>> {
        self.publisher.publish(partition, publications).await
    }

    async fn subscribe(&self, lease: &Lease, prefetch: usize) -> Result<Box<dyn Subscription>, PortError> {
        consume::subscribe(&self.consuming, &self.queues, &self.acker, lease, prefetch).await
    }

    async fn check(&self) -> Result<(), PortError> {
        self.publisher.check()
    }
}
