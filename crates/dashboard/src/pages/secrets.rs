//! Secrets, the one time that they are shown: in the answer to the form that made them. Nothing keeps them, and loading the
//! page again makes no new ones: the form is good for one time.

use askama::Template;
use axum::response::Response;
use serde_json::Value;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::ports::Project;

use crate::frame::{Frame, page};
use crate::words::Html;

/// What a check found, step by step.
pub(super) struct Report {
    pub(super) passed: bool,
    pub(super) steps: Vec<Step>,
    pub(super) response: String,
}

/// One step of a check.
pub(super) struct Step {
    pub(super) name: String,
    /// `passed`, `failed` or `not_reached`.
    pub(super) outcome: String,
    pub(super) sentence: String,
}

impl Report {
    /// A report as the API has it; `None` when there is none.
    pub(super) fn of(report: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let steps = report["steps"].as_array()?.iter().map(|step| Step {
            name: name(step["step"].as_str().unwrap_or_default()),
            outcome: text(&step["outcome"]),
            sentence: text(&step["sentence"]),
        });
        Some(Self { passed: report["passed"].as_bool()?, steps: steps.collect(), response: text(&report["response"]) })
    }
}

/// A step, as people call it.
fn name(step: &str) -> String {
    match step {
        "url" => "URL",
        "name" => "Name",
        "address" => "Address",
        "connection" => "Connection",
        "tls" => "TLS",
        "request" => "Request",
        "answer" => "Answer",
        other => other,
    }
    .to_owned()
}

/// What became of the check that was asked for.
pub(super) enum Checked {
    /// None was asked for.
    No,
    /// It was not done in time.
    Later,
    /// It was done.
    Done(Report),
}

/// The program that verifies a delivery, in one language.
struct Snippet {
    language: &'static str,
    text: String,
}

const SNIPPETS: [(&str, &str); 4] = [
    ("TypeScript", include_str!("../snippets/typescript.txt")),
    ("Python", include_str!("../snippets/python.txt")),
    ("Go", include_str!("../snippets/go.txt")),
    ("Rust", include_str!("../snippets/rust.txt")),
];

#[derive(Template)]
#[template(path = "secrets.html")]
struct SecretsPage {
    frame: Frame,
    project: Project,
    webhook: WebhookId,
    url: String,
    heading: &'static str,
    secret: String,
    standard: String,
    /// Until when the old one signs too.
    overlap: Option<Html>,
    checked: Checked,
    snippets: Vec<Snippet>,
}

/// What a form made, and what is said of it.
pub(super) struct Made {
    pub(super) webhook: WebhookId,
    pub(super) url: String,
    pub(super) heading: &'static str,
    pub(super) overlap: Option<Html>,
    pub(super) checked: Checked,
}

/// The page: the secrets are in the API's answer.
pub(super) fn show(frame: Frame, project: Project, made: Made, answer: &Value) -> Response {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let (secret, standard) = (text("signingSecret"), text("standardSigningSecret"));
    let snippet =
        |(language, text): (&'static str, &str)| Snippet { language, text: text.replace("{secret}", &secret) };
    let snippets = SNIPPETS.map(snippet).into();
    let Made { webhook, url, heading, overlap, checked } = made;
    page(&SecretsPage { frame, project, webhook, url, heading, secret, standard, overlap, checked, snippets })
}
