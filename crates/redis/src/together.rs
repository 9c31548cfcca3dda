//! Scripts that every event runs, over one connection: those that wait while others are on their way go together, in one
//! write. The busier it is, the more share one; while nothing is on its way none waits.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

/// Scripts that wait at most; who comes then waits for room.
const WAITING: usize = 1_024;
/// Scripts in one write at most.
const GROUP: usize = 128;

struct Request {
    call: Cmd,
    answer: oneshot::Sender<RedisResult<Value>>,
}

/// The way to one connection; clones share it. Its worker ends with the last of them.
#[derive(Clone)]
pub(crate) struct Together {
    requests: mpsc::Sender<Request>,
}

impl Together {
    pub(crate) fn over(connection: MultiplexedConnection) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        tokio::spawn(work(connection, waiting));
        Self { requests }
    }

    /// Runs a call; in the order in which they came here.
    pub(crate) async fn run(&self, call: Cmd) -> RedisResult<Value> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { call, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}

async fn work(mut connection: MultiplexedConnection, mut waiting: mpsc::Receiver<Request>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        // The first one wakes this task at once: others are about to come.
        tokio::task::yield_now().await;
        while group.len() < GROUP
            && let Ok(request) = waiting.try_recv()
        {
            group.push(request);
        }
        // Whoever gave up needs no answer.
        group.retain(|request| !request.answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let mut calls = Pipeline::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for Request { call, answer } in group.drain(..) {
            calls.add_command(call);
            answers.push(answer);
        }
        // The connection bounds the time. A call that fails by itself fails alone.
        let answered = calls.ignore_errors().query_async::<Vec<RedisResult<Value>>>(&mut connection).await;
        match answered {
            Ok(values) => {
                for (answer, value) in answers.into_iter().zip(values) {
                    let _ = answer.send(value);
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
