//! Two kinds of pictures: bars and lines.

use std::fmt::Write as _;

const COLOURS: [&str; 8] = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"];
/// So many places on the x axis can be named as they are.
const TICKS: usize = 12;
const WIDTH: f64 = 900.0;
const LEFT: f64 = 130.0;
const TOP: f64 = 40.0;
const PLOT: f64 = 260.0;

/// What stands in a picture beside its data.
pub(super) struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Whether x grows by factors.
    pub(super) logarithmic: bool,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn begin(labels: &Labels<'_>, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}</text>\n<text x=\"{LEFT}\" y=\"33\" fill=\"#666\">{}</text>\n",
        escape(labels.title),
        escape(labels.y)
    )
}

/// Four lines across, with what they stand for.
fn scale(svg: &mut String, most: f64) {
    for part in 0..=4 {
        let y = TOP + PLOT - PLOT * f64::from(part) / 4.0;
        let value = most * f64::from(part) / 4.0;
        let shown = if most >= 20.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>",
            WIDTH - 20.0,
            LEFT - 5.0,
            y + 4.0
        );
    }
}

fn legend(svg: &mut String, names: &[String], top: f64) {
    for (at, name) in names.iter().enumerate() {
        let y = top + 16.0 * at as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{y:.1}\">{}</text>",
            y - 9.0,
            COLOURS[at % COLOURS.len()],
            LEFT + 16.0,
            escape(name)
        );
    }
}

/// Groups of bars: the name of each group, and a value and its range for each of the names.
pub(super) fn bars(labels: &Labels<'_>, names: &[String], groups: &[(String, Vec<Option<[f64; 3]>>)]) -> String {
    let values = groups.iter().flat_map(|(_, bars)| bars.iter().flatten());
    let most = values.map(|[_, _, high]| *high).fold(f64::MIN_POSITIVE, f64::max);
    let below = TOP + PLOT + 150.0;
    let mut svg = begin(labels, below + 16.0 * names.len() as f64 + 10.0);
    scale(&mut svg, most);
    let group = (WIDTH - LEFT - 20.0) / groups.len().max(1) as f64;
    let width = group * 0.8 / names.len().max(1) as f64;
    for (at, (name, bars)) in groups.iter().enumerate() {
        let left = LEFT + group * (at as f64 + 0.1);
        for (bar, value) in bars.iter().enumerate() {
            let Some([low, middle, high]) = value else { continue };
            let (x, y) = (left + width * bar as f64, |value: f64| TOP + PLOT - PLOT * value / most);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{middle:.1}</title></rect>\
                 <line x1=\"{c:.1}\" y1=\"{:.1}\" x2=\"{c:.1}\" y2=\"{:.1}\" stroke=\"#333\"/>",
                y(*middle),
                width * 0.9,
                PLOT * middle / most,
                COLOURS[bar % COLOURS.len()],
                y(*low),
                y(*high),
                c = x + width * 0.45,
            );
        }
        let (x, y) = (left + group * 0.4, TOP + PLOT + 12.0);
        let _ = writeln!(
            svg,
            "<text transform=\"translate({x:.1},{y:.1}) rotate(-35)\" text-anchor=\"end\">{}</text>",
            escape(name)
        );
    }
    legend(&mut svg, names, below);
    svg.push_str("</svg>\n");
    svg
}

/// Lines by name.
pub(super) fn lines(labels: &Labels<'_>, lines: &[(String, Vec<(f64, f64)>)]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
    let place = |x: f64| if labels.logarithmic { x.max(f64::MIN_POSITIVE).ln() } else { x };
    let first = points().map(|(x, _)| place(*x)).fold(f64::INFINITY, f64::min);
    let last = points().map(|(x, _)| place(*x)).fold(f64::NEG_INFINITY, f64::max);
    let across = |x: f64| LEFT + (WIDTH - LEFT - 30.0) * (place(x) - first) / (last - first).max(1e-9);
    let below = TOP + PLOT + 60.0;
    let mut svg = begin(labels, below + 16.0 * lines.len() as f64 + 10.0);
    scale(&mut svg, most);
    let mut ticks: Vec<f64> = points().map(|(x, _)| *x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    if ticks.len() > TICKS {
        ticks = (0..=8_u8).map(|part| first + (last - first) * f64::from(part) / 8.0).collect();
    }
    for tick in &ticks {
        let shown = if *tick >= 10.0 { format!("{tick:.0}") } else { format!("{tick}") };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{shown}</text>",
            across(*tick),
            TOP + PLOT + 16.0
        );
    }
    let _ =
        writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#666\">{}</text>", TOP + PLOT + 34.0, escape(labels.x));
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let mut path = String::new();
        for (x, y) in points {
            let (x, down) = (across(*x), TOP + PLOT - PLOT * y / most);
            let _ = write!(path, "{x:.1},{down:.1} ");
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"><title>{}</title></polyline>",
            escape(name)
        );
    }
    legend(&mut svg, &lines.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), below);
    svg.push_str("</svg>\n");
    svg
}
