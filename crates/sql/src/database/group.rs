//! The requests of one commit.

use tokio::runtime::Handle;

use super::writer::{Delete, Direct, Insert, Job, Request};
use crate::embedded::queue_rows;
use crate::error::Fault;
use crate::sql::{Conn, run_plain};

/// Requests of one commit.
const GROUP: usize = 512;
/// Bytes of bodies after which a commit takes no more requests.
const GROUP_BYTES: usize = 8 << 20;

/// The connections that write.
pub(super) struct Connections {
    pub(super) direct: rusqlite::Connection,
    pub(super) jobs: Conn,
    pub(super) runtime: Handle,
}

/// Jobs are a transaction of their own, after the one of all others: in that, inserts run first and deletes last.
#[derive(Default)]
pub(super) struct Group {
    inserts: Vec<Insert>,
    direct: Vec<Direct>,
    deletes: Vec<Delete>,
    jobs: Vec<(Box<dyn Job>, Option<Fault>)>,
    bytes: usize,
    /// Those of the inserts, once they are made.
    positions: Vec<i64>,
    /// The first transaction is committed.
    committed: bool,
}

impl Group {
    pub(super) fn add(&mut self, request: Request) {
        match request {
            Request::Insert(insert) => {
                self.bytes += insert.publication.message.body.len();
                self.inserts.push(*insert);
            }
            Request::Direct(direct) => self.direct.push(direct),
            Request::Delete(delete) => self.deletes.push(delete),
            Request::Job(job) => self.jobs.push((job, None)),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.inserts.len() + self.direct.len() + self.deletes.len() + self.jobs.len() >= GROUP
            || self.bytes >= GROUP_BYTES
    }

    /// Whether somebody waits for something of it.
    pub(super) fn is_urgent(&self) -> bool {
        !self.inserts.is_empty() || !self.jobs.is_empty()
    }

    /// Whether there are deletes that are not committed.
    pub(super) fn has_deletes(&self) -> bool {
        !self.deletes.is_empty() && !self.committed
    }

    /// The deletes alone, as a group of their own.
    pub(super) fn take_deletes(&mut self) -> Self {
        Self { deletes: std::mem::take(&mut self.deletes), ..Self::default() }
    }

    /// Runs what was not run yet.
    pub(super) fn run(&mut self, connections: &mut Connections) -> Result<(), Fault> {
        if !self.inserts.is_empty() || !self.direct.is_empty() || !self.deletes.is_empty() {
            self.run_directly(&mut connections.direct)?;
        }
        self.committed = true;
        if self.jobs.is_empty() {
            return Ok(());
        }
        // Whoever waits for what is committed does not wait for the jobs.
        self.answer_direct(&Ok(()));
        let Connections { jobs, runtime, .. } = connections;
        runtime.block_on(self.run_jobs(jobs))
    }

    fn run_directly(&mut self, conn: &mut rusqlite::Connection) -> Result<(), Fault> {
        // Rolled back when it is dropped.
        let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        self.positions = queue_rows::insert(&transaction, &self.inserts)?;
        for direct in &mut self.direct {
            (direct.work)(&transaction)?;
        }
        queue_rows::delete(&transaction, self.deletes.iter().flat_map(|delete| &delete.positions))?;
        Ok(transaction.commit()?)
    }

    async fn run_jobs(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        run_plain(conn, "BEGIN IMMEDIATE").await?;
        let done = match self.perform_jobs(conn).await {
            Ok(()) => run_plain(conn, "COMMIT").await.map(|_| ()),
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            // SQLite may have rolled back by itself already: then there is nothing to roll back.
            let _ = run_plain(conn, "ROLLBACK").await;
        }
        done
    }

    async fn perform_jobs(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        for (job, failed) in &mut self.jobs {
            if job.can_fail() {
                run_plain(conn, "SAVEPOINT job").await?;
                if let Err(fault) = job.run(conn).await {
                    // Fails when SQLite has rolled everything back: then all have failed.
                    run_plain(conn, "ROLLBACK TO job").await.map_err(|_| fault.clone())?;
                    *failed = Some(fault);
                }
                run_plain(conn, "RELEASE job").await?;
            } else {
                job.run(conn).await?;
            }
        }
        Ok(())
    }

    fn answer_direct(&mut self, outcome: &Result<(), Fault>) {
        let positions = std::mem::take(&mut self.positions).into_iter().chain(std::iter::repeat(0));
        for (insert, position) in self.inserts.drain(..).zip(positions) {
            (insert.answer)(outcome.clone().map(|()| (position, insert.publication)));
        }
        for direct in self.direct.drain(..) {
            // Whoever asked may have gone.
            let _ = direct.reply.send(outcome.clone());
        }
        for delete in self.deletes.drain(..) {
            (delete.answer)(outcome.clone());
        }
    }

    pub(super) fn answer(mut self, outcome: Result<(), Fault>) {
        self.answer_direct(&outcome);
        for (job, failed) in self.jobs {
            job.answer(failed.map_or_else(|| outcome.clone(), Err));
        }
    }
}
