//! Prometheus: scrapes processes under test once a second, and evaluates rules.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::process::{Process, folder};
use super::{blocking, free_port};

/// A private Prometheus.
pub struct Prometheus {
    port: u16,
    http: reqwest::Client,
    _process: Process,
}

impl Prometheus {
    /// One that scrapes these, as jobs by their names, and evaluates the rules of this file.
    pub async fn start(targets: &[(&str, SocketAddr)], rules: &Path) -> Self {
        let mut config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [{}]\nscrape_configs:\n",
            rules.display()
        );
        for (job, address) in targets {
            writeln!(config, "  - job_name: {job}\n    static_configs: [{{targets: ['{address}']}}]").expect("a text");
        }
        let (port, process) = blocking(move || {
            let (port, folder) = (free_port(), folder("prometheus"));
            let file = folder.join("prometheus.yaml");
            std::fs::write(&file, config).expect("a file");
            let mut command = Command::new("prometheus");
            command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(folder.join("data"));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            (port, Process::start("prometheus", &folder.join("log"), &mut command))
        })
        .await;
        Self { port, http: reqwest::Client::new(), _process: process }
    }

    /// What a query finds now: its series. None while it starts.
    ///
    /// # Panics
    /// When the query is refused.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        self.result("query", &[("query", query)]).await
    }

    /// The same over a time, in seconds since 1970, with a value each so many seconds.
    ///
    /// # Panics
    /// When the query is refused.
    pub async fn range(&self, query: &str, from: u64, to: u64, step: u64) -> Vec<Value> {
        let [from, to, step] = [from, to, step].map(|number| number.to_string());
        self.result("query_range", &[("query", query), ("start", &from), ("end", &to), ("step", &step)]).await
    }

    async fn result(&self, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let data = self.get(path, query).await.unwrap_or_default();
        data["result"].as_array().cloned().unwrap_or_default()
    }

    /// What its API has at a path; `None` while it starts.
    ///
    /// # Panics
    /// When it refuses.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let mut url = reqwest::Url::parse(&format!("http://127.0.0.1:{}/api/v1/{path}", self.port)).expect("a URL");
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.http.get(url).send().await.ok()?.text().await.ok()?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        assert_eq!(answer["status"], "success", "{path} {query:?}: {answer}");
        Some(answer["data"].clone())
    }
}
