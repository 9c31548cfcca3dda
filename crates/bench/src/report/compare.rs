//! Two builds side by side.

use std::fmt::Write as _;

use super::page::cell;
use super::{Report, Unit};

/// Two reports: the product's figures, and what they are of the limit's in their own run, which is what tells when the
/// machine was not the same.
pub(crate) fn reports(old: &Report, new: &Report) -> String {
    let mut text = format!("`{}` → `{}`\n\n", old.machine.commit, new.machine.commit);
    text.push_str("| measure | figure | old | new | new / old | old / beside | new / beside |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for figure in &new.figures {
        let same = old.figures.iter().find(|other| other.measure == figure.measure && other.name == figure.name);
        let Some(before) = same else { continue };
        let ratio = |part: Option<f64>| part.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let change = before.median("product").zip(figure.median("product")).map(|(old, new)| new / old);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            figure.measure,
            figure.name,
            cell(before, "product"),
            cell(figure, "product"),
            ratio(change),
            ratio(before.ratio()),
            ratio(figure.ratio())
        );
    }
    text
}

/// Rounds of which something can be said.
const ENOUGH: usize = 3;

/// The two builds of one run.
pub(crate) fn bases(report: &Report) -> String {
    let mut text = "| measure | figure | base | this | this / base | better |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for figure in &report.figures {
        let Some((base, this)) = figure.median("base").zip(figure.median("product")) else { continue };
        let ratio = this / base;
        let more_is_better = figure.unit == Unit::PerSecond;
        // Where the rounds of one reach into those of the other, they tell nothing; nor do too few.
        let (base, this) = (&figure.of["base"], &figure.of["product"]);
        let apart = base.high < this.low || this.high < base.low;
        let better = match ratio > 1.0 {
            _ if !apart || this.rounds.len() < ENOUGH => "?",
            more if more == more_is_better => "yes",
            _ => "**no**",
        };
        let (base, this) = (cell(figure, "base"), cell(figure, "product"));
        let _ = writeln!(text, "| {} | {} | {base} | {this} | {ratio:.2} | {better} |", figure.measure, figure.name);
    }
    text
}
