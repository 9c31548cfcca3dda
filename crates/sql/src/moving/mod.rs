//! A move: the rows of one deployment carried into the empty database of another, which may have other partitions and
//! other master keys.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `tables` | what is carried, and what becomes of each column |
//! | `copy` | reading and writing tables in pieces, and counting them |
//! | `journal` | the mark in the source and the state in the target, by which a move that was killed goes on |
//! | `queue` | what the embedded queue holds, for the target's queue and sequence lock |
//!
//! Whoever calls says what is published and when ([`Move::passed`]); the rows are this module's alone. The source changes
//! by its mark only. Sequence numbers are carried as they are, and every partition of the target gets an epoch that is
//! above all of them: what comes later is numbered behind what rests.

mod copy;
mod journal;
mod queue;
mod tables;

use spectrum_webhook_core::ports::PortError;
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use crate::database::Database;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn, run};
use crate::store::SqlStore;
use journal::{Journal, Mark, Stage};
use tables::{Passage, TABLES};

pub use journal::Standing;
pub use queue::{Queued, Record};

const PORT: &str = "move";

/// Why a move cannot be done. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The target has rows.
    #[error(
        "the target is not empty: it has rows in `{0}`; name an empty database in SPECTRUM_DATABASE_URL, and a \
         SPECTRUM_NAMESPACE that is not in use"
    )]
    NotEmpty(&'static str),
    /// The target has a half-done move of something else.
    #[error(
        "the target holds a part of another move, or of one of this source that was undone since: give it an empty \
         database, and a SPECTRUM_NAMESPACE that is not in use"
    )]
    OtherMove,
    /// The source is elsewhere.
    #[error(
        "this source was moved already, into another target; if that one is not used, let it be moved again with \
         `spectrum-webhook move --undo`"
    )]
    Elsewhere,
    /// One of the two has what this release knows nothing of, and would not carry.
    #[error("the {0} was migrated by a newer release (migration {1}): move with that release or a later one")]
    Newer(&'static str, i64),
    /// Another process moves at the same time.
    #[error("another process moves this source, or into this target: let it end, and look how far it came")]
    Overtaken,
    /// What arrived is not what left.
    #[error(
        "`{table}` has {source_rows} rows in the source and {target_rows} in the target: do not use the target; report this"
    )]
    Differs {
        /// The table.
        table: &'static str,
        /// Its rows in the source.
        source_rows: u64,
        /// Its rows in the target.
        target_rows: u64,
    },
    /// A database failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<Fault> for MoveError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fenced => Self::Overtaken,
            fault => Self::Port(fault.at(PORT, "carry rows")),
        }
    }
}

/// Rows of a table that were carried, and those that the source has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The table.
    pub table: &'static str,
    /// In the target.
    pub rows: u64,
    /// In the source.
    pub of: u64,
}

/// A move under way. Nobody else uses the two databases.
pub struct Move {
    source: Database,
    target: Database,
    passage: Passage,
    journal: Journal,
    /// What the source has, by the place of its table.
    has: Vec<u64>,
}

impl Move {
    /// Whether a move of this source into this target may begin (`false`), or was begun and goes on (`true`).
    ///
    /// # Errors
    /// When the target cannot take it.
    pub async fn may_begin(source: &Database, target: &Database) -> Result<bool, MoveError> {
        let (mark, journal) = (journal::read_mark(source).await?, journal::read_journal(target).await?);
        may_begin(source, target, mark.as_ref(), journal.as_ref()).await?;
        Ok(journal.is_some())
    }

