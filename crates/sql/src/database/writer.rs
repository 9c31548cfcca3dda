//! The one connection that writes. It takes all requests that wait, runs them in one transaction, commits once and
//! then answers them all: the cost of a commit is shared by whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::Publication;
use sqlx::Connection as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::sqlite;
use crate::embedded::queue_rows;
use crate::error::Fault;
use crate::sql::{Conn, run_plain};

/// Requests that may wait; more wait to be let in.
const WAITING: usize = 1_024;
/// Requests of one transaction.
const GROUP: usize = 512;
/// Bytes of bodies after which a transaction takes no more requests.
const GROUP_BYTES: usize = 8 << 20;

/// What hears of the outcome, after the commit. It runs even when whoever asked has gone.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), Fault>) + Send + Sync>;
/// The same for a message, which it gets back with its position. Of one transaction, and from one to the next, these run
/// in the order of the positions.
pub(crate) type Appended = Box<dyn FnOnce(Result<(i64, Publication), Fault>) + Send + Sync>;

/// A message for the embedded queue.
pub(crate) struct Insert {
    pub(crate) partition: PartitionId,
    pub(crate) publication: Publication,
    pub(crate) answer: Appended,
}

/// Positions of the embedded queue that are acknowledged.
pub(crate) struct Delete {
    pub(crate) positions: Vec<i64>,
    pub(crate) answer: Answer,
}

pub(super) enum Request {
    Insert(Box<Insert>),
    Delete(Delete),
    Job(Box<dyn Job>),
}

/// Any other write.
#[async_trait]
pub(super) trait Job: Send {
    /// Whether it can fail without the database failing: then it is fenced off from the others.
    fn can_fail(&self) -> bool;
    async fn run(&mut self, conn: &mut Conn) -> Result<(), Fault>;
    fn answer(self: Box<Self>, outcome: Result<(), Fault>);
}

struct Call<T, F> {
    work: Option<F>,
    value: Option<T>,
    can_fail: bool,
    reply: oneshot::Sender<Result<T, Fault>>,
}

#[async_trait]
impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
{
    fn can_fail(&self) -> bool {
        self.can_fail
    }

    async fn run(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(conn).await?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let value = self.value;
        let outcome = outcome.and_then(|()| value.ok_or_else(Fault::closed));
        // Whoever asked may have gone.
        let _ = self.reply.send(outcome);
    }
}

pub(super) struct Writer {
    /// `None` once it is closed.
    sender: Mutex<Option<mpsc::Sender<Request>>>,
    task: Mutex<Option<JoinHandle<Result<(), Fault>>>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    abandoned: AtomicBool,
    /// The last transaction failed.
    failing: AtomicBool,
    /// A transaction is under way, perhaps for long.
    busy: AtomicBool,
}

