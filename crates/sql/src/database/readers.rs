//! The connections that read: a few, opened when they are first needed. A plain stack behind a semaphore, so that no
//! timer and no task of its own takes part in a read.

use futures::future::BoxFuture;
use parking_lot::Mutex;
use sqlx::Connection as _;
use tokio::sync::Semaphore;

use super::sqlite::Place;
use crate::error::Fault;
use crate::sql::Conn;

pub(super) struct Readers {
    place: Place,
    permits: Semaphore,
    idle: Mutex<Vec<Conn>>,
}

impl Readers {
    pub(super) fn new(place: Place, count: u32) -> Self {
        let permits = usize::try_from(count.clamp(1, 1_000)).unwrap_or(1);
        Self { place, permits: Semaphore::new(permits), idle: Mutex::default() }
    }

    pub(super) async fn read<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        let _permit = self.permits.acquire().await.map_err(|_| Fault::closed())?;
        let idle = self.idle.lock().pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.place.connect_reader().await?,
        };
        let result = work(&mut conn).await;
        // A connection that failed, or whose read was cancelled (it never comes here), is not used again.
        if result.is_ok() && !self.permits.is_closed() {
            self.idle.lock().push(conn);
        } else {
            let _ = conn.close().await;
        }
        result
    }

    /// Lets no new read begin and closes what is idle; a read under way closes its own connection.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for conn in idle {
            let _ = conn.close().await;
        }
    }
}
