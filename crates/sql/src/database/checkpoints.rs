//! Moving the write-ahead log into the file: beside the writer, so that commits do not wait for it.
//!
//! The log starts anew only when all of it is moved, which never is the case while commits go on. So a thread moves what is
//! there, twice, and the writer moves the little that has come meanwhile. A reader that is under way may be in the way of
//! that: then the log grows until it has ended.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::error::Fault;

/// Pages of the log at which it is moved: 16 MiB. The pages of a queue change many times meanwhile, and are moved once.
const ENOUGH: i32 = 4_000;
/// After one that did not empty the log, so many pages more.
const MORE: i32 = 1_000;
/// Pages at which the writer waits for the thread: 64 MiB. It is also when the connection of the jobs moves it by itself.
const MOST: i32 = 16_000;

thread_local! {
    /// Pages of the log after this thread's last commit.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The writer's side.
pub(super) struct Checkpoints {
    start: SyncSender<()>,
    done: Receiver<()>,
    /// The thread is moving.
    moving: bool,
    /// Pages at which it starts next.
    next: i32,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread. From here on the writing connection moves nothing by itself; its commits are made by the thread
    /// that calls [`committed`](Self::committed).
    pub(super) fn start(writing: &Connection, moving: Connection) -> Result<Self, Fault> {
        writing.wal_hook(Some(note));
        let ((start, started), (end, done)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
        let moves = move || {
            while let Ok(()) = started.recv() {
                for _ in 0..2 {
                    checkpoint(&moving);
                }
                if end.send(()).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-checkpoint".to_owned()).spawn(moves);
        let thread = thread.map_err(|error| Fault::unavailable(format!("no thread to move the log: {error}")))?;
        Ok(Self { start, done, moving: false, next: ENOUGH, thread })
    }

    /// Looks at the log after a commit, once whoever waited for that is answered.
    pub(super) fn committed(&mut self, writing: &Connection) {
        let pages = PAGES.get();
        if pages < ENOUGH {
            self.next = ENOUGH;
        }
        if !self.moving {
            if pages < self.next {
                return;
            }
            self.moving = self.start.try_send(()).is_ok();
            if self.moving {
                return;
            }
            // The thread is gone: then it is done here, or the log would grow for ever.
        }
        let done =
            if pages >= MOST { self.done.recv().map_err(|_| TryRecvError::Disconnected) } else { self.done.try_recv() };
        if done != Err(TryRecvError::Empty) {
            checkpoint(writing);
            self.moving = false;
            self.next = pages.saturating_add(MORE);
        }
    }

    /// Returns when the thread has ended, and closed its connection.
    pub(super) fn end(self) {
        drop(self.start);
        drop(self.done);
        if self.thread.join().is_err() {
            tracing::error!("the thread that moves SQLite's log has panicked");
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is rusqlite's")]
fn note(_: &Wal, pages: i32) -> rusqlite::Result<()> {
    PAGES.set(pages);
    Ok(())
}

/// Moves what nobody is in the way of. What cannot be moved now is moved another time.
fn checkpoint(conn: &Connection) {
    let moved = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = moved {
        tracing::warn!(%error, "SQLite's log could not be moved into the file");
    }
}