impl Writer {
    pub(super) fn start(conn: Conn) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(conn, receiver, Arc::clone(&state)));
        Self { sender: Mutex::new(Some(sender)), task: Mutex::new(Some(task)), state }
    }

    pub(super) async fn submit(&self, request: Request) -> Result<(), Fault> {
        let sender = self.sender.lock().clone().ok_or_else(Fault::closed)?;
        sender.send(request).await.map_err(|_| Fault::closed())
    }

    pub(super) async fn write<T, F>(&self, work: F, can_fail: bool) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.submit(Request::Job(Box::new(Call { work: Some(work), value: None, can_fail, reply }))).await?;
        answer.await.map_err(|_| Fault::closed())?
    }

    /// Whether writes work: known from the last one, or tried when that failed or one is under way: a disk that
    /// hangs lets whoever asks wait as well.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        // The other end is gone when it is closed, and when the task has ended by itself.
        if self.sender.lock().as_ref().is_none_or(mpsc::Sender::is_closed) {
            return Err(Fault::closed());
        }
        if !self.state.failing.load(Ordering::Acquire) && !self.state.busy.load(Ordering::Acquire) {
            return Ok(());
        }
        let probe = "INSERT INTO settings (name, value) VALUES ('probe', '1') \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.write(move |conn| Box::pin(run_plain(conn, probe)), false).await.map(|_| ())
    }

    pub(super) async fn close(&self) -> Result<(), Fault> {
        self.end().await
    }

    pub(super) async fn abandon(&self) {
        self.state.abandoned.store(true, Ordering::Release);
        // How it ended makes no difference to a crash.
        let _ = self.end().await;
    }

    async fn end(&self) -> Result<(), Fault> {
        drop(self.sender.lock().take());
        let task = self.task.lock().take();
        match task {
            Some(task) => task.await.unwrap_or_else(|error| Err(Fault::unavailable(error.to_string()))),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The transaction under way is rolled back when its connection is dropped.
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn serve(mut conn: Conn, mut receiver: mpsc::Receiver<Request>, state: Arc<State>) -> Result<(), Fault> {
    while let Some(first) = receiver.recv().await {
        // Lets all that the last commit has woken ask first, so that they share this one.
        tokio::task::yield_now().await;
        let mut group = Group::default();
        group.add(first);
        while !group.is_full() {
            match receiver.try_recv() {
                Ok(request) => group.add(request),
                Err(_) => break,
            }
        }
        state.busy.store(true, Ordering::Release);
        let outcome =
            if state.abandoned.load(Ordering::Acquire) { Err(Fault::closed()) } else { group.run(&mut conn).await };
        state.failing.store(outcome.is_err(), Ordering::Release);
        match outcome {
            Err(fault) if !group.deletes.is_empty() && !state.abandoned.load(Ordering::Acquire) => {
                // On a full disk new messages must not keep those that are settled from making room.
                let deletes = group.take_deletes();
                group.answer(Err(fault));
                group = deletes;
                let outcome = group.run(&mut conn).await;
                group.answer(outcome);
            }
            outcome => group.answer(outcome),
        }
        state.busy.store(false, Ordering::Release);
    }
    let tidy = if state.abandoned.load(Ordering::Acquire) { Ok(()) } else { sqlite::checkpoint(&mut conn).await };
    conn.close().await?;
    tidy
}

/// The requests of one transaction. Inserts run first and deletes last, each many at a time: neither is touched by
/// the jobs in between, except marks, which a delete takes with it.
#[derive(Default)]
struct Group {
    inserts: Vec<Insert>,
    jobs: Vec<(Box<dyn Job>, Option<Fault>)>,
    deletes: Vec<Delete>,
    bytes: usize,
    /// The position of the first insert, once it is made.
    first: i64,
}

impl Group {
    fn add(&mut self, request: Request) {
        match request {
            Request::Insert(insert) => {
                self.bytes += insert.publication.message.body.len();
                self.inserts.push(*insert);
            }
            Request::Delete(delete) => self.deletes.push(delete),
            Request::Job(job) => self.jobs.push((job, None)),
        }
    }

    fn is_full(&self) -> bool {
        self.inserts.len() + self.jobs.len() + self.deletes.len() >= GROUP || self.bytes >= GROUP_BYTES
    }

    /// The deletes alone, as a group of their own.
    fn take_deletes(&mut self) -> Self {
        Self { deletes: std::mem::take(&mut self.deletes), ..Self::default() }
    }

    async fn run(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        run_plain(conn, "BEGIN IMMEDIATE").await?;
        let done = match self.perform(conn).await {
            Ok(()) => run_plain(conn, "COMMIT").await.map(|_| ()),
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            // SQLite may have rolled back by itself already: then there is nothing to roll back.
            let _ = run_plain(conn, "ROLLBACK").await;
        }
        done
    }

    async fn perform(&mut self, conn: &mut Conn) -> Result<(), Fault> {
        self.first = queue_rows::insert(conn, &self.inserts).await?;
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
        queue_rows::delete(conn, self.deletes.iter().flat_map(|delete| &delete.positions)).await
    }

    fn answer(self, outcome: Result<(), Fault>) {
        for (position, insert) in (self.first..).zip(self.inserts) {
            (insert.answer)(outcome.clone().map(|()| (position, insert.publication)));
        }
        for (job, failed) in self.jobs {
            job.answer(failed.map_or_else(|| outcome.clone(), Err));
        }
        for delete in self.deletes {
            (delete.answer)(outcome.clone());
        }
    }
}
