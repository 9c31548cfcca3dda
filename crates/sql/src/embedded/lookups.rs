//! What admission asks of the file, for many posts in one statement: who asks while one runs shares the next.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use spectrum_webhook_core::ids::{EventId, ProjectId, RegistryVersion};
use spectrum_webhook_core::time::Millis;
use sqlx::AssertSqlSafe;
use tokio::sync::oneshot;

use crate::database::Database;
use crate::error::Fault;
use crate::sql::{Columns as _, Conn};

/// Questions of one statement, at most.
const GROUP: usize = 64;

/// A durable post: its event, and the digest of its body.
pub(super) type Record = (EventId, [u8; 32]);

/// What the file knows of a post.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The project's version, if there is such a project.
    pub(super) registry: Option<RegistryVersion>,
    /// The record of its key, unless that has expired.
    pub(super) record: Option<Record>,
}

struct Question {
    project: ProjectId,
    key: Option<[u8; 32]>,
    now: Millis,
}

type Reply = oneshot::Sender<Result<Known, Fault>>;

/// Questions that wait for their turn. There are never more than posts under way.
#[derive(Default)]
struct Waiting {
    questions: Vec<(Question, Reply)>,
    /// A task answers them.
    answering: bool,
}

#[derive(Clone)]
pub(super) struct LookUps {
    database: Database,
    waiting: Arc<Mutex<Waiting>>,
}

impl LookUps {
    pub(super) fn new(database: Database) -> Self {
        Self { database, waiting: Arc::default() }
    }

    /// Reads what is known of a post; it sees all that was answered before.
    pub(super) async fn ask(&self, project: ProjectId, key: Option<[u8; 32]>, now: Millis) -> Result<Known, Fault> {
        let (reply, answer) = oneshot::channel();
        let idle = {
            let mut waiting = self.waiting.lock();
            waiting.questions.push((Question { project, key, now }, reply));
            !std::mem::replace(&mut waiting.answering, true)
        };
        if idle {
            // In a task, for whoever asks may go away and leave others behind.
            tokio::spawn(self.clone().answer());
        }
        answer.await.map_err(|_| Fault::closed())?
    }

    async fn answer(self) {
        loop {
            let (group, replies): (Vec<Question>, Vec<Reply>) = {
                let mut waiting = self.waiting.lock();
                let count = waiting.questions.len().min(GROUP);
                waiting.answering = count > 0;
                waiting.questions.drain(..count).unzip()
            };
            if group.is_empty() {
                return;
            }
            let count = group.len();
            let read = self.database.read(move |conn| Box::pin(look_up(conn, group))).await;
            let answers = match read {
                Ok(known) => known.into_iter().map(Ok).collect(),
                Err(fault) => vec![Err(fault); count],
            };
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
    }
}

async fn look_up(conn: &mut Conn, group: Vec<Question>) -> Result<Vec<Known>, Fault> {
    // Padded with questions that have no answer, so that few statements are prepared and kept.
    let rows = group.len().next_power_of_two();
    let mut sql = "WITH asked (place, project, key, now) AS (VALUES ".to_owned();
    for row in 0..rows {
        let _ = write!(sql, "{}({row},?,?,?)", if row == 0 { "" } else { "," });
    }
    sql.push_str(
        ") SELECT a.place, p.registry, i.event, i.body FROM asked a \
         LEFT JOIN projects p ON p.id = a.project AND p.deleted_at IS NULL \
         LEFT JOIN idempotency i ON i.project = a.project AND i.key = a.key AND i.expires_at > a.now \
         WHERE p.registry IS NOT NULL OR i.event IS NOT NULL",
    );
    // Only fixed text and numbers are in it.
    let mut statement = sqlx::query(AssertSqlSafe(sql));
    for row in 0..rows {
        let question = group.get(row);
        statement = statement
            .bind(question.map(|question| question.project.to_string()))
            .bind(question.and_then(|question| question.key.map(|key| key.to_vec())))
            .bind(question.map(|question| question.now.0));
    }
    let mut known = vec![Known::default(); group.len()];
    for row in statement.fetch_all(conn).await? {
        let place = usize::try_from(row.int(0)?).unwrap_or(usize::MAX);
        let Some(known) = known.get_mut(place) else { continue };
        known.registry = row.maybe_int(1)?.map(RegistryVersion);
        if let Some(body) = row.maybe_blob(3)? {
            let body = body.try_into().map_err(|_| Fault::Corrupt("an idempotency record".to_owned()))?;
            known.record = Some((EventId(row.uuid(2)?), body));
        }
    }
    Ok(known)
}
