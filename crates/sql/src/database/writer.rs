//! The one thread that writes. It takes all requests that wait, runs them in one transaction, commits once and then
//! answers them all: the cost of a commit is shared by whoever waits for it.
//!
//! It has two connections, and never a transaction on both. What each event needs runs directly on the one, where a
//! prepared statement costs a row what SQLite costs; jobs, whose SQL is also PostgreSQL's, run on the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use spectrum_webhook_core::ids::PartitionId;
use spectrum_webhook_core::ports::Publication;
use sqlx::Connection as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::checkpoints::Checkpoints;
use super::group::{Connections, Group};
use super::sqlite;
use crate::error::Fault;
use crate::sql::{Conn, run_plain};

/// Requests that may wait; more wait to be let in.
const WAITING: usize = 1_024;
/// How long what nobody waits for may wait for company: acknowledgements, marks, the delivery log, the archive.
const LAZY: Duration = Duration::from_millis(5);

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
    Direct(Direct),
    Delete(Delete),
    Job(Box<dyn Job>),
}

/// What is done on the connection, once.
pub(super) type Work = Box<dyn FnMut(&rusqlite::Connection) -> Result<(), Fault> + Send>;

/// A write that fails only when the database does, and that SQLite alone knows.
pub(super) struct Direct {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<(), Fault>>,
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

/// A request, and its place among those that may wait.
type Waiting = (Request, OwnedSemaphorePermit);

pub(super) struct Writer {
    /// `None` once it is closed.
    sender: Mutex<Option<mpsc::Sender<Waiting>>>,
    places: Arc<Semaphore>,
    /// How the thread ended.
    ended: Mutex<Option<oneshot::Receiver<Result<(), Fault>>>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    abandoned: AtomicBool,
    /// The last transaction failed.
    failing: AtomicBool,
    /// A transaction is under way, perhaps for long.
    busy: AtomicBool,
    /// The thread has ended, if only by a panic.
    over: AtomicBool,
}

/// Says that the thread has ended when it is dropped.
struct Over(Arc<State>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

impl Writer {
    /// Starts the thread. The runtime is the one that this is called in.
    pub(super) fn start(direct: rusqlite::Connection, jobs: Conn, moving: rusqlite::Connection) -> Result<Self, Fault> {
        let (sender, receiver) = mpsc::channel();
        let places = Arc::new(Semaphore::new(WAITING));
        let (end, ended) = oneshot::channel();
        let state = Arc::new(State::default());
        let connections = Connections { direct, jobs, runtime: tokio::runtime::Handle::current() };
        let checkpoints = Checkpoints::start(&connections.direct, moving)?;
        let over = Over(Arc::clone(&state));
        let serves = move || {
            // Whoever waits for the end may have gone. After a panic it is told by the channel.
            let _ = end.send(serve(connections, checkpoints, &receiver, &over.0));
        };
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(serves);
        thread.map_err(|error| Fault::unavailable(format!("no thread to write: {error}")))?;
        Ok(Self { sender: Mutex::new(Some(sender)), places, ended: Mutex::new(Some(ended)), state })
    }

    pub(super) async fn submit(&self, request: Request) -> Result<(), Fault> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Fault::closed())?;
        let sender = self.sender.lock();
        sender.as_ref().ok_or_else(Fault::closed)?.send((request, place)).map_err(|_| Fault::closed())
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

    pub(super) async fn write_directly(
        &self,
        work: impl FnMut(&rusqlite::Connection) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let (reply, answer) = oneshot::channel();
        self.submit(Request::Direct(Direct { work: Box::new(work), reply })).await?;
        answer.await.map_err(|_| Fault::closed())?
    }

    /// Whether writes work: known from the last one, or tried when that failed or one is under way: a disk that
    /// hangs lets whoever asks wait as well.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        // It is closed, or the thread has ended by itself.
        if self.sender.lock().is_none() || self.state.over.load(Ordering::Acquire) {
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
        let ended = self.ended.lock().take();
        match ended {
            Some(ended) => ended.await.unwrap_or_else(|_| Err(Fault::unavailable("the writer panicked"))),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What waits is not written any more.
        if self.ended.get_mut().is_some() {
            self.state.abandoned.store(true, Ordering::Release);
        }
    }
}

/// The next requests of one commit; `None` when nobody can ask any more.
fn gather(receiver: &mpsc::Receiver<Waiting>) -> Option<Group> {
    let (first, _) = receiver.recv().ok()?;
    let mut group = Group::default();
    group.add(first);
    let lazy = Instant::now() + LAZY;
    while !group.is_full() {
        let next = if group.is_urgent() {
            // Lets those that the last commit has woken ask first, so that they share this one.
            receiver.try_recv().or_else(|_| {
                std::thread::yield_now();
                receiver.try_recv()
            })
        } else {
            let left = lazy.saturating_duration_since(Instant::now());
            receiver.recv_timeout(left).map_err(|_| mpsc::TryRecvError::Empty)
        };
        match next {
            Ok((request, _)) => group.add(request),
            Err(_) => break,
        }
    }
    Some(group)
}

fn serve(
    mut connections: Connections,
    mut checkpoints: Checkpoints,
    receiver: &mpsc::Receiver<Waiting>,
    state: &State,
) -> Result<(), Fault> {
    let abandoned = || state.abandoned.load(Ordering::Acquire);
    while let Some(mut group) = gather(receiver) {
        state.busy.store(true, Ordering::Release);
        let outcome = if abandoned() { Err(Fault::closed()) } else { group.run(&mut connections) };
        state.failing.store(outcome.is_err(), Ordering::Release);
        match outcome {
            Err(fault) if group.has_deletes() && !abandoned() => {
                // On a full disk new messages must not keep those that are settled from making room.
                let deletes = group.take_deletes();
                group.answer(Err(fault));
                group = deletes;
                let outcome = group.run(&mut connections);
                group.answer(outcome);
            }
            outcome => group.answer(outcome),
        }
        checkpoints.committed(&connections.direct);
        state.busy.store(false, Ordering::Release);
    }
    let Connections { direct, mut jobs, runtime } = connections;
    // The log is moved by the last one that has the file open.
    checkpoints.end();
    drop(direct);
    runtime.block_on(async {
        let tidy = if abandoned() { Ok(()) } else { sqlite::checkpoint(&mut jobs).await };
        jobs.close().await?;
        tidy
    })
}
