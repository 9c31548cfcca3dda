//! The tables that a move carries, and what becomes of each column on the way.
//!
//! Not carried, on purpose: `migrations`, `partitions` (the target's are made for it), `duties` and `members` (of the
//! processes that were), `settings` (but for the project that is told of outages), and the embedded queue with its marks
//! and records, which go to the queue and the sequence lock of the target.

use spectrum_webhook_core::ids::{PartitionId, ProjectId, WebhookId};
use sqlx::any::AnyRow;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::secrets::{Keyring, Sealer, Unopened, headers_of};
use crate::sql::{Columns as _, Statement};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
    /// A signing secret of the row's webhook, encrypted.
    Secret,
    /// The headers of the row's webhook, encrypted.
    Headers,
    /// The partition of the row's webhook.
    PartitionOfWebhook,
    /// A partition of which nothing else is known.
    Partition,
}

/// A table: its columns, of which the first `keys` are its primary key.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) keys: usize,
    pub(super) columns: &'static [(&'static str, Kind)],
}

use Kind::{Bytes, Headers, Int, Partition, PartitionOfWebhook, Secret, Text};

/// In this order what a row points at is there before it.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "projects",
        keys: 1,
        columns: &[
            ("id", Text),
            ("name", Text),
            ("secret_hash", Bytes),
            ("registry", Int),
            ("changed", Int),
            ("created_at", Int),
            ("deleted_at", Int),
        ],
    },
    Table {
        name: "webhooks",
        keys: 1,
        columns: &[
            ("id", Text),
            ("project", Text),
            ("url", Text),
            ("secret", Secret),
            ("previous_secret", Secret),
            ("previous_until", Int),
            ("event_types", Text),
            ("disabled_at", Int),
            ("disabled_reason", Text),
            ("added", Int),
            ("created_at", Int),
            ("updated_at", Int),
            ("deleted_at", Int),
            ("headers", Headers),
            ("rate_limit", Int),
            ("attempt_timeout_ms", Int),
            ("ordering", Text),
        ],
    },
    Table {
        name: "events",
        keys: 1,
        columns: &[
            ("id", Text),
            ("project", Text),
            ("event_type", Text),
            ("accepted_at", Int),
            ("registry", Int),
            ("traceparent", Text),
            ("body", Bytes),
            ("only_webhook", Text),
            ("original", Text),
            ("keep_until", Int),
            ("sequence", Int),
        ],
    },
    Table {
        name: "backlog",
        keys: 2,
        columns: &[
            ("event", Text),
            ("webhook", Text),
            ("partition_id", PartitionOfWebhook),
            ("sequence", Int),
            ("attempts", Int),
            ("sent", Int),
            ("space", Int),
        ],
    },
    Table {
        name: "set_aside",
        keys: 2,
        columns: &[
            ("event", Text),
            ("webhook", Text),
            ("partition_id", PartitionOfWebhook),
            ("sequence", Int),
            ("attempts", Int),
            ("last", Text),
            ("set_aside_at", Int),
            ("space", Int),
        ],
    },
    Table {
        name: "dead_letters",
        keys: 2,
        columns: &[
            ("event", Text),
            ("webhook", Text),
            ("project", Text),
            ("partition_id", PartitionOfWebhook),
            ("sequence", Int),
            ("reason", Text),
            ("fault", Text),
            ("attempts", Int),
            ("last", Text),
            ("died_at", Int),
            ("closed_at", Int),
            ("closed_by", Text),
            ("closed_reason", Text),
            ("resent_as", Text),
        ],
    },
    Table {
        name: "lanes",
        keys: 1,
        columns: &[
            ("webhook", Text),
            ("partition_id", PartitionOfWebhook),
            ("mode", Text),
            ("exhausted", Int),
            ("since", Int),
            ("probes", Int),
            ("next_probe", Int),
            ("proven", Int),
        ],
    },
    Table {
        name: "attempts",
        keys: 4,
        columns: &[
            ("event", Text),
            ("webhook", Text),
            ("started_at", Int),
            ("number", Int),
            ("project", Text),
            ("event_type", Text),
            ("sequence", Int),
            ("connect_ms", Int),
            ("first_byte_ms", Int),
            ("total_ms", Int),
            ("status", Int),
            ("failure", Text),
            ("retry_after_ms", Int),
            ("address", Text),
            ("snippet", Text),
            ("resend", Text),
            ("next", Text),
            ("next_at", Int),
        ],
    },
    Table {
        name: "quarantine",
        keys: 1,
        columns: &[
            ("id", Text),
            ("partition_id", Partition),
            ("bytes", Bytes),
            ("detail", Text),
            ("quarantined_at", Int),
        ],
    },
    Table {
        name: "steerings",
        keys: 1,
        columns: &[
            ("id", Text),
            ("webhook", Text),
            ("project", Text),
            ("command", Text),
            ("event", Text),
            ("reason", Text),
            ("asked_at", Int),
            ("done_at", Int),
            ("deliveries", Int),
            ("outcome", Text),
        ],
    },
    // Without who runs one, and until when: nobody does.
    Table {
        name: "replays",
        keys: 1,
        columns: &[
            ("id", Text),
            ("project", Text),
            ("webhook", Text),
            ("what", Text),
            ("from_at", Int),
            ("to_at", Int),
            ("reason", Text),
            ("rate", Int),
            ("state", Text),
            ("total", Int),
            ("sent", Int),
            ("cursor_sequence", Int),
            ("cursor_event", Text),
            ("created_at", Int),
            ("updated_at", Int),
        ],
    },
    Table {
        name: "notices",
        keys: 1,
        columns: &[
            ("id", Text),
            ("kind", Text),
            ("project", Text),
            ("webhook", Text),
            ("event", Text),
            ("detail", Text),
            ("at", Int),
        ],
    },
    Table {
        name: "outages",
        keys: 2,
        columns: &[("webhook", Text), ("since", Int), ("project", Text), ("until", Int)],
    },
];

