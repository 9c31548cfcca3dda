//! The timeline: load, requests and latency by the second, and the faults below.

use std::fmt::Write as _;

use super::measures::Second;
use crate::history::Fault;

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 150.0;
const PLOT: f64 = 110.0;
const ROW: f64 = 14.0;

/// Draws it.
pub(super) fn timeline(seconds: &[Second], faults: &[Fault]) -> String {
    let mut kinds: Vec<&str> = faults.iter().map(|fault| fault.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let below = 3.0 * (PLOT + 30.0) + 20.0;
    let height = below + ROW * kinds.len() as f64 + 40.0;
    let last = seconds.len().max(1) as f64;
    let x = |second: f64| LEFT + (WIDTH - LEFT - 20.0) * second / last;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Faults stand behind everything, so that what they cost is seen where they are.
    for fault in faults {
        let (from, until) = (x(fault.begun.seconds()), x(fault.ended.seconds()));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"10\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#d62728\" opacity=\"0.08\"/>",
            (until - from).max(1.0),
            below - 20.0
        );
    }
    let plots = [
        ("events accepted a second", "#1f77b4", seconds.iter().map(|second| f64::from(second.accepted)).collect()),
        ("requests a second", "#2ca02c", seconds.iter().map(|second| f64::from(second.requests)).collect()),
        ("longest latency, ms", "#ff7f0e", seconds.iter().map(|second| second.latency as f64).collect::<Vec<f64>>()),
    ];
    for (at, (name, colour, values)) in plots.into_iter().enumerate() {
        let bottom = 20.0 + PLOT + at as f64 * (PLOT + 30.0);
        let most = values.iter().copied().fold(1.0, f64::max);
        let mut points = String::new();
        for (second, value) in values.iter().enumerate() {
            let y = bottom - PLOT * value / most;
            let _ = write!(points, "{:.1},{y:.1} ", x(second as f64 + 0.5));
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{:.0}\" y2=\"{bottom}\" stroke=\"#999\"/>\n\
             <text x=\"5\" y=\"{:.0}\">{name}</text>\n<text x=\"5\" y=\"{:.0}\">most: {most:.0}</text>\n\
             <polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1\"/>",
            WIDTH - 20.0,
            bottom - PLOT / 2.0,
            bottom - PLOT / 2.0 + 14.0
        );
    }
    for (row, kind) in kinds.iter().enumerate() {
        let y = below + ROW * row as f64;
        let _ = writeln!(svg, "<text x=\"5\" y=\"{:.1}\">{kind}</text>", y + ROW - 4.0);
        for fault in faults.iter().filter(|fault| fault.kind == *kind) {
            let (from, until) = (x(fault.begun.seconds()), x(fault.ended.seconds()));
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#d62728\">\
                 <title>{kind} {}, {} to {}</title></rect>",
                (until - from).max(2.0),
                ROW - 3.0,
                fault.target,
                fault.begun,
                fault.ended
            );
        }
    }
    let axis = below + ROW * kinds.len() as f64 + 16.0;
    let step = (last / 12.0 / 10.0).ceil().max(1.0) * 10.0;
    let mut mark = 0.0;
    while mark <= last {
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{axis:.1}\" fill=\"#666\">{mark} s</text>", x(mark));
        mark += step;
    }
    svg.push_str("</svg>\n");
    svg
}
