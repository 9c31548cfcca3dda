//! One more webhook.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use spectrum_webhook_core::ids::{self, WebhookId};
use spectrum_webhook_core::ports::Project;

use super::secrets::{self, Checked, Made, Report};
use super::{Answer, Choice};
use crate::form::Form;
use crate::frame::{Frame, Tab, page};
use crate::gate::{Posted, Signed};
use crate::query::Place;
use crate::trouble::Trouble;

/// The orderings, as people choose them.
const ORDERINGS: [(&str, &str); 3] = [
    ("project", "All events in order, one at a time"),
    ("space", "In order within each space, up to 16 spaces at a time"),
    ("none", "In no order, up to 16 at a time"),
];

#[derive(Template)]
#[template(path = "add.html")]
struct AddPage {
    frame: Frame,
    project: Project,
    url: String,
    types: String,
    orderings: Vec<Choice>,
    rate: String,
    timeout: String,
    headers: String,
    check: bool,
    problem: Option<String>,
}

impl AddPage {
    fn new(frame: Frame, project: Project, form: &Form, check: bool) -> Self {
        let field = |name: &str| form.raw(name).to_owned();
        let ordering = Some(form.text("ordering")).filter(|ordering| !ordering.is_empty()).unwrap_or("project");
        Self {
            frame,
            project,
            url: field("url"),
            types: field("types"),
            orderings: Choice::list(&ORDERINGS, Some(ordering)),
            rate: field("rate"),
            timeout: field("timeout"),
            headers: field("headers"),
            check,
            problem: None,
        }
    }

    fn refused(self, problem: String) -> Response {
        let mut response = page(&Self { problem: Some(problem), ..self });
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        response
    }
}

/// `GET /dashboard/projects/{project}/add`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let project = signed.project(&place).await?;
    let frame = Frame::of(&signed, &project, &place, "Add a webhook", Tab::Webhooks);
    Ok(page(&AddPage::new(frame, project, &Form::of(b""), true)))
}

/// What the form says, as the API takes it; or what is wrong with it.
fn registration(form: &Form) -> Result<Value, String> {
    let mut body = json!({
        "webhookUrl": form.text("url"),
        "ordering": form.text("ordering"),
        "check": form.has("check"),
    });
    let types: Vec<&str> = form.text("types").split([',', '\n', ' ', '\r']).filter(|name| !name.is_empty()).collect();
    if !types.is_empty() {
        body["eventTypes"] = json!(types);
    }
    for (field, name, what) in [
        ("rate", "rateLimit", "The most attempts a second"),
        ("timeout", "attemptTimeoutSeconds", "The time of an attempt"),
    ] {
        if !form.text(field).is_empty() {
            let number: u64 =
                form.text(field).parse().map_err(|_| format!("{what} must be a whole number, or empty."))?;
            body[name] = json!(number);
        }
    }
    let mut headers = Map::new();
    for line in form.raw("headers").lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("Write each header on a line of its own, as “Name: value”.")?;
        headers.insert(name.trim().to_owned(), json!(value.trim()));
    }
    if !headers.is_empty() {
        body["headers"] = Value::Object(headers);
    }
    if body["ordering"] == "" {
        body["ordering"] = Value::Null;
    }
    Ok(body)
}

/// `POST /dashboard/projects/{project}/add`
pub(crate) async fn add(Posted { signed, form, place }: Posted) -> Answer {
    let project = signed.project(&place).await?;
    let frame = || Frame::of(&signed, &project, &place, "Add a webhook", Tab::Webhooks);
    let again = || AddPage::new(frame(), project.clone(), &form, form.has("check"));
    let body = match registration(&form) {
        Ok(body) => body,
        Err(problem) => return Ok(again().refused(problem)),
    };
    let answer = match signed.shared.api.call(project.id, Method::POST, "/webhooks", Some(body)).await {
        Ok(answer) => answer,
        Err(refusal) if refusal.status.is_client_error() => return Ok(again().refused(in_words(&refusal))),
        Err(refusal) => return Ok(Trouble::from(refusal).into_response()),
    };
    let id = answer["id"].as_str().and_then(ids::usual).map(WebhookId).ok_or_else(Trouble::unavailable)?;
    let checked = match (form.has("check"), Report::of(&answer["check"]["report"])) {
        (false, _) => Checked::No,
        (true, None) => Checked::Later,
        (true, Some(report)) => Checked::Done(report),
    };
    let url = answer["webhookUrl"].as_str().unwrap_or_default().to_owned();
    let made = Made { webhook: id, url, heading: "The webhook is added", overlap: None, checked };
    Ok(secrets::show(Frame { title: "The webhook is added".to_owned(), ..frame() }, project.clone(), made, &answer))
}

/// What a person is told who has filled in this form.
fn in_words(refusal: &crate::api::Refusal) -> String {
    match refusal.code.as_str() {
        "invalid_url" => {
            let said = refusal.message.trim_start_matches("webhookUrl ");
            format!("The URL does not do: it {said}.")
        }
        "invalid_event_types" => "Name 1 to 100 event types of visible ASCII characters, with at most 8 * in each, or \
                                  leave the field empty for all."
            .to_owned(),
        "invalid_rate_limit" => "The most attempts a second is a whole number from 1 to 1,000, or empty.".to_owned(),
        "invalid_attempt_timeout" => {
            let said =
                refusal.message.trim_start_matches("attemptTimeoutSeconds must be null").trim_start_matches(" or ");
            format!("The seconds for an attempt must be empty or {said}.")
        }
        _ => refusal.sentence(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_the_api_takes() {
        let form = Form::of(b"url=+https://a.b/+&types=a.*%2C+b&ordering=space&rate=5&timeout=&headers=X-A%3A+1%0D%0A%0D%0AX-B:2:3&check=on");
        let expected = json!({ "webhookUrl": "https://a.b/", "ordering": "space", "check": true, "eventTypes": ["a.*", "b"],
            "rateLimit": 5, "headers": { "X-A": "1", "X-B": "2:3" } });
        assert_eq!(registration(&form), Ok(expected));
        assert!(registration(&Form::of(b"url=x&rate=many")).is_err_and(|said| said.contains("whole number")));
        assert!(registration(&Form::of(b"url=x&headers=none")).is_err_and(|said| said.contains("Name: value")));
        let bare = json!({ "webhookUrl": "x", "ordering": null, "check": false });
        assert_eq!(registration(&Form::of(b"url=x")), Ok(bare));
    }
}
