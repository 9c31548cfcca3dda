//! What rests under another master key, or under none that it names, is encrypted anew under the one of this process:
//! in small steps that can be repeated, beside processes that read and change the same rows. A value that was changed
//! meanwhile is left as it is.

use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::PortError;
use sqlx::AssertSqlSafe;

use crate::database::keys;
use crate::error::Fault;
use crate::secrets::headers_of;
use crate::sql::{Columns as _, Conn, run};
use crate::store::SqlStore;

const PORT: &str = "store";
/// Webhooks of one step.
const STEP: i64 = 100;
/// All that rests encrypted, in `webhooks`, deleted ones included.
const COLUMNS: [&str; 3] = ["secret", "previous_secret", "headers"];

/// What one step came to.
#[derive(Debug)]
pub struct Resealed {
    /// Values that were encrypted anew.
    pub done: u64,
    /// Values that could not be read, and are as they were.
    pub unreadable: Vec<Unreadable>,
    /// Where the next step begins; `None` after the last one.
    pub next: Option<WebhookId>,
}

/// A value that could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Whose it is.
    pub webhook: WebhookId,
    /// What it is: a column of `webhooks`.
    pub column: &'static str,
    /// Why.
    pub why: String,
}

impl SqlStore {
    /// The fingerprints of the master keys under which something may rest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys_in_use(&self) -> Result<Vec<String>, PortError> {
        let read = self.database.read(|conn| Box::pin(keys::in_use(conn))).await;
        read.map_err(|fault| fault.at(PORT, "read the master keys in use"))
    }

    /// How many values do not rest under this process's master key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn under_other_keys(&self) -> Result<u64, PortError> {
        let prefix = self.database.keys().sealer().prefix();
        let read = self.database.read(move |conn| Box::pin(async move { count(conn, &prefix).await })).await;
        read.map_err(|fault| fault.at(PORT, "count what rests under other keys"))
    }

    /// Encrypts the next values anew, those of 100 webhooks at most, each in a transaction of its own.
    ///
    /// # Errors
    /// When the store fails: what was done is done, and the step can be repeated.
    pub async fn reseal(&self, after: Option<WebhookId>) -> Result<Resealed, PortError> {
        self.reseal_after(after).await.map_err(|fault| fault.at(PORT, "encrypt anew"))
    }

    async fn reseal_after(&self, after: Option<WebhookId>) -> Result<Resealed, Fault> {
        let prefix = self.database.keys().sealer().prefix();
        let stale = self.database.read(move |conn| Box::pin(async move { stale(conn, after, &prefix).await })).await?;
        let next = stale.last().map(|(webhook, _)| *webhook);
        let mut resealed = Resealed { done: 0, unreadable: Vec::new(), next };
        for (webhook, values) in stale {
            let mut plains = Vec::new();
            for (column, sealed) in values {
                let purpose = purpose(column, webhook);
                match self.database.keys().open(&purpose, &sealed) {
                    Ok(plain) => plains.push((column, purpose, plain, sealed)),
                    Err(why) => resealed.unreadable.push(Unreadable { webhook, column, why: why.to_string() }),
                }
            }
            let known = self.database.keys().clone();
            let write = self.database.write(move |conn| {
                Box::pin(async move {
                    let sealer = keys::sealer(conn, &known).await?;
                    let mut done = 0;
                    for (column, purpose, plain, was) in plains {
                        let sql = format!("UPDATE webhooks SET {column} = $2 WHERE id = $1 AND {column} = $3");
                        let statement = sqlx::query(AssertSqlSafe(sql)).bind(webhook.to_string());
                        done += run(conn, statement.bind(sealer.seal(&purpose, &plain)?).bind(was)).await?;
                    }
                    Ok(done)
                })
            });
            resealed.done += write.await?;
        }
        Ok(resealed)
    }

    /// Says that nothing rests under another key than this process's, if that is so: then only this one is needed to
    /// open the database. Otherwise returns how many values still do.
    ///
    /// # Errors
    /// When the store fails: nothing was changed.
    pub async fn retire_other_keys(&self) -> Result<u64, PortError> {
        let known = self.database.keys().clone();
        let write = self.database.write(move |conn| {
            Box::pin(async move {
                let sealer = keys::sealer(conn, &known).await?;
                let prefix = sealer.prefix();
                keys::retire_all_but(conn, sealer.key(), async |conn| count(conn, &prefix).await).await
            })
        });
        write.await.map_err(|fault| fault.at(PORT, "retire the other keys"))
    }
}

/// What a value was encrypted for.
fn purpose(column: &str, webhook: WebhookId) -> Vec<u8> {
    if column == "headers" { headers_of(webhook) } else { webhook.0.as_bytes().to_vec() }
}

async fn count(conn: &mut Conn, prefix: &[u8]) -> Result<u64, Fault> {
    let mut left = 0;
    for column in COLUMNS {
        let sql = format!("SELECT count(*) FROM webhooks WHERE substr({column}, 1, 9) <> $1");
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(prefix.to_vec());
        left += u64::try_from(statement.fetch_one(&mut *conn).await?.int(0)?).unwrap_or(0);
    }
    Ok(left)
}

/// Values of one webhook, each with its column.
type Values = Vec<(&'static str, Vec<u8>)>;

/// The next webhooks with a value that rests under another key, and those values.
async fn stale(conn: &mut Conn, after: Option<WebhookId>, prefix: &[u8]) -> Result<Vec<(WebhookId, Values)>, Fault> {
    let others = COLUMNS.map(|column| format!("substr({column}, 1, 9) <> $2")).join(" OR ");
    let columns = COLUMNS.join(", ");
    let sql = format!("SELECT id, {columns} FROM webhooks WHERE id > $1 AND ({others}) ORDER BY id LIMIT {STEP}");
    let after = after.map_or_else(String::new, |webhook| webhook.to_string());
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(prefix.to_vec()).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let mut values = Values::new();
            for (place, column) in COLUMNS.into_iter().enumerate() {
                values.extend(
                    row.maybe_blob(place + 1)?.filter(|value| !value.starts_with(prefix)).map(|value| (column, value)),
                );
            }
            Ok((WebhookId(row.uuid(0)?), values))
        })
        .collect()
}