/// A value that can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    pub(super) fn bind(&self, statement: Statement) -> Statement {
        match self {
            Self::Int(value) => statement.bind(*value),
            Self::Text(value) => statement.bind(value.clone()),
            Self::Bytes(value) => statement.bind(value.clone()),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Int(_) => size_of::<i64>(),
            Self::Text(value) => value.as_ref().map_or(0, String::len),
            Self::Bytes(value) => value.as_ref().map_or(0, Vec::len),
        }
    }
}

/// A value on its way: what is secret is encrypted when it is written, under the key that the target has then.
pub(super) enum Cell {
    Plain(Value),
    Secret { purpose: Vec<u8>, plain: Zeroizing<Vec<u8>> },
}

impl Cell {
    /// As it can be written.
    pub(super) fn sealed(self, sealer: &Sealer) -> Result<Value, Fault> {
        match self {
            Self::Plain(value) => Ok(value),
            Self::Secret { purpose, plain } => Ok(Value::Bytes(Some(sealer.seal(&purpose, &plain)?))),
        }
    }

    /// Its bytes, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Plain(value) => value.size(),
            Self::Secret { plain, .. } => plain.len(),
        }
    }
}

/// What a row goes through on its way.
#[derive(Clone)]
pub(super) struct Passage {
    /// What opens the source's secrets.
    pub(super) from: Keyring,
    /// The target's partitions.
    pub(super) partitions: u16,
}

impl Table {
    /// What to read of `r`, a row of it.
    pub(super) fn selection(&self) -> String {
        let column = |(name, kind): &(&str, Kind)| match kind {
            // The project stands in for it.
            PartitionOfWebhook => "(SELECT w.project FROM webhooks w WHERE w.id = r.webhook)".to_owned(),
            _ => format!("r.{name}"),
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The names of its columns, or of those of its key.
    pub(super) fn names(&self, prefix: &str, count: usize) -> String {
        let named = self.columns.iter().take(count).map(|(name, _)| format!("{prefix}{name}"));
        named.collect::<Vec<_>>().join(", ")
    }

    /// A row of the source, as the target shall have it.
    pub(super) fn carry(&self, row: &AnyRow, passage: &Passage) -> Result<Vec<Cell>, Fault> {
        self.columns.iter().enumerate().map(|(at, (_, kind))| cell(row, at, *kind, passage)).collect()
    }
}

fn cell(row: &AnyRow, at: usize, kind: Kind, passage: &Passage) -> Result<Cell, Fault> {
    let opened = |purpose: fn(WebhookId) -> Vec<u8>| {
        let Some(sealed) = row.maybe_blob(at)? else { return Ok(Cell::Plain(Value::Bytes(None))) };
        let webhook = WebhookId(row.uuid(0)?);
        let purpose = purpose(webhook);
        let said = |why: Unopened| why.of(format_args!("what is encrypted of webhook {webhook} in the source"));
        let plain = passage.from.open(&purpose, &sealed).map_err(said)?;
        Ok(Cell::Secret { purpose, plain })
    };
    let value = match kind {
        Int => Value::Int(row.maybe_int(at)?),
        Text => Value::Text(row.maybe_text(at)?),
        Bytes => Value::Bytes(row.maybe_blob(at)?),
        Secret => return opened(|webhook| webhook.0.as_bytes().to_vec()),
        Headers => return opened(headers_of),
        PartitionOfWebhook => Value::Int(Some(partition_of(row.uuid(at)?, passage.partitions))),
        Partition => Value::Int(Some(row.int(at)?.rem_euclid(i64::from(passage.partitions)))),
    };
    Ok(Cell::Plain(value))
}

fn partition_of(project: Uuid, partitions: u16) -> i64 {
    i64::from(PartitionId::of(ProjectId(project), partitions).0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::database::{Database, Options};
    use crate::secrets::MasterKey;

    /// Tables and columns that stay behind: see the top of this file.
    const LEFT: [&str; 11] = [
        "migrations",
        "partitions",
        "duties",
        "members",
        "settings",
        "queue",
        "done",
        "idempotency",
        "sqlite_sequence",
        "replays.runner",
        "replays.runs_until",
    ];

    #[tokio::test]
    async fn every_column_of_the_schema_is_carried_or_left_on_purpose() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { synchronous_off: true, ..Options::new(dir.path()) };
        let database = Database::open(options, MasterKey::from_bytes([1; 32])).await.expect("open");
        const COLUMNS: &str =
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
        let rows = database.read(|conn| Box::pin(async { Ok(sqlx::query(COLUMNS).fetch_all(conn).await?) })).await;
        let mut schema = BTreeSet::new();
        for row in rows.expect("columns") {
            let (table, column) = (row.text(0).expect("a table"), row.text(1).expect("a column"));
            let name = format!("{table}.{column}");
            if !LEFT.contains(&table.as_str()) && !LEFT.contains(&name.as_str()) {
                schema.insert(name);
            }
        }
        let carried: BTreeSet<String> = TABLES
            .iter()
            .flat_map(|table| table.columns.iter().map(|(column, _)| format!("{}.{column}", table.name)))
            .collect();
        assert_eq!(schema, carried, "a move has to carry it, or to leave it on purpose");
        database.abandon().await;
    }
}
