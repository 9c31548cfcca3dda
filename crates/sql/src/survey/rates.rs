//! Samples of the attempts of a span: the first ones of each stretch, by an index that begins where the stretch does.

use spectrum_webhook_core::ports::Scope;
use spectrum_webhook_core::rates::{Outcome, Rates, Sample, Span};
use spectrum_webhook_core::time::Millis;

use super::of_scope;
use crate::error::Fault;
use crate::sql::{Columns as _, Conditions, Conn, number};

/// Stretches that one statement reads: both databases take many more parts, and plan each of them.
const TOGETHER: u16 = 16;

pub(super) async fn rates(conn: &mut Conn, scope: Scope, span: Span) -> Result<Rates, Fault> {
    let mut stretches = vec![Vec::new(); usize::from(span.stretches)];
    let mut first = 0;
    while first < span.stretches {
        let last = span.stretches.min(first.saturating_add(TOGETHER));
        let mut whole = Conditions::default();
        let parts: Vec<String> = (first..last)
            .map(|stretch| {
                let begin = span.begin(usize::from(stretch)).0;
                of_scope(&mut whole, "a", scope);
                whole.and_if("a.started_at >= {}", Some(begin));
                whole.and_if("a.started_at < {}", Some(begin.saturating_add(span.width)));
                let conditions = whole.part();
                format!(
                    "SELECT CAST({stretch} AS BIGINT) AS stretch, s.started_at, s.total_ms, s.status FROM (SELECT a.started_at, \
                     a.total_ms, a.status FROM attempts a{conditions} ORDER BY a.started_at LIMIT {}) AS s",
                    span.most
                )
            })
            .collect();
        for row in whole.statement(&parts.join(" UNION ALL "), "").fetch_all(&mut *conn).await? {
            let stretch: usize = number(row.int(0)?)?;
            let status = row.maybe_int(3)?.map(number).transpose()?;
            let sample =
                Sample { started_at: Millis(row.int(1)?), total_ms: row.small(2)?, outcome: Outcome::of(status) };
            if let Some(samples) = stretches.get_mut(stretch) {
                samples.push(sample);
            }
        }
        first = last;
    }
    // A union keeps no order.
    for samples in &mut stretches {
        samples.sort_by_key(|sample| sample.started_at);
    }
    Ok(Rates { span, stretches })
}
