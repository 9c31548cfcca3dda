//! Over a SQLite file: one thread writes, and commits at once what waits.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::lanes::Lanes;
use crate::progress::complain;

/// Requests of one transaction, at most.
const GROUP: usize = 512;

/// What is written.
pub(super) enum Request {
    /// Events of a project.
    Insert { project: usize, bodies: Vec<Bytes>, committed: oneshot::Sender<()> },
    /// An event that has arrived everywhere.
    Delete(i64),
}

/// What takes events.
pub(super) struct Embedded {
    requests: mpsc::Sender<Request>,
}

impl Embedded {
    pub(super) fn open(folder: &Path, lanes: Arc<Lanes>) -> Result<Self> {
        let mut writer = Writer::open(folder)?;
        let (requests, waiting) = mpsc::channel();
        let deletes = requests.clone();
        std::thread::spawn(move || {
            let written = writer.serve(&waiting, |project, position, id, body| {
                let deletes = deletes.clone();
                let done = move || {
                    // The writer lives as long as the process.
                    let _ = deletes.send(Request::Delete(position));
                };
                lanes.send(project, id, body, Box::new(done));
            });
            if let Err(error) = written {
                complain(&format!("the limit: {error:#}"));
            }
        });
        Ok(Self { requests })
    }

    pub(super) async fn take(&self, project: usize, bodies: Vec<Bytes>) -> Result<()> {
        let (committed, answer) = oneshot::channel();
        self.requests.send(Request::Insert { project, bodies, committed }).ok().context("the writer has ended")?;
        answer.await.context("it was not written")
    }
}

/// The one connection that writes.
pub(super) struct Writer {
    database: Connection,
}

/// An event that is written and not committed.
struct Written {
    project: usize,
    position: i64,
    id: String,
    body: Bytes,
}

impl Writer {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let database = Connection::open(folder.join("limit.db"))?;
        // As the product's writer.
        database.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
             PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY;
             CREATE TABLE queue (position INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL,
                                 project INTEGER NOT NULL, body BLOB NOT NULL);",
        )?;
        Ok(Self { database })
    }

    /// Writes what comes until nobody can send anything any more; `committed` is told of each event, in order.
    pub(super) fn serve(
        &mut self,
        waiting: &mpsc::Receiver<Request>,
        committed: impl Fn(usize, i64, String, Bytes),
    ) -> Result<()> {
        let mut group = Vec::with_capacity(GROUP);
        while let Ok(first) = waiting.recv() {
            group.push(first);
            group.extend(waiting.try_iter().take(GROUP - 1));
            let (written, answers) = self.commit(group.drain(..))?;
            for Written { project, position, id, body } in written {
                committed(project, position, id, body);
            }
            for answer in answers {
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    fn commit(&mut self, group: impl Iterator<Item = Request>) -> Result<(Vec<Written>, Vec<oneshot::Sender<()>>)> {
        let transaction = self.database.transaction()?;
        let (mut written, mut answers) = (Vec::new(), Vec::new());
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO queue (event, project, body) VALUES (?1, ?2, ?3)")?;
            let mut delete = transaction.prepare_cached("DELETE FROM queue WHERE position = ?1")?;
            for request in group {
                match request {
                    Request::Delete(position) => drop(delete.execute([position])?),
                    Request::Insert { project, bodies, committed } => {
                        for body in bodies {
                            let id = uuid::Uuid::now_v7().to_string();
                            let position = insert.insert((&id, project as i64, &body[..]))?;
                            written.push(Written { project, position, id, body });
                        }
                        answers.push(committed);
                    }
                }
            }
        }
        transaction.commit()?;
        Ok((written, answers))
    }
}
