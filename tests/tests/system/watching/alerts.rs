//! Alerts and runbooks fit together, name metrics that exist, and fire when they should.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::exposition::documented;
use super::{path, read};

/// The alerts by name, with their severities, and where their runbooks are.
fn alerts() -> BTreeMap<String, Vec<(String, String)>> {
    let mut alerts: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let text = read("deploy/prometheus/alerts.yaml");
    for alert in text.split("- alert: ").skip(1) {
        let value = |key: &str| {
            let mut values = alert.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
            values.next().unwrap_or_else(|| panic!("{key} is missing: {alert}")).to_owned()
        };
        assert!(!value("summary").is_empty() && !value("description").is_empty() && !value("for").is_empty());
        let name = alert.lines().next().expect("a name").to_owned();
        alerts.entry(name).or_default().push((value("severity"), value("runbook_url")));
    }
    alerts
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let alerts = alerts();
    let text = read("docs/runbooks.md");
    let sections: BTreeMap<&str, &str> =
        text.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a body")).collect();
    let names: BTreeSet<&str> = alerts.keys().map(String::as_str).collect();
    assert_eq!(names, sections.keys().copied().collect::<BTreeSet<_>>());
    for (name, section) in sections {
        for part in ["**Means.**", "**Look.**", "**Do.**", "**Wake somebody**"] {
            assert!(section.contains(part), "{name}: {part}");
        }
    }
    let mut bases = BTreeSet::new();
    for (name, alerts) in alerts {
        for (severity, runbook) in alerts {
            assert!(["critical", "warning"].contains(&severity.as_str()), "{name}: {severity}");
            let (base, section) = runbook.split_once('#').expect("a section");
            assert_eq!(section, name.to_lowercase());
            assert!(base.starts_with("https://") && base.ends_with("/docs/runbooks.md"), "{base}");
            bases.insert(base.to_owned());
        }
    }
    assert_eq!(bases.len(), 1, "one place: {bases:?}");
}

/// The names of metrics in a text: ours, and those of the process.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words =
        text.split(|c| !word(c)).filter(|word| word.starts_with("spectrum_webhook_") || word.starts_with("process_"));
    words.map(ToOwned::to_owned).collect()
}

#[test]
fn alerts_dashboard_and_runbooks_name_only_metrics_of_the_table() {
    let table = documented();
    for file in
        ["deploy/prometheus/alerts.yaml", "deploy/grafana/dashboard.json", "docs/runbooks.md", "docs/watching.md"]
    {
        let text = read(file);
        for name in named(&text) {
            let family = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
            let is_known = table.contains_key(&name)
                || family.is_some_and(|family| table.get(family).is_some_and(|(metric, _)| metric.kind == "histogram"));
            assert!(is_known, "{file}: {name}");
        }
    }
    // What is recorded is what is asked for.
    let text = read("deploy/prometheus/alerts.yaml");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let used: BTreeSet<&str> = text.split(|c| !word(c)).filter(|word| word.starts_with("spectrum_webhook:")).collect();
    let recorded: BTreeSet<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    assert_eq!(used, recorded);
}

#[track_caller]
fn succeeds(command: &mut Command) {
    let output = command.current_dir(path("deploy/prometheus")).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} ({error}): `tests/setup.sh` installs it"));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    succeeds(Command::new("promtool").args(["check", "rules", "alerts.yaml"]));
    succeeds(Command::new("promtool").args(["test", "rules", "alerts_test.yaml", "alerts_hours_test.yaml"]));
    // Each is seen firing in one of those tests.
    let tests =
        ["alerts_test", "alerts_hours_test"].map(|name| read(&format!("deploy/prometheus/{name}.yaml"))).concat();
    for (name, alerts) in alerts() {
        for (severity, _) in alerts {
            let fires = format!(r#"alertname="{name}", severity="{severity}""#);
            assert!(tests.contains(&fires), "no test shows that it fires: {fires}");
        }
    }
}

#[test]
fn the_object_of_the_operator_and_the_example_are_those_of_these_alerts() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str| {
        std::fs::copy(path("deploy/prometheus").join(name), folder.path().join(name)).expect("a copy");
    };
    ["alerts.yaml", "render.sh", "prometheus.yaml"].into_iter().for_each(copy);
    let render = |arguments: &[&str]| {
        succeeds(Command::new(folder.path().join("render.sh")).args(arguments));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        [read("alerts.yaml"), read("prometheusrule.yaml")]
    };
    let rendered = render(&[]);
    assert_eq!(rendered[1], read("deploy/prometheus/prometheusrule.yaml"), "run deploy/prometheus/render.sh");
    succeeds(Command::new("promtool").arg("check").arg("config").arg(folder.path().join("prometheus.yaml")));
    let elsewhere = render(&["--runbooks", "https://wiki.example/hooks"]);
    for (text, before) in elsewhere.iter().zip(&rendered) {
        assert_eq!(
            text.matches("runbook_url: https://wiki.example/hooks#").count(),
            before.matches("runbook_url: ").count()
        );
    }
}
