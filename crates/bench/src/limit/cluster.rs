//! Over RabbitMQ and Redis: one script for each event, quorum queues, many publishes waiting for their confirms on few
//! channels, consumers with a window each.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::try_join_all;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::protocol::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Tuning;
use super::acks::acknowledge;
use super::lanes::Lanes;
use crate::progress::complain;

/// Messages of a queue that are not acknowledged.
pub(super) const PREFETCH: u16 = 300;
/// Notes an event for repeats and reads what else is known of its project.
pub(super) const SCRIPT: &str = "
local new = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 3600000)
return {new and 1 or 0, redis.call('GET', KEYS[2]) or ''}";

/// What takes events.
pub(super) struct Cluster {
    channels: Vec<Channel>,
    queues: Vec<String>,
    redis: MultiplexedConnection,
    script: Script,
    _connections: [Connection; 2],
}

pub(super) fn queue(number: usize) -> String {
    format!("limit.{number}")
}

pub(super) async fn rabbitmq() -> Result<Connection> {
    let url = std::env::var("SPECTRUM_AMQP_URL").context("SPECTRUM_AMQP_URL")?;
    Ok(Connection::connect(&url, ConnectionProperties::default()).await?)
}

pub(super) async fn redis() -> Result<MultiplexedConnection> {
    let url = std::env::var("SPECTRUM_REDIS_URL").context("SPECTRUM_REDIS_URL")?;
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection().await?)
}

pub(super) async fn declare(channel: &Channel, queue: &str) -> Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok(())
}

pub(super) async fn publisher(connection: &Connection) -> Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

pub(super) async fn consumer(connection: &Connection, queue: &str) -> Result<(Channel, Consumer)> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue.into(), "limit".into(), options, FieldTable::default()).await?;
    Ok((channel, consumer))
}

/// Hands a message to the channel; what is returned ends with its confirm.
pub(super) async fn publish(
    channel: &Channel,
    (queue, project): (&str, usize),
    body: &[u8],
) -> Result<impl Future<Output = Result<()>> + use<>> {
    let properties = BasicProperties::default()
        .with_message_id(Uuid::now_v7().to_string().into())
        .with_type(project.to_string().into())
        .with_content_type("application/json".into())
        .with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await?;
    Ok(async move {
        ensure!(confirm.await?.is_ack(), "RabbitMQ did not take a message");
        Ok(())
    })
}

impl Cluster {
    /// Connects, and starts to consume.
    pub(super) async fn connect(lanes: Arc<Lanes>, tuning: Tuning) -> Result<Self> {
        let connections = [rabbitmq().await?, rabbitmq().await?];
        let [publishing, consuming] = &connections;
        let mut channels = Vec::new();
        for _ in 0..tuning.channels {
            channels.push(publisher(publishing).await?);
        }
        let queues: Vec<String> = (0..tuning.queues).map(queue).collect();
        for queue in &queues {
            declare(&channels[0], queue).await?;
            let (channel, consumer) = consumer(consuming, queue).await?;
            let (finished, tags) = mpsc::unbounded_channel();
            tokio::spawn(told(acknowledge(channel, tags)));
            tokio::spawn(told(consume(consumer, Arc::clone(&lanes), finished)));
        }
        Ok(Self { channels, queues, redis: redis().await?, script: Script::new(SCRIPT), _connections: connections })
    }

    pub(super) async fn take(&self, project: usize, bodies: Vec<Bytes>) -> Result<()> {
        let scripts = bodies.iter().map(|_| note(&self.script, self.redis.clone(), project));
        try_join_all(scripts).await?;
        let number = project % self.queues.len();
        let (queue, channel) = (&self.queues[number], &self.channels[number % self.channels.len()]);
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in &bodies {
            confirms.push(publish(channel, (queue, project), body).await?);
        }
        try_join_all(confirms).await?;
        Ok(())
    }
}

/// Runs the script for one event.
pub(super) async fn note(script: &Script, mut redis: MultiplexedConnection, project: usize) -> Result<()> {
    let mut script = script.prepare_invoke();
    script.key(format!("limit:{}", Uuid::now_v7())).key(format!("limit:registry:{project}")).arg("1");
    let (new, _): (u8, String) = script.invoke_async(&mut redis).await?;
    ensure!(new == 1, "a new event is none");
    Ok(())
}

async fn consume(mut consumer: Consumer, lanes: Arc<Lanes>, finished: mpsc::UnboundedSender<u64>) -> Result<()> {
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        let project = text(delivery.properties.kind()).context("a project")?.parse()?;
        let id = text(delivery.properties.message_id()).context("an id")?;
        let (tag, finished) = (delivery.delivery_tag, finished.clone());
        let done = move || {
            // Whoever acknowledges lives as long as its channel.
            let _ = finished.send(tag);
        };
        lanes.send(project, id, delivery.data.into(), Box::new(done));
    }
    Ok(())
}

/// What ends here ends the measurement: the receiver misses what it waits for.
async fn told(task: impl Future<Output = Result<()>>) {
    if let Err(error) = task.await {
        complain(&format!("the limit: {error:#}"));
    }
}
