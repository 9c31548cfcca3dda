//! What a new owner of a partition finds.

use std::collections::BTreeMap;

use spectrum_webhook_core::ids::{Epoch, PartitionId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{LaneMode, LaneRecord, Lease, RestingLane, Takeover};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run};

pub(super) async fn epoch(conn: &mut Conn, partition: PartitionId) -> Result<Epoch, Fault> {
    let sql = "SELECT epoch FROM partitions WHERE id = $1";
    let row = sqlx::query(sql).bind(i64::from(partition.0)).fetch_optional(conn).await?;
    Ok(Epoch(row.map_or(Ok(0), |row| row.int(0))?))
}

/// Raises the epochs of a store that was restored: see [`SqlStore::restored`](super::SqlStore::restored).
pub(super) async fn raise_epochs(conn: &mut Conn, partitions: u16) -> Result<(), Fault> {
    let sql = "INSERT INTO partitions (id, epoch, highest) VALUES ($1, $2, 0) ON CONFLICT (id) \
               DO UPDATE SET epoch = partitions.epoch + excluded.epoch";
    for partition in 0..partitions {
        run(conn, sqlx::query(sql).bind(i64::from(partition)).bind(RESTORED)).await?;
    }
    Ok(())
}

/// By how much: ten thousand changes of a partition's owner since the backup, or four months of a clock in microseconds.
/// There is room for more than five hundred below 2^53.
const RESTORED: i64 = 10_000 * Epoch::STEP;

/// The epoch is written first and the rest read in later statements: whatever an older owner committed is seen, and
/// nothing of it can be committed after.
pub(super) async fn take_over(conn: &mut Conn, lease: Lease) -> Result<Takeover, Fault> {
    let partition = i64::from(lease.partition.0);
    let raise = "INSERT INTO partitions (id, epoch, highest) VALUES ($1, $2, 0) ON CONFLICT (id) \
                 DO UPDATE SET epoch = excluded.epoch WHERE partitions.epoch < excluded.epoch";
    if run(conn, sqlx::query(raise).bind(partition).bind(lease.epoch.0)).await? != 1 {
        return Err(Fault::Fenced);
    }
    let highest = "SELECT highest FROM partitions WHERE id = $1";
    let highest = sqlx::query(highest).bind(partition).fetch_one(&mut *conn).await?.int(0)?;

    let mut lanes = BTreeMap::new();
    for row in counts(conn, partition, "backlog").await? {
        lane(&mut lanes, &row)?.backlog = row.count(2)?;
    }
    for row in counts(conn, partition, "set_aside").await? {
        lane(&mut lanes, &row)?.set_aside = row.count(2)?;
    }
    let records = format!(
        "SELECT l.webhook, w.project, {LANE_COLUMNS} FROM lanes l JOIN webhooks w ON w.id = l.webhook \
         WHERE l.partition_id = $1"
    );
    for row in sqlx::query(sqlx::AssertSqlSafe(records)).bind(partition).fetch_all(conn).await? {
        lane(&mut lanes, &row)?.record = Some(lane_record_of(&row, 2)?);
    }
    Ok(Takeover { highest: Sequence(highest), lanes: lanes.into_values().collect() })
}

async fn counts(conn: &mut Conn, partition: i64, table: &'static str) -> Result<Vec<AnyRow>, Fault> {
    let sql = format!(
        "SELECT r.webhook, w.project, r.n \
         FROM (SELECT webhook, count(*) AS n FROM {table} WHERE partition_id = $1 GROUP BY webhook) r \
         JOIN webhooks w ON w.id = r.webhook"
    );
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(partition).fetch_all(conn).await?)
}

fn lane<'a>(lanes: &'a mut BTreeMap<WebhookId, RestingLane>, row: &AnyRow) -> Result<&'a mut RestingLane, Fault> {
    let (webhook, project) = (WebhookId(row.uuid(0)?), ProjectId(row.uuid(1)?));
    let empty = RestingLane { webhook, project, backlog: 0, set_aside: 0, record: None };
    Ok(lanes.entry(webhook).or_insert(empty))
}

/// The columns that [`lane_record_of`] reads, of `lanes l`.
pub(crate) const LANE_COLUMNS: &str = "l.mode, l.exhausted, l.since, l.probes, l.next_probe, l.proven";

/// What a lane remembers, from [`LANE_COLUMNS`], the first of which is at this place.
pub(crate) fn lane_record_of(row: &AnyRow, first: usize) -> Result<LaneRecord, Fault> {
    let mode = match row.text(first)?.as_str() {
        "suspect" => LaneMode::Suspect,
        "outage" => LaneMode::Outage {
            since: Millis(row.int(first + 2)?),
            probes: row.small(first + 3)?,
            next_probe: Millis(row.int(first + 4)?),
            proven: row.flag(first + 5)?,
        },
        other => return Err(Fault::Corrupt(format!("not a lane's mode: {other:?}"))),
    };
    Ok(LaneRecord { mode, exhausted: row.small(first + 1)? })
}
