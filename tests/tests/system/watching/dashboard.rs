//! The Grafana dashboard over a real Prometheus that scrapes a real run: every panel has something to show. `make
//! watch-pictures` lets the run last some minutes, and keeps what its panels show as pictures.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use serde_json::Value;
use spectrum_webhook_receiver::{Receiver, Recorded, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings};
use spectrum_webhook_testkit::services::Prometheus;
use tokio_util::task::AbortOnDropHandle;

use super::{draw, path, read};
use crate::world::{PATIENCE, accept, text};

/// Panels of which an embedded server that runs well fills nothing, and why.
const EMPTY: [(&str, &str); 4] = [
    ("Alerts that fire", "none does"),
    ("Services that answer", "an embedded server needs none"),
    ("Connections lost", "an embedded server needs none"),
    ("Certificates expire in", "nothing speaks TLS"),
];

/// One panel.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) is_stacked: bool,
    /// Where it is drawn: left, top, width, height, in Grafana's grid.
    pub(super) place: [u64; 4],
    /// Queries and the names of what they find.
    pub(super) targets: Vec<(String, String)>,
}

/// The panels of the file by their rows.
fn rows() -> Vec<(String, Vec<Panel>)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboard.json")).expect("JSON");
    let mut rows: Vec<(String, Vec<Panel>)> = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let title = text(&panel["title"]);
        if panel["type"] == "row" {
            rows.push((title, Vec::new()));
            continue;
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        let targets = panel["targets"].as_array().expect("targets").iter();
        let panel = Panel {
            title,
            unit: text(&defaults["unit"]),
            is_stacked: defaults["custom"]["stacking"]["mode"] == "normal",
            place: ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a number")),
            targets: targets.map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect(),
        };
        rows.last_mut().expect("a row first").1.push(panel);
    }
    rows
}

/// A query as Grafana would ask it.
fn filled_in(query: &str) -> String {
    query.replace("$namespace", ".*").replace("$__rate_interval", "15s")
}

#[test]
fn the_dashboard_is_of_no_installation() {
    let text = read("deploy/grafana/dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["query"] == "prometheus"));
    assert_eq!(dashboard.get("id"), None, "an id is one installation's");
    let uids = text.lines().filter_map(|line| line.trim().strip_prefix("\"uid\": "));
    for uid in uids {
        let uid = uid.trim_end_matches(',');
        assert!(uid == "\"${datasource}\"" || uid == "\"spectrum-webhook\"", "{uid}");
    }
    let mut places = BTreeMap::new();
    for (row, panels) in rows() {
        for Panel { title, unit, place: [x, y, width, height], targets, .. } in panels {
            assert!(!unit.is_empty() && !targets.is_empty() && x + width <= 24, "{title}");
            for (expr, _) in &targets {
                assert!(
                    !expr.contains("spectrum_webhook_") || expr.contains("namespace=~\"$namespace\""),
                    "{title}: {expr}"
                );
            }
            for column in x..x + width {
                for line in y..y + height {
                    let other = places.insert((column, line), title.clone());
                    assert_eq!(other, None, "{row}: {title} covers it");
                }
            }
        }
    }
}

/// URLs as they are out there.
fn endpoints(request: &Recorded) -> Reply {
    let nth = request.nth_for_path;
    match request.path.as_str() {
        "/flaky" if nth.is_multiple_of(5) => Reply::status(StatusCode::SERVICE_UNAVAILABLE),
        "/slow" => Reply::ok().after(Duration::from_millis(80 + nth * 37 % 300)),
        "/refusing" if nth.is_multiple_of(3) => Reply::status(StatusCode::UNPROCESSABLE_ENTITY),
        "/down" => Reply::status(StatusCode::BAD_GATEWAY),
        _ => Reply::ok(),
    }
}

/// Posts some events a second, in waves, of which a few are posted again, and a few are none.
async fn load(client: Client, project: Project) {
    let begun = Instant::now();
    for number in 0.. {
        let key = format!("key-{}", number - usize::from(number % 20 == 7));
        let body = if number % 20 == 7 { text("load", number - 1) } else { text("load", number) };
        let posted = client.post(&project, body, Some(&key)).await.expect("an answer");
        assert_eq!(posted.status, 202);
        if number % 25 == 0 {
            assert_eq!(client.post(&project, "[]".into(), None).await.expect("an answer").status, 422);
        }
        let wave = (begun.elapsed().as_secs_f64() / 20.0).sin();
        tokio::time::sleep(Duration::from_secs_f64(0.05 * (1.5 + wave))).await;
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboard_shows_something_of_a_real_run() {
    let thrown_away = tempfile::tempdir().expect("a folder");
    let (folder, lasts) = match std::env::var_os("WATCH_PICTURES") {
        Some(folder) => (PathBuf::from(folder), Duration::from_secs(240)),
        None => (thrown_away.path().to_owned(), Duration::ZERO),
    };
    let server = Server::start(Settings::quick().set("SPECTRUM_LOG", "info,spectrum_webhook_dispatcher=warn")).await;
    let rules = path("deploy/prometheus/alerts.yaml");
    let prometheus = Prometheus::start(&[("spectrum-webhook", server.ops())], &rules).await;
    let begun = now();
    let (client, project) = (server.client(), server.create_project("watched").await);
    let receiver = Receiver::on_loopback(endpoints).expect("a receiver");
    for path in ["/good", "/slow", "/flaky", "/refusing", "/down"] {
        client.register(&project, &receiver.url(path)).await;
    }
    accept(&client, &project, text("first", 0)).await;
    let posting = AbortOnDropHandle::new(tokio::spawn(load(client.clone(), project.clone())));
    tokio::time::sleep(lasts).await;

    let rows = rows();
    let deadline = Instant::now() + PATIENCE;
    for panel in rows.iter().flat_map(|(_, panels)| panels) {
        let mut finds = false;
        while !finds && !EMPTY.iter().any(|(title, _)| *title == panel.title) {
            assert!(Instant::now() < deadline, "{} shows nothing: {:?}", panel.title, panel.targets);
            for (query, _) in &panel.targets {
                let found = prometheus.query(&filled_in(query)).await;
                finds |= found.iter().any(|series| series["value"][1] != "NaN");
            }
            if !finds {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    assert!(!posting.is_finished(), "the load goes on");
    every_rule_can_be_evaluated(&prometheus).await;

    let until = now();
    let step = ((until - begun) / 120).max(1);
    for (row, panels) in &rows {
        let mut pictures = Vec::new();
        for panel in panels {
            let mut lines = Vec::new();
            for (query, legend) in &panel.targets {
                let series = prometheus.range(&filled_in(query), begun, until, step).await;
                lines.extend(series.iter().map(|series| draw::Line::new(legend, series)));
            }
            pictures.push((panel, lines));
        }
        let file = folder.join(format!("watching-{}.svg", row.to_lowercase().replace(' ', "-")));
        std::fs::write(file, draw::row(row, &pictures, begun, until)).expect("a picture");
    }
}

/// Each alert and each record was evaluated on these metrics without an error, and no alert fires.
async fn every_rule_can_be_evaluated(prometheus: &Prometheus) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rules = prometheus.get("rules", &[]).await.unwrap_or_default();
        let groups = rules["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
        let fails: Vec<&&Value> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(fails.is_empty(), "{fails:?}");
        let fires: Vec<&&Value> = rules.iter().filter(|rule| rule["state"] == "firing").collect();
        assert!(fires.is_empty(), "{fires:?}");
        if !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok") {
            return;
        }
        assert!(Instant::now() < deadline, "not evaluated: {rules:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
