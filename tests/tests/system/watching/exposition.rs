//! Metrics as a process exposes them, and as `docs/metrics.md` has them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use spectrum_webhook_testkit::process::Client;

use super::read;

/// One metric.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Metric {
    /// `counter`, `gauge` or `histogram`.
    pub(super) kind: String,
    /// Its labels and their values.
    pub(super) labels: BTreeMap<String, BTreeSet<String>>,
}

/// Metrics by their names.
pub(super) type Metrics = BTreeMap<String, Metric>;

/// What a process exposes.
pub(super) async fn scrape(client: &Client) -> String {
    let answer = client.ops("/metrics").await.expect("metrics");
    String::from_utf8(answer.body.to_vec()).expect("UTF-8")
}

/// How many series that is.
pub(super) fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count()
}

pub(super) fn exposed(text: &str) -> Metrics {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut metrics: Metrics = kinds
        .map(|(name, kind)| (name.to_owned(), Metric { kind: kind.to_owned(), labels: BTreeMap::new() }))
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let family = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        let name = family.filter(|name| metrics.contains_key(*name)).unwrap_or(name);
        let metric = metrics.get_mut(name).expect("a type before its series");
        // No value has a comma or a quotation mark.
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').expect("a label");
            if label != "le" {
                metric.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    metrics
}

/// The table's rows: what it says of each metric, and which processes have it.
pub(super) fn documented() -> BTreeMap<String, (Metric, String)> {
    let text = read("docs/metrics.md");
    let mut metrics = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, of, meaning] = cells.as_slice() else { panic!("six cells: {row}") };
        assert!(!unit.is_empty() && meaning.ends_with('.'), "{row}");
        let labels = labels.split("; ").filter(|label| !label.is_empty()).map(|label| {
            let (label, values) = label.split_once(": ").expect("a label and its values");
            (label.trim_matches('`').to_owned(), values_of(values))
        });
        let metric = Metric { kind: (*kind).to_owned(), labels: labels.collect() };
        let name = name.trim_matches('`').to_owned();
        let before = metrics.insert(name, (metric, (*of).to_owned()));
        assert_eq!(before, None, "twice: {row}");
    }
    metrics
}

/// The values of a label as listed, or where they are listed.
fn values_of(cell: &str) -> BTreeSet<String> {
    match cell {
        "each [code](api.md#errors)" => {
            let api = read("docs/api.md");
            let (_, errors) = api.split_once("\n## Errors").expect("the errors");
            let rows = errors.lines().filter(|line| line.starts_with("| "));
            rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect()
        }
        "of the program" => [env!("CARGO_PKG_VERSION").to_owned()].into(),
        _ => cell.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
    }
}

/// What Prometheus' own check has to say of them: nothing.
pub(super) fn lint(text: &str) {
    use std::io::Write as _;
    let mut command = Command::new("promtool");
    let pipes = command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = pipes.spawn().expect("promtool: `tests/setup.sh` installs it");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("an end");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");
}
