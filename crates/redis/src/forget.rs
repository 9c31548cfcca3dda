//! Deletes all keys of a namespace, on every node that has some.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue as _, RedisError, RedisResult, Value};
use spectrum_webhook_core::ports::PortError;

use crate::link::{Connection, Link};

const WHAT: (&str, &str) = ("redis", "delete the keys");
/// Keys looked at in one call, about.
const PIECE: usize = 1_000;
/// Keys of a cluster deleted at once: each goes to its own node.
const ABREAST: usize = 64;

/// Deletes what begins with this, and says how many keys that were. No letter of it may mean something else in a pattern. A
/// key that is made meanwhile may stay.
pub(crate) async fn all(link: &Link, prefix: &str) -> Result<u64, PortError> {
    let pattern = format!("{prefix}*");
    let nodes = link.ask(WHAT, primaries).await?;
    let mut deleted = 0;
    for node in &nodes {
        let mut cursor = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PIECE);
            let (next, keys): (u64, Vec<Vec<u8>>) = link
                .ask(WHAT, async |connection| Ok(<_>::from_redis_value(to(connection, node, scan).await?)?))
                .await?;
            deleted += link.ask(WHAT, async |connection| unlink(connection, &keys).await).await?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(deleted)
}

/// Where keys are: a single server is `None`.
async fn primaries(connection: Connection) -> RedisResult<Vec<Option<(String, u16)>>> {
    let Connection::Cluster(mut cluster) = connection else { return Ok(vec![None]) };
    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let Value::Map(answers) = cluster.route_command(redis::cmd("PING"), all).await? else { return Err(unnamed()) };
    let address = |(name, _): &(Value, Value)| {
        let name = String::from_redis_value_ref(name)?;
        let (host, port) = name.rsplit_once(':').ok_or_else(unnamed)?;
        Ok(Some((host.to_owned(), port.parse().map_err(|_| unnamed())?)))
    };
    answers.iter().map(address).collect()
}

fn unnamed() -> RedisError {
    std::io::Error::other("the nodes of the cluster cannot be told apart").into()
}

async fn to(connection: Connection, node: &Option<(String, u16)>, call: Cmd) -> RedisResult<Value> {
    match (connection, node) {
        (Connection::Cluster(mut cluster), Some((host, port))) => {
            let there = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
            cluster.route_command(call, RoutingInfo::SingleNode(there)).await
        }
        (Connection::Cluster(mut cluster), None) => call.query_async(&mut cluster).await,
        (Connection::Node(mut single, _), _) => call.query_async(&mut single).await,
    }
}

async fn unlink(connection: Connection, keys: &[Vec<u8>]) -> RedisResult<u64> {
    let call = |keys: &[Vec<u8>]| {
        let mut call = redis::cmd("UNLINK");
        call.arg(keys);
        call
    };
    match connection {
        _ if keys.is_empty() => Ok(0),
        Connection::Node(mut single, _) => call(keys).query_async(&mut single).await,
        Connection::Cluster(cluster) => {
            let each = keys.iter().map(|key| {
                let (mut cluster, call) = (cluster.clone(), call(std::slice::from_ref(key)));
                async move { call.query_async::<u64>(&mut cluster).await }
            });
            stream::iter(each).buffer_unordered(ABREAST).try_fold(0, async |sum, one| Ok(sum + one)).await
        }
    }
}