    /// What the source has to carry, and the target has already, by table. Changes nothing.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn check(source: &Database, target: &Database) -> Result<Vec<Carried>, MoveError> {
        let mut found = Vec::with_capacity(TABLES.len());
        for table in TABLES {
            let (of, rows) = (copy::count(source, table).await?, copy::count(target, table).await?);
            found.push(Carried { table: table.name, rows, of });
        }
        Ok(found)
    }

    /// Begins a move into an empty target, or goes on with it. The source is marked, so that nobody serves it.
    ///
    /// # Errors
    /// When the target cannot take it.
    pub async fn begin(source: Database, target: Database, partitions: u16, now: Millis) -> Result<Self, MoveError> {
        let (mark, found) = (journal::read_mark(&source).await?, journal::read_journal(&target).await?);
        may_begin(&source, &target, mark.as_ref(), found.as_ref()).await?;
        let journal = match found {
            Some(journal) => journal,
            None => {
                let id = Uuid::now_v7();
                let new = Mark { id, at: now, done: false };
                if !journal::write_mark(&source, mark.as_ref(), &new).await? {
                    return Err(MoveError::Overtaken);
                }
                journal::begin(&target, id).await?
            }
        };
        let mut has = Vec::with_capacity(TABLES.len());
        for table in TABLES {
            has.push(copy::count(&source, table).await?);
        }
        let passage = Passage { from: source.keys().clone(), partitions };
        Ok(Self { source, target, passage, journal, has })
    }

    /// Whether all is done, by this call or an earlier one.
    pub fn is_done(&self) -> bool {
        self.journal.stage == Stage::Done
    }

    /// Messages that the target's queue has, and those that went to its quarantine.
    pub fn queued(&self) -> (u64, u64) {
        (self.journal.queued, self.journal.unreadable)
    }

    /// Carries the next piece of a table; `None` when all are carried.
    ///
    /// # Errors
    /// When a database fails: what is carried stays, and the next call goes on behind it.
    pub async fn carry(&mut self) -> Result<Option<Carried>, MoveError> {
        let Stage::Table { number, after } = self.journal.stage.clone() else { return Ok(None) };
        let Some(table) = TABLES.get(number) else {
            self.number_partitions().await?;
            return Ok(None);
        };
        let piece = copy::read(&self.source, table, after, self.passage.clone()).await?;
        let rows = self.journal.rows + piece.rows.len() as u64;
        let mut next = self.journal.clone();
        match piece.rows.last().filter(|_| !piece.last) {
            Some(last) => {
                next.stage = Stage::Table { number, after: copy::key_of(table, last) };
                next.rows = rows;
            }
            None => {
                next.stage = Stage::Table { number: number + 1, after: Vec::new() };
                next.rows = 0;
            }
        }
        let of = self.has.get(number).copied().unwrap_or_default();
        let known = self.target.keys().clone();
        self.advance(next, move |conn| Box::pin(async move { copy::write(conn, table, piece.rows, &known).await }))
            .await?;
        Ok(Some(Carried { table: table.name, rows, of }))
    }

    /// Gives each partition of the target a start above every number of the source, and names whom to tell.
    async fn number_partitions(&mut self) -> Result<(), MoveError> {
        let (epoch, highest, told) = self.source.read(|conn| Box::pin(heights(conn))).await?;
        let partitions = i64::from(self.passage.partitions);
        let next = Journal { stage: Stage::Queue { position: 0 }, rows: 0, ..self.journal.clone() };
        self.advance(next, move |conn| {
            Box::pin(async move {
                let sql = "INSERT INTO partitions (id, epoch, highest) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE \
                           SET epoch = CASE WHEN partitions.epoch < excluded.epoch THEN excluded.epoch \
                           ELSE partitions.epoch END, \
                           highest = CASE WHEN partitions.highest < excluded.highest THEN excluded.highest \
                           ELSE partitions.highest END";
                for partition in 0..partitions {
                    run(conn, sqlx::query(sql).bind(partition).bind(epoch).bind(highest)).await?;
                }
                if let Some(project) = told {
                    let sql = "INSERT INTO settings (name, value) VALUES ('operations_project', $1) \
                               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                    run(conn, sqlx::query(sql).bind(project)).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Writes the next state, and what belongs to it, in one transaction.
    async fn advance<F>(&mut self, next: Journal, work: F) -> Result<(), MoveError>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> futures::future::BoxFuture<'c, Result<(), Fault>> + Send + 'static,
    {
        let (old, new) = (self.journal.clone(), next.clone());
        let done = self.target.write(move |conn| {
            Box::pin(async move {
                journal::advance(conn, &old, &new).await?;
                work(conn).await
            })
        });
        done.await?;
        self.journal = next;
        Ok(())
    }

    /// Compares what arrived with what left, and ends the move: the source stays marked, and the target may be served.
    ///
    /// # Errors
    /// When something is missing, or a database fails.
    pub async fn finish(&mut self, now: Millis) -> Result<Vec<Carried>, MoveError> {
        let mut arrived = Vec::with_capacity(TABLES.len());
        for (table, has) in TABLES.iter().zip(&self.has) {
            let rows = copy::count(&self.target, table).await?;
            let of = if table.name == "quarantine" { has + self.journal.unreadable } else { *has };
            if rows != of {
                return Err(MoveError::Differs { table: table.name, source_rows: of, target_rows: rows });
            }
            arrived.push(Carried { table: table.name, rows, of });
        }
        // The mark first: a target that may be served beside a source that may be, too, would deliver twice.
        self.leave(now).await?;
        let next = Journal { stage: Stage::Done, ..self.journal.clone() };
        self.advance(next, |_| Box::pin(async { Ok(()) })).await?;
        Ok(arrived)
    }

    /// Says in the source that all of it has gone, unless it was given back meanwhile, or is moved into another target.
    async fn leave(&self, now: Millis) -> Result<(), MoveError> {
        let own = journal::read_mark(&self.source).await?.filter(|mark| mark.id == self.journal.id);
        let left = match &own {
            Some(mark) if mark.done => true,
            Some(mark) => {
                journal::write_mark(&self.source, own.as_ref(), &Mark { at: now, done: true, ..*mark }).await?
            }
            None => false,
        };
        if left { Ok(()) } else { Err(MoveError::OtherMove) }
    }
}

/// Whether this target can take this source.
async fn may_begin(
    source: &Database,
    target: &Database,
    mark: Option<&Mark>,
    journal: Option<&Journal>,
) -> Result<(), MoveError> {
    for (name, database) in [("source", source), ("target", target)] {
        if let Some(found) = database.newer_migration().await? {
            return Err(MoveError::Newer(name, found));
        }
    }
    match (mark, journal) {
        (Some(mark), Some(journal)) if mark.id == journal.id => return Ok(()),
        (Some(mark), _) if mark.done => return Err(MoveError::Elsewhere),
        (_, Some(journal)) if journal.stage != Stage::Done => return Err(MoveError::OtherMove),
        _ => {}
    }
    for table in TABLES {
        if !copy::is_empty(target, table).await? {
            return Err(MoveError::NotEmpty(table.name));
        }
    }
    // A target that was moved into and has no rows any more cannot be: projects stay.
    journal.map_or(Ok(()), |_| Err(MoveError::OtherMove))
}

/// The highest epoch and number of all partitions, and the project that is told of outages.
async fn heights(conn: &mut Conn) -> Result<(i64, i64, Option<String>), Fault> {
    let sql = "SELECT coalesce(max(epoch), 0), coalesce(max(highest), 0) FROM partitions";
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    let (epoch, highest) = (row.int(0)?, row.int(1)?);
    let sql = "SELECT value FROM settings WHERE name = 'operations_project'";
    let told = sqlx::query(sql).fetch_optional(conn).await?.map(|row| row.text(0)).transpose()?;
    Ok((epoch, highest.max(epoch), told))
}

impl SqlStore {
    /// Whether this deployment may be served.
    ///
    /// # Errors
    /// When the database cannot say.
    pub async fn standing(&self) -> Result<Standing, PortError> {
        let read = self.database.read(|conn| Box::pin(journal::standing(conn))).await;
        read.map_err(|fault| fault.at(PORT, "read how it stands"))
    }

    /// Takes the mark off a source that was moved, or was to be: it may be served again, and the target may not. Says
    /// whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn undo_move(&self) -> Result<bool, PortError> {
        journal::remove_mark(&self.database).await.map_err(|fault| fault.at(PORT, "undo"))
    }
}
