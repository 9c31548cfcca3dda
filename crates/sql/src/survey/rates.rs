//! Samples of the attempts of a span: the first ones of each stretch, by an index that begins where the stretch does, and
//! the last one of those that have more.

use spectrum_webhook_core::ports::Scope;
use spectrum_webhook_core::rates::{Outcome, Rates, Sample, Span, Stretch};
use spectrum_webhook_core::time::Millis;
use sqlx::any::AnyRow;

use super::of_scope;
use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, number};

/// Stretches that one statement reads: both databases take many more parts, and plan each of them.
const TOGETHER: usize = 16;

/// What is read of which attempts of each stretch.
struct Look {
    scope: Scope,
    span: Span,
    columns: &'static str,
    /// In which order, and how many.
    order: String,
}

pub(super) async fn rates(conn: &mut Conn, scope: Scope, span: Span) -> Result<Rates, Fault> {
    let mut stretches = vec![Stretch::default(); usize::from(span.stretches)];
    let first = format!("LIMIT {}", span.most);
    let first = Look { scope, span, columns: "a.started_at, a.total_ms, a.status", order: first };
    let all: Vec<usize> = (0..stretches.len()).collect();
    first
        .at(conn, &all, &mut stretches, |stretch, row| {
            let status = row.maybe_int(3)?.map(number).transpose()?;
            let sample =
                Sample { started_at: Millis(row.int(1)?), total_ms: row.small(2)?, outcome: Outcome::of(status) };
            stretch.samples.push(sample);
            Ok(())
        })
        .await?;
    let has_more = |at: &usize| stretches.get(*at).is_some_and(|one| one.samples.len() >= usize::from(span.most));
    let full: Vec<usize> = all.into_iter().filter(has_more).collect();
    let last = Look { scope, span, columns: "a.started_at", order: "DESC LIMIT 1".to_owned() };
    last.at(conn, &full, &mut stretches, |stretch, row| {
        stretch.last = Some(Millis(row.int(1)?));
        Ok(())
    })
    .await?;
    // A union keeps no order.
    for stretch in &mut stretches {
        stretch.samples.sort_by_key(|sample| sample.started_at);
    }
    Ok(Rates { span, stretches })
}

impl Look {
    /// Reads these stretches; `take` is given each row, the first column of which is its stretch.
    async fn at(
        &self,
        conn: &mut Conn,
        these: &[usize],
        stretches: &mut [Stretch],
        take: impl Fn(&mut Stretch, &AnyRow) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for together in these.chunks(TOGETHER) {
            let mut whole = Conditions::default();
            let parts: Vec<String> = together.iter().map(|stretch| self.part(&mut whole, *stretch)).collect();
            for row in whole.statement(&parts.join(" UNION ALL "), "").fetch_all(&mut *conn).await? {
                if let Some(stretch) = stretches.get_mut(number::<usize>(row.int(0)?)?) {
                    take(stretch, &row)?;
                }
            }
        }
        Ok(())
    }

    /// The part of a statement that reads one stretch.
    fn part(&self, whole: &mut Conditions, stretch: usize) -> String {
        let Self { scope, span, columns, order } = self;
        let begin = span.begin(stretch).0;
        of_scope(whole, "a", *scope);
        whole.and_if("a.started_at >= {}", Some(begin));
        whole.and_if("a.started_at < {}", Some(begin.saturating_add(span.width)));
        let conditions = whole.part();
        format!(
            "SELECT CAST({stretch} AS BIGINT) AS stretch, s.* FROM \
             (SELECT {columns} FROM attempts a{conditions} ORDER BY a.started_at {order}) AS s"
        )
    }
}
