//! The report as a page to read.

use std::fmt::Write as _;

use super::{Figure, Goal, Report, Spread, Unit};

impl Unit {
    /// A number of it, short enough for a table.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", rounded(value)),
            Self::Millis => format!("{} ms", rounded(value)),
            Self::Micros => format!("{} µs", rounded(value)),
            Self::Seconds => format!("{} s", rounded(value)),
            Self::Ratio => format!("{value:.3}"),
            Self::Bytes if value.abs() < 16_384.0 => format!("{value:.0} B"),
            Self::Bytes if value.abs() < 1_048_576.0 => format!("{:.1} KiB", value / 1_024.0),
            Self::Bytes => format!("{:.1} MiB", value / 1_048_576.0),
        }
    }
}

fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(super) fn cell(figure: &Figure, contender: &str) -> String {
    let Some(Spread { median, low, high, rounds }) = figure.of.get(contender) else { return "–".to_owned() };
    let show = |value| figure.unit.show(value);
    match rounds.len() {
        1 => show(*median),
        _ => format!("{} ({} to {})", show(*median), show(*low), show(*high)),
    }
}

fn goal(figure: &Figure) -> String {
    match figure.goal {
        None => String::new(),
        Some(Goal::RatioAtLeast(least)) => format!("ratio ≥ {least}"),
        Some(Goal::RatioAtMost(most)) => format!("ratio ≤ {most}"),
        Some(Goal::AtMost(most)) => format!("≤ {}", figure.unit.show(most)),
    }
}

fn row(figure: &Figure) -> String {
    let beside = match figure.beside.as_deref() {
        None | Some("limit") => String::new(),
        Some(other) => format!("{other}: {}", cell(figure, other)),
    };
    let ratio = figure.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let reached = figure.reached().map_or("", |reached| if reached { "yes" } else { "**no**" });
    let (product, limit) = (cell(figure, "product"), cell(figure, "limit"));
    format!("| {} | {product} | {limit} | {beside} | {ratio} | {} | {reached} |", figure.name, goal(figure))
}

impl Report {
    /// The page; `pictures` lie beside it.
    pub(super) fn page(&self, pictures: &[&str]) -> String {
        let machine = &self.machine;
        let mut page = format!("# Benchmark of {}\n\n", machine.commit);
        let _ = writeln!(
            page,
            "{}, {} cores, {} MiB, Linux {}, {}, {}. `spectrum-webhook-bench {}`\n\n\
             Medians of the rounds, with the lowest and the highest. The ratio is the product's median to the limit's, or \
             to what stands in the column `beside`.",
            machine.processor,
            machine.cores,
            machine.memory_mib,
            machine.kernel,
            machine.compiler,
            machine.at,
            self.arguments.join(" "),
        );
        let mut measures: Vec<&str> = self.figures.iter().map(|figure| figure.measure.as_str()).collect();
        measures.sort_by_key(|measure| self.figures.iter().position(|figure| figure.measure == *measure));
        measures.dedup();
        for measure in measures {
            let _ = writeln!(page, "\n## {}\n\n{HEAD}", title(measure));
            for figure in self.figures.iter().filter(|figure| figure.measure == measure) {
                let _ = writeln!(page, "{}", row(figure));
            }
            for picture in pictures.iter().filter(|picture| picture.starts_with(measure)) {
                let _ = writeln!(page, "\n![{measure}]({picture})");
            }
        }
        page
    }
}

fn title(measure: &str) -> &str {
    match measure {
        "stages" => "The limit's stages, each alone",
        "throughput" => "1 Throughput, and memory",
        "latency" => "2 From the post to the arrival",
        "lane" => "3 One project alone",
        "isolation" => "4 Healthy URLs beside some that hang",
        "backlog" => "5 Backlog",
        "idle" => "6 Webhooks that have little to do",
        "cpu" => "7 Processor time of a delivery, by process",
        "scale" => "8 More dispatchers, more projects",
        "sizing" => "9 Sizing",
        other => other,
    }
}

const HEAD: &str =
    "| figure | product | limit | beside | ratio | goal | reached |\n| --- | --- | --- | --- | --- | --- | --- |";
