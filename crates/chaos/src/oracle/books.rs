//! Conservation: what was recovered or fanned out is delivered, dead, dropped, released or pending; and when all is
//! quiet, nothing is pending.

use super::{Judgement, Violation};
use crate::history::History;

pub(super) fn judge(history: &History, judgement: &mut Judgement) {
    for books in &history.books {
        let began = books.recovered + books.fanned_out;
        let ended = books.delivered + books.dead + books.dropped + books.released + books.pending;
        if began != ended {
            judgement.violations.push(Violation::Books { process: books.process.clone(), missing: began - ended });
        }
        if books.pending != 0 {
            let (process, deliveries) = (books.process.clone(), books.pending);
            judgement.violations.push(Violation::Pending { process, deliveries });
        }
    }
}
