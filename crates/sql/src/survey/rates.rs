//! Samples of the attempts of a span: the first ones of each stretch, by an index that begins where the stretch does, and
//! the last one of those that have more.

use spectrum_webhook_core::ports::Scope;
use spectrum_webhook_core::rates::{Outcome, Rates, Sample, Span, Stretch};
use spectrum_webhook_core::time::Millis;

use super::of_scope;
use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, number};

/// Stretches that one statement reads: both databases take many more parts, and plan each of them.
const TOGETHER: usize = 16;

pub(super) async fn rates(conn: &mut Conn, scope: Scope, span: Span) -> Result<Rates, Fault> {
    let mut stretches = vec![Stretch::default(); usize::from(span.stretches)];
    let all: Vec<usize> = (0..stretches.len()).collect();
    for together in all.chunks(TOGETHER) {
        first_ones(conn, scope, span, together, &mut stretches).await?;
    }
    let has_more = |at: &usize| stretches.get(*at).is_some_and(|one| one.samples.len() >= usize::from(span.most));
    let full: Vec<usize> = all.into_iter().filter(has_more).collect();
    for together in full.chunks(TOGETHER) {
        last_ones(conn, scope, span, together, &mut stretches).await?;
    }
    // A union keeps no order.
    for stretch in &mut stretches {
        stretch.samples.sort_by_key(|sample| sample.started_at);
    }
    Ok(Rates { span, stretches })
}

/// The attempts of a stretch, in one direction of their time.
fn of_stretch(whole: &mut Conditions, scope: Scope, span: Span, stretch: usize, columns: &str, order: &str) -> String {
    let begin = span.begin(stretch).0;
    of_scope(whole, "a", scope);
    whole.and_if("a.started_at >= {}", Some(begin));
    whole.and_if("a.started_at < {}", Some(begin.saturating_add(span.width)));
    let conditions = whole.part();
    format!(
        "SELECT CAST({stretch} AS BIGINT) AS stretch, s.* FROM \
         (SELECT {columns} FROM attempts a{conditions} ORDER BY a.started_at {order}) AS s"
    )
}

async fn first_ones(
    conn: &mut Conn,
    scope: Scope,
    span: Span,
    together: &[usize],
    stretches: &mut [Stretch],
) -> Result<(), Fault> {
    let mut whole = Conditions::default();
    let order = format!("LIMIT {}", span.most);
    let columns = "a.started_at, a.total_ms, a.status";
    let parts: Vec<String> =
        together.iter().map(|at| of_stretch(&mut whole, scope, span, *at, columns, &order)).collect();
    for row in whole.statement(&parts.join(" UNION ALL "), "").fetch_all(conn).await? {
        let status = row.maybe_int(3)?.map(number).transpose()?;
        let sample = Sample { started_at: Millis(row.int(1)?), total_ms: row.small(2)?, outcome: Outcome::of(status) };
        if let Some(stretch) = stretches.get_mut(number::<usize>(row.int(0)?)?) {
            stretch.samples.push(sample);
        }
    }
    Ok(())
}

async fn last_ones(
    conn: &mut Conn,
    scope: Scope,
    span: Span,
    together: &[usize],
    stretches: &mut [Stretch],
) -> Result<(), Fault> {
    let mut whole = Conditions::default();
    let parts: Vec<String> =
        together.iter().map(|at| of_stretch(&mut whole, scope, span, *at, "a.started_at", "DESC LIMIT 1")).collect();
    for row in whole.statement(&parts.join(" UNION ALL "), "").fetch_all(conn).await? {
        if let Some(stretch) = stretches.get_mut(number::<usize>(row.int(0)?)?) {
            stretch.last = Some(Millis(row.int(1)?));
        }
    }
    Ok(())
}
