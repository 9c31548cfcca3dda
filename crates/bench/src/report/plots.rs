//! Which pictures there are of a report.

use super::svg::{self, Labels};
use super::{Curve, Report, Unit};

/// Their file names, which begin with the measure's, and what is in them.
pub(super) fn all(report: &Report) -> Vec<(String, String)> {
    let mut pictures = Vec::new();
    if let Some(svg) = throughput(report) {
        pictures.push(("throughput.svg".to_owned(), svg));
    }
    let mut done: Vec<(&str, &str)> = Vec::new();
    for Curve { measure, picture, .. } in &report.curves {
        if !done.contains(&(measure, picture)) {
            done.push((measure, picture));
            pictures.push((format!("{measure}-{}.svg", done.len()), curves(report, measure, picture)));
        }
    }
    pictures
}

/// Deliveries a second of each contender.
fn throughput(report: &Report) -> Option<String> {
    let is = |name: &str| name.ends_with("delivered");
    let figures = report.figures.iter().filter(|figure| figure.measure == "throughput");
    let figures: Vec<_> = figures.filter(|figure| figure.unit == Unit::PerSecond && is(&figure.name)).collect();
    let mut names: Vec<String> = figures.iter().flat_map(|figure| figure.of.keys().cloned()).collect();
    // The product first, as in the other pictures.
    names.sort_by(|left, right| right.cmp(left));
    names.dedup();
    let groups = figures.iter().map(|figure| {
        let bar = |name| figure.of.get(name).map(|spread| [spread.low, spread.median, spread.high]);
        (figure.name.replace(", delivered", ""), names.iter().map(bar).collect())
    });
    let groups: Vec<_> = groups.collect();
    let labels =
        Labels { title: "Throughput", x: "", y: "deliveries a second: median, lowest and highest", logarithmic: false };
    (!groups.is_empty()).then(|| svg::bars(&labels, &names, &groups))
}

/// The picture's name is its title, `: ` and what x and y are, with ` by ` between them.
fn curves(report: &Report, measure: &str, picture: &str) -> String {
    let (title, axes) = picture.split_once(": ").unwrap_or((picture, ""));
    let (y, x) = axes.split_once(" by ").unwrap_or((axes, ""));
    let curves = report.curves.iter().filter(|curve| curve.measure == measure && curve.picture == picture);
    let lines: Vec<_> = curves.map(|curve| (curve.name.clone(), curve.points.clone())).collect();
    svg::lines(&Labels { title, x, y, logarithmic: x.contains("projects") }, &lines)
}
