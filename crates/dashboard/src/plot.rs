//! Numbers as pictures: how many attempts there were and how they ended, how long they took. Each picture is drawn here,
//! as SVG without styles of its own, and has its numbers as a table beside it.

use std::fmt::Write as _;

use spectrum_webhook_core::rates::{Rates, Summary};

use crate::words::{Html, iso, number, percent, span, took, when};

/// The classes of the outcomes, in the order in which they are stacked, and their words.
const OUTCOMES: [(&str, &str); 4] =
    [("taken", "delivered"), ("refused", "refused"), ("failed", "failed"), ("silent", "no answer")];

/// The height of every picture, in its own units.
const HIGH: f64 = 100.0;
/// The width of a stretch.
const WIDE: f64 = 10.0;

/// A picture with what stands around it.
pub(crate) struct Plot {
    pub(crate) svg: Html,
    /// The value at its top.
    pub(crate) top: String,
    /// Its left and right end.
    pub(crate) from: Html,
    pub(crate) to: Html,
}

/// A next round number.
fn round_up(value: f64) -> f64 {
    if value <= 1.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|step| step * power).find(|round| *round >= value).unwrap_or(value)
}

fn summaries(rates: &Rates) -> Vec<Summary> {
    (0..rates.stretches.len()).map(|at| rates.stretch(at)).collect()
}

fn frame(rates: &Rates, title: &str, inner: &str, top: String) -> Plot {
    let wide = WIDE * rates.stretches.len() as f64;
    let svg = format!(
        r#"<svg class="plot" viewBox="0 0 {wide} {HIGH}" preserveAspectRatio="none" role="img" aria-label="{title}">{inner}</svg>"#
    );
    Plot { svg: Html(svg), top, from: when(rates.span.from), to: when(rates.span.end()) }
}

/// How many attempts each stretch had, stacked by how they ended.
pub(crate) fn outcomes(rates: &Rates) -> Plot {
    let summaries = summaries(rates);
    let top = round_up(summaries.iter().map(|one| one.attempts).max().unwrap_or(0) as f64);
    let mut inner = String::new();
    for (at, one) in summaries.iter().enumerate().filter(|(_, one)| one.attempts > 0) {
        let words = one.outcomes.iter().zip(OUTCOMES).filter(|(count, _)| **count > 0);
        let words: Vec<String> = words.map(|(count, (_, word))| format!("{} {word}", number(*count))).collect();
        let at_time = iso(rates.span.begin(at)).get(11..16).unwrap_or_default().to_owned();
        let _ = write!(inner, "<g><title>{at_time} UTC: {}</title>", words.join(", "));
        let mut floor = HIGH;
        for (count, (class, _)) in one.outcomes.iter().zip(OUTCOMES).filter(|(count, _)| **count > 0) {
            let high = (*count as f64 / top * HIGH).max(1.0);
            floor = (floor - high).max(0.0);
            let x = at as f64 * WIDE + 1.0;
            let _ = write!(
                inner,
                r#"<rect class="{class}" x="{x}" y="{floor:.2}" width="{}" height="{high:.2}"/>"#,
                WIDE - 2.0
            );
        }
        inner.push_str("</g>");
    }
    let whole = rates.whole();
    let title = format!("{} attempts, {} of them delivered", number(whole.attempts), percent(whole.taken()));
    frame(rates, &title, &inner, number(top as u64))
}

/// How long the attempts of each stretch took.
pub(crate) fn latency(rates: &Rates) -> Plot {
    let summaries = summaries(rates);
    let top = round_up(summaries.iter().filter_map(|one| one.p95).max().unwrap_or(0).into());
    let steps = |pick: fn(&Summary) -> Option<u32>| {
        let mut path = String::new();
        let mut was_there = false;
        for (at, one) in summaries.iter().enumerate() {
            let Some(value) = pick(one) else {
                was_there = false;
                continue;
            };
            let y = HIGH - (f64::from(value) / top * HIGH).min(HIGH);
            let (left, right) = (at as f64 * WIDE, (at + 1) as f64 * WIDE);
            let _ = write!(path, "{}{left} {y:.2}H{right}", if was_there { "L" } else { "M" });
            was_there = true;
        }
        path
    };
    let inner = format!(
        r#"<path class="line p95" d="{}" vector-effect="non-scaling-stroke"/><path class="line p50" d="{}" vector-effect="non-scaling-stroke"/>"#,
        steps(|one| one.p95),
        steps(|one| one.p50)
    );
    let whole = rates.whole();
    let title = format!("Half of the attempts took at most {}, 95 % at most {}", took(whole.p50), took(whole.p95));
    frame(rates, &title, &inner, span(top as i64))
}

