//! A connection that heals by itself, for ever; and the declaring of queues.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, Event};
use parking_lot::{Mutex, RwLock};
use spectrum_webhook_core::chance::Seeded;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::Reach;
use spectrum_webhook_core::retry::{Policy, Schedule};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::ConnectError;
use crate::hosts::Hosts;

/// How long connecting may take in all.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection may take to end in order.
const CLOSE: Duration = Duration::from_secs(3);
/// How often a connection is looked at without having said anything.
const LOOK: Duration = Duration::from_secs(1);
const RETRIES: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, cap: Duration::from_secs(5), attempts: u32::MAX };
/// So many returns of a message are no reason to drop it. RabbitMQ 4 takes 20 unless it is told otherwise, and with any
/// limit set returned messages keep their place at the head.
const DELIVERY_LIMIT: i32 = i32::MAX;

/// A connection, by the number of its making.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) made: u64,
    pub(crate) connection: Arc<Connection>,
}

struct Shared {
    hosts: Arc<Hosts>,
    name: &'static str,
    reach: Arc<Reach>,
    current: RwLock<Option<Current>>,
    /// Whether the broker has stopped reading.
    blocked: watch::Sender<bool>,
}

/// One of the connections to the broker. Dropping it ends it.
pub(crate) struct Link {
    shared: Arc<Shared>,
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What went wrong, for whom.
pub(crate) fn refusal(error: &lapin::Error) -> Option<ConnectError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Some(ConnectError::Access(error.to_string())),
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Some(ConnectError::VirtualHost(error.to_string())),
            _ => None,
        },
        ErrorKind::IOError(error) => {
            let mut source: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
            while let Some(inner) = source {
                if inner.is::<rustls::Error>() {
                    return Some(ConnectError::Tls(inner.to_string()));
                }
                source = inner.source();
            }
            None
        }
        _ => None,
    }
}

impl Link {
    /// Connects, however long it takes. `name` is what the broker's list of connections shows, and what
    /// `reach` knows this one by.
    pub(crate) async fn connect(
        hosts: Arc<Hosts>,
        name: &'static str,
        reach: Arc<Reach>,
    ) -> Result<Arc<Self>, ConnectError> {
        let shared =
            Arc::new(Shared { hosts, name, reach, current: RwLock::default(), blocked: watch::Sender::new(false) });
        let mut retries = Retries::new();
        loop {
            match shared.connect().await {
                Ok(()) => break,
                Err(error) => {
                    if let Some(refused) = refusal(&error) {
                        return Err(refused);
                    }
                    retries.failed("RabbitMQ cannot be reached yet", &error.to_string()).await;
                }
            }
        }
        let keeper = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&shared).keep()));
        Ok(Arc::new(Self { shared, keeper: Mutex::new(Some(keeper)) }))
    }

    /// The connection.
    ///
    /// # Errors
    /// Why there is none at the moment.
    pub(crate) fn current(&self) -> Result<Current, String> {
        let current = self.shared.current.read().clone();
        current.filter(|current| current.connection.status().connected()).ok_or_else(|| {
            format!("RabbitMQ cannot be reached: {}", self.shared.reach.state().err().unwrap_or_default())
        })
    }

    /// Whether the broker has stopped reading.
    pub(crate) fn blocked(&self) -> watch::Receiver<bool> {
        self.shared.blocked.subscribe()
    }

    /// Ends it in order, in a bounded time.
    pub(crate) async fn close(&self) {
        drop(self.keeper.lock().take());
        let current = self.shared.current.write().take();
        if let Some(Current { connection, .. }) = current {
            // Broken or late, it ends with the process.
            let _ = timeout(CLOSE, connection.close(200, "bye".into())).await;
        }
    }
}

impl Shared {
    async fn connect(&self) -> lapin::Result<()> {
        let name = format!("spectrum-webhook {} {}", self.name, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()?;
        let connecting = Connection::connect_uri_with_config(self.hosts.next(), properties, self.hosts.tls(), runtime);
        let late = || lapin::Error::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"));
        let connection = timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(late()))?;
        let mut current = self.current.write();
        let made = current.as_ref().map_or(0, |current| current.made) + 1;
        *current = Some(Current { made, connection: Arc::new(connection) });
        self.blocked.send_replace(false);
        self.reach.reached_over(self.name);
        Ok(())
    }

    /// Watches the connection, and makes another one when it is lost.
    async fn keep(self: Arc<Self>) {
        loop {
            let current = self.current.read().clone();
            if let Some(Current { connection, .. }) = current {
                self.watch(&connection).await;
                if self.reach.lost_over(self.name, "the connection was lost") {
                    tracing::warn!(connection = self.name, "RabbitMQ is lost");
                }
            }
            let mut retries = Retries::new();
            while let Err(error) = self.connect().await {
                self.reach.lost_over(self.name, &error.to_string());
                retries.failed("RabbitMQ cannot be reached", &error.to_string()).await;
            }
            tracing::info!(connection = self.name, "RabbitMQ is back");
        }
    }

