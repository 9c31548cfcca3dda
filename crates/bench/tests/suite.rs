//! The suite from end to end, as small as it can be: that it runs and writes its report. It says nothing about speed.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use spectrum_webhook_testkit::process::binary;

const BENCH: &str = env!("CARGO_BIN_EXE_spectrum-webhook-bench");

fn run(words: &[&str]) -> String {
    let output = Command::new(BENCH).args(words).output().expect("the benchmark");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect(name)
}

#[test]
fn the_embedded_product_is_measured_beside_the_limit_and_the_report_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (out, product) = (folder.path().to_str().expect("a name"), binary().to_str().expect("a name"));
    let words = ["suite", "--only", "stages,throughput,latency,lane,backlog,idle,sizing", "--backends", "embedded"];
    let few = ["--rounds", "1", "--seconds", "0.3", "--projects", "5", "--urls", "2", "--batch", "5"];
    let small = ["--backlog", "50", "--webhooks", "20", "--idle-seconds", "1", "--binary", product, "--out", out];
    run(&[&words[..], &few, &small].concat());

    let report: serde_json::Value = serde_json::from_str(&read(folder.path(), "report.json")).expect("JSON");
    assert_eq!(report["schema"], 1);
    let figures = report["figures"].as_array().expect("figures");
    let medians = |measure: &str, name: &str| {
        let figure = figures.iter().find(|figure| figure["measure"] == measure && figure["name"] == name);
        let figure = figure.unwrap_or_else(|| panic!("{measure}: {name}"));
        ["product", "limit"]
            .map(|contender| figure["of"][contender]["median"].as_f64().is_some_and(|value| value > 0.0))
    };
    let both = [true, true];
    assert_eq!(medians("throughput", "embedded, 5 projects, 2 URLs, single, delivered"), both);
    assert_eq!(medians("throughput", "embedded, 5 projects, 2 URLs, batch, delivered"), both);
    assert_eq!(medians("latency", "embedded, at 50 %, p99"), both);
    assert_eq!(medians("lane", "embedded, receiver takes 1 ms"), both);
    assert_eq!(medians("stages", "SQLite group commit, 64 callers"), [false, true]);
    assert_eq!(medians("backlog", "embedded, events a second out of it"), [true, false]);

    let page = read(folder.path(), "report.md");
    assert!(page.contains("## 1 Throughput") && page.contains("throughput.svg"), "{page}");
    assert!(read(folder.path(), "throughput.svg").contains("<rect"));
    let json = folder.path().join("report.json");
    let json = json.to_str().expect("a name");
    assert!(run(&["compare", json, json]).contains("| 1.00 |"));
}