/// A small one for a row of a table: delivered, and not.
pub(crate) fn spark(rates: &Rates) -> Html {
    let summaries = summaries(rates);
    let top = summaries.iter().map(|one| one.attempts).max().unwrap_or(0).max(1) as f64;
    let mut inner = String::new();
    for (at, one) in summaries.iter().enumerate() {
        let x = at as f64 * WIDE + 1.0;
        let mut bar = |class: &str, floor: f64, high: f64| {
            let y = floor - high;
            let _ = write!(
                inner,
                r#"<rect class="{class}" x="{x}" y="{y:.1}" width="{}" height="{high:.1}"/>"#,
                WIDE - 2.0
            );
        };
        if one.attempts == 0 {
            bar("none", HIGH, 4.0);
            continue;
        }
        let scaled = |count: u64| if count == 0 { 0.0 } else { (count as f64 / top * HIGH).max(8.0) };
        let good = scaled(one.outcomes[0]);
        let bad = scaled(one.attempts - one.outcomes[0].min(one.attempts)).min(HIGH);
        let good = good.min(HIGH - bad);
        if good > 0.0 {
            bar("taken", HIGH, good);
        }
        if bad > 0.0 {
            bar("refused", HIGH - good, bad);
        }
    }
    let wide = WIDE * summaries.len() as f64;
    let whole = rates.whole();
    Html(format!(
        r#"<svg class="spark" viewBox="0 0 {wide} {HIGH}" preserveAspectRatio="none" role="img" aria-label="{} attempts, {} delivered">{inner}</svg>"#,
        number(whole.attempts),
        percent(whole.taken())
    ))
}

/// The same numbers as a table's rows: those stretches that had any.
pub(crate) struct Row {
    pub(crate) at: Html,
    pub(crate) cells: [String; 7],
}

/// The rows of a table, the newest first.
pub(crate) fn table(rates: &Rates) -> Vec<Row> {
    let rows = (0..rates.stretches.len()).rev().map(|at| (at, rates.stretch(at)));
    rows.filter(|(_, one)| one.attempts > 0)
        .map(|(at, one)| Row {
            at: when(rates.span.begin(at)),
            cells: [
                format!("{}{}", if one.estimated { "about " } else { "" }, number(one.attempts)),
                number(one.outcomes[0]),
                number(one.outcomes[1]),
                number(one.outcomes[2]),
                number(one.outcomes[3]),
                took(one.p50),
                took(one.p95),
            ],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use spectrum_webhook_core::rates::{Outcome, Sample, Span, Stretch};
    use spectrum_webhook_core::time::Millis;

    use super::*;

    fn rates() -> Rates {
        let sample = |at, total_ms, outcome| Sample { started_at: Millis(at), total_ms, outcome };
        let first = vec![sample(0, 10, Outcome::Taken), sample(1, 30, Outcome::Refused)];
        let span = Span { from: Millis(0), width: 60_000, stretches: 3, most: 10 };
        let third = vec![sample(120_001, 90, Outcome::Taken)];
        let stretches = [first, Vec::new(), third].map(|samples| Stretch { samples, last: None });
        Rates { span, stretches: stretches.into() }
    }

    #[test]
    fn a_picture_says_in_words_what_it_shows_and_styles_nothing() {
        let rates = rates();
        let plots = [outcomes(&rates), latency(&rates)];
        assert!(plots[0].svg.0.contains("00:00 UTC: 1 delivered, 1 refused"), "{}", plots[0].svg);
        assert!(plots[0].svg.0.contains(r#"aria-label="3 attempts, 66.7 % of them delivered""#), "{}", plots[0].svg);
        // A step for each stretch, and none where there was nothing.
        assert!(plots[1].svg.0.contains(r#"d="M0 70.00H10M20 10.00H30""#), "{}", plots[1].svg);
        for svg in plots.iter().map(|plot| &plot.svg.0).chain([&spark(&rates).0]) {
            assert!(svg.contains("role=\"img\"") && !svg.contains("style="), "{svg}");
        }
        assert_eq!((plots[0].top.as_str(), plots[1].top.as_str()), ("2", "100 ms"));
        assert_eq!(table(&rates).len(), 2);
    }

    #[test]
    fn the_top_is_a_round_number() {
        for (value, top) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (11.0, 20.0), (24.0, 25.0), (99.0, 100.0)] {
            assert_eq!(round_up(value), top, "{value}");
        }
    }
}