    /// Returns when the connection is lost.
    async fn watch(&self, connection: &Connection) {
        let mut events = connection.events_listener();
        while connection.status().connected() {
            match timeout(LOOK, events.next()).await {
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(reason, "RabbitMQ takes no messages: it is under an alarm");
                    self.blocked.send_replace(true);
                }
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!("RabbitMQ takes messages again");
                    self.blocked.send_replace(false);
                }
                Ok(Some(Event::Error(error))) => {
                    tracing::debug!(%error, connection = self.name, "an error of RabbitMQ")
                }
                Ok(Some(_)) => {}
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(_) => {
                    // It may have been blocked before anyone listened.
                    self.blocked.send_if_modified(|blocked| {
                        let before = std::mem::replace(blocked, connection.status().blocked());
                        before != *blocked
                    });
                }
            }
        }
    }
}

/// The names of the queues, and which of them are known to be declared.
pub(crate) struct Queues {
    namespace: String,
    declared: Mutex<HashSet<PartitionId>>,
}

/// Why a queue could not be declared.
pub(crate) enum Undeclared {
    Other(ConnectError),
    Later(lapin::Error),
}

impl Queues {
    pub(crate) fn new(namespace: String) -> Self {
        Self { namespace, declared: Mutex::default() }
    }

    pub(crate) fn name(&self, partition: PartitionId) -> String {
        format!("{}.events.{partition}", self.namespace)
    }

    /// It may be gone: it is declared again before it is used next.
    pub(crate) fn doubt(&self, partition: PartitionId) {
        self.declared.lock().remove(&partition);
    }

    /// Declares a queue, unless it is known to be.
    pub(crate) async fn declare(&self, connection: &Connection, partition: PartitionId) -> Result<(), Undeclared> {
        if self.declared.lock().contains(&partition) {
            return Ok(());
        }
        let channel = connection.create_channel().await.map_err(Undeclared::Later)?;
        self.declare_on(&channel, partition).await
    }

    async fn declare_on(&self, channel: &Channel, partition: PartitionId) -> Result<(), Undeclared> {
        let queue = self.name(partition);
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        match channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments).await {
            Ok(_) => {
                self.declared.lock().insert(partition);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::ProtocolError(said)
                    if said.kind() == &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
                {
                    Err(Undeclared::Other(ConnectError::OtherQueue { queue, detail: said.to_string() }))
                }
                _ => match refusal(&error) {
                    Some(refused) => Err(Undeclared::Other(refused)),
                    None => Err(Undeclared::Later(error)),
                },
            },
        }
    }

    /// Declares all queues, however long it takes, after looking whether the broker knows their type.
    pub(crate) async fn declare_all(&self, link: &Link, partitions: u16) -> Result<(), ConnectError> {
        let mut retries = Retries::new();
        loop {
            let why = match self.try_declare_all(link, partitions).await {
                Ok(()) => return Ok(()),
                Err(Undeclared::Other(error)) => return Err(error),
                Err(Undeclared::Later(error)) => error.to_string(),
            };
            retries.failed("the queues cannot be declared yet", &why).await;
        }
    }

    async fn try_declare_all(&self, link: &Link, partitions: u16) -> Result<(), Undeclared> {
        let later = |why: String| Undeclared::Later(std::io::Error::other(why).into());
        let Current { connection, .. } = link.current().map_err(later)?;
        self.knows_queue_types(&connection).await?;
        let channel = connection.create_channel().await.map_err(Undeclared::Later)?;
        for partition in 0..partitions {
            self.declare_on(&channel, PartitionId(partition)).await?;
        }
        // It would close by itself.
        let _ = channel.close(200, "bye".into()).await;
        Ok(())
    }

    /// How many messages all queues have that no consumer holds.
    pub(crate) async fn messages(&self, link: &Link, partitions: u16) -> Result<u64, String> {
        let Current { connection, .. } = link.current()?;
        let channel = connection.create_channel().await.map_err(|error| error.to_string())?;
        let mut messages = 0;
        for partition in 0..partitions {
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
            let name = self.name(PartitionId(partition));
            let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
            messages += u64::from(declared.map_err(|error| error.to_string())?.message_count());
        }
        // It would close by itself.
        let _ = channel.close(200, "bye".into()).await;
        Ok(messages)
    }

    /// A broker that knows types of queues refuses one that does not exist; an older one makes a classic queue of it.
    async fn knows_queue_types(&self, connection: &Connection) -> Result<(), Undeclared> {
        let channel = connection.create_channel().await.map_err(Undeclared::Later)?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("no-such-type".into()));
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let name = format!("{}.probe.{}", self.namespace, rand::random::<u64>());
        match channel.queue_declare(name.as_str().into(), options, arguments).await {
            Ok(_) => Err(Undeclared::Other(ConnectError::Old)),
            Err(error) => match error.kind() {
                ErrorKind::ProtocolError(said)
                    if said.kind() == &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
                {
                    Ok(())
                }
                _ => match refusal(&error) {
                    Some(refused) => Err(Undeclared::Other(refused)),
                    None => Err(Undeclared::Later(error)),
                },
            },
        }
    }
}

/// Waits that grow, with a line in the log for the first and then every doubled number of failures.
struct Retries {
    schedule: Schedule,
    chance: Seeded,
    failed: u32,
}

impl Retries {
    fn new() -> Self {
        Self { schedule: Schedule::new(&RETRIES), chance: Seeded::new(rand::random()), failed: 0 }
    }

    async fn failed(&mut self, what: &'static str, why: &str) {
        self.failed = self.failed.saturating_add(1);
        if self.failed.is_power_of_two() {
            tracing::warn!(what, why, failed = self.failed, "trying again");
        }
        let wait = self.schedule.wait(self.failed, None, &mut self.chance);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}
