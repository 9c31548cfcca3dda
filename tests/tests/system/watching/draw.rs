//! Panels as pictures, as plain as can be: lines, a scale, a legend.

use std::fmt::Write as _;

use serde_json::Value;

use super::dashboard::Panel;

/// Width and height of one unit of the grid.
const UNIT: (f64, f64) = (50.0, 27.0);
const TOP: f64 = 30.0;
const COLOURS: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"];

/// One series.
pub(super) struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    /// As Prometheus has it, named as Grafana would.
    pub(super) fn new(legend: &str, series: &Value) -> Self {
        let mut name = legend.to_owned();
        for (label, value) in series["metric"].as_object().into_iter().flatten() {
            name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or_default());
        }
        let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?));
        let points = series["values"].as_array().into_iter().flatten().filter_map(point);
        Self { name, points: points.filter(|(_, value): &(f64, f64)| value.is_finite()).collect() }
    }

    fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, value)| *value)
    }
}

/// A row of panels over a time.
pub(super) fn row(title: &str, panels: &[(&Panel, Vec<Line>)], from: u64, to: u64) -> String {
    let top = panels.iter().map(|(panel, _)| panel.place[1]).min().unwrap_or(0);
    let bottom = panels.iter().map(|(panel, _)| panel.place[1] + panel.place[3]).max().unwrap_or(0);
    let height = TOP + (bottom - top) as f64 * UNIT.1 + 5.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
        24.0 * UNIT.0,
        escaped(title)
    );
    for (panel, lines) in panels {
        let [x, y, width, height] = panel.place;
        let at = (x as f64 * UNIT.0, TOP + (y - top) as f64 * UNIT.1);
        let size = (width as f64 * UNIT.0 - 8.0, height as f64 * UNIT.1 - 8.0);
        draw(&mut svg, panel, lines, (at.0 + 4.0, at.1), size, (from as f64, to as f64));
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, lines: &[Line], at: (f64, f64), size: (f64, f64), time: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" fill=\"none\" stroke=\"#ddd\" rx=\"3\"/>\n\
         <text x=\"{:.0}\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
        at.0,
        at.1,
        size.0,
        size.1,
        at.0 + 8.0,
        at.1 + 16.0,
        escaped(&panel.title)
    );
    let stacked = stacked(lines, panel.is_stacked);
    let values = || stacked.iter().flatten().map(|(_, value)| *value);
    let (least, most) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let span = if most > least { most - least } else { 1.0 };
    let (left, right) = (at.0 + 58.0, at.0 + size.0 - 10.0);
    let (above, below) = (at.1 + 30.0, at.1 + size.1 - 38.0);
    let place = |(second, value): (f64, f64)| {
        let x = left + (right - left) * (second - time.0) / (time.1 - time.0).max(1.0);
        (x, below - (below - above) * (value - least) / span)
    };
    for part in [0.0, 0.5, 1.0] {
        let value = least + span * part;
        let (_, y) = place((time.0, value));
        let _ = writeln!(
            svg,
            "<line x1=\"{left:.0}\" y1=\"{y:.1}\" x2=\"{right:.0}\" y2=\"{y:.1}\" stroke=\"#eee\"/>\n\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">{}</text>",
            left - 5.0,
            y + 4.0,
            in_unit(value, &panel.unit)
        );
    }
    for (points, colour) in stacked.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> =
            points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>");
    }
    if lines.is_empty() {
        let (x, y) = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0);
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\" fill=\"#999\">no data</text>");
    }
    legend(svg, panel, lines, (at.0 + 8.0, at.1 + size.1 - 20.0), size.0 - 16.0);
}

/// The names with the last values, in two lines at most.
fn legend(svg: &mut String, panel: &Panel, lines: &[Line], at: (f64, f64), width: f64) {
    let (mut x, mut y) = at;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let text = format!("{} {}", line.name, in_unit(line.last(), &panel.unit));
        let takes = text.chars().count() as f64 * 5.8 + 22.0;
        if x > at.0 && x + takes > at.0 + width {
            (x, y) = (at.0, y + 13.0);
            if y > at.1 + 14.0 {
                return;
            }
        }
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{y:.0}\" fill=\"#444\">{}</text>",
            y - 8.0,
            x + 12.0,
            escaped(&text)
        );
        x += takes;
    }
}

/// The points of each line; stacked, on top of those before it.
fn stacked(lines: &[Line], is_stacked: bool) -> Vec<Vec<(f64, f64)>> {
    let mut below = std::collections::BTreeMap::new();
    let mut stacked = Vec::new();
    for line in lines {
        let lift = |(second, value): &(f64, f64)| {
            let sum = below.entry(*second as u64).or_insert(0.0);
            *sum += value;
            (*second, if is_stacked { *sum } else { *value })
        };
        stacked.push(line.points.iter().map(lift).collect());
    }
    stacked
}

fn in_unit(value: f64, unit: &str) -> String {
    let plain = |value: f64| {
        let digits = if value.abs() >= 100.0 || value == value.round() {
            0
        } else if value.abs() >= 1.0 {
            1
        } else {
            3
        };
        format!("{value:.digits$}")
    };
    match unit {
        "s" if value.abs() >= 120.0 => format!("{} min", plain((value / 60.0).round())),
        "s" if value != 0.0 && value.abs() < 1.0 => format!("{} ms", plain(value * 1_000.0)),
        "s" => format!("{} s", plain(value)),
        "bytes" if value >= 1e9 => format!("{} GB", plain(value / 1e9)),
        "bytes" => format!("{} MB", plain(value / 1e6)),
        "percentunit" => format!("{} %", plain(value * 100.0)),
        "cps" => format!("{}/s", plain(value)),
        _ => plain(value),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
