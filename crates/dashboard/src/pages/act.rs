//! What people do to a webhook. Each is a form, a call of the API, and a way back.

use axum::response::{IntoResponse, Redirect, Response};
use http::Method;
use serde_json::{Value, json};
use spectrum_webhook_core::ports::Project;
use spectrum_webhook_core::time::Millis;

use super::secrets::{self, Checked, Made};
use super::{Answer, webhook_id, webhooks_of};
use crate::frame::{Frame, Tab};
use crate::gate::{Posted, Signed};
use crate::query::Place;
use crate::trouble::Trouble;
use crate::words::{Html, when};

/// What a form is about.
struct Target {
    project: Project,
    /// Behind `/projects/ID`.
    path: String,
    /// The webhook's page.
    page: String,
}

impl Target {
    async fn of(signed: &Signed, place: &Place) -> Result<Self, Trouble> {
        let project = signed.project(place).await?;
        let id = webhook_id(place)?;
        let page = format!("/dashboard/projects/{}/webhooks/{id}", project.id);
        Ok(Self { path: format!("/webhooks/{id}"), page, project })
    }

    fn back(&self, did: &str) -> Response {
        Redirect::to(&format!("{}?did={did}", self.page)).into_response()
    }
}

/// What the last segment of the path names.
pub(crate) async fn act(Posted { signed, form, place }: Posted) -> Answer {
    let target = Target::of(&signed, &place).await?;
    let call = async |method: Method, behind: &str, body: Option<Value>| {
        signed.shared.api.call(target.project.id, method, &format!("{}{behind}", target.path), body).await
    };
    match place.segment(5) {
        Some("test") => {
            call(Method::POST, "/test", None).await?;
            Ok(target.back("test"))
        }
        Some("check") => {
            let answer = call(Method::POST, "/check", None).await?;
            let done = answer["done"].as_bool() == Some(true);
            Ok(Redirect::to(&format!("{}{}", target.page, if done { "#check" } else { "?did=asked" })).into_response())
        }
        Some("enable") => {
            call(Method::PATCH, "", Some(json!({ "enabled": true }))).await?;
            Ok(target.back("enabled"))
        }
        Some("disable") => {
            call(Method::PATCH, "", Some(json!({ "enabled": false }))).await?;
            Ok(target.back("disabled"))
        }
        Some("remove") => {
            call(Method::DELETE, "", None).await?;
            Ok(Redirect::to(&format!("/dashboard/projects/{}?did=removed", target.project.id)).into_response())
        }
        Some("resume") => {
            let answer = call(Method::POST, "/resume", Some(json!({ "reason": form.text("reason") }))).await?;
            let done = answer["done"].as_bool() == Some(true);
            Ok(target.back(if done { "resumed" } else { "asked" }))
        }
        Some("rotate") => rotate(&signed, &form, &place, target).await,
        _ => Err(Trouble::not_found("page")),
    }
}

/// A new secret. The form is good for one time: it names the version of the webhook that it was made for.
async fn rotate(signed: &Signed, form: &crate::form::Form, place: &Place, target: Target) -> Answer {
    let id = webhook_id(place)?;
    let webhook = webhooks_of(signed, &target.project).await?.into_iter().find(|webhook| webhook.id == id);
    let webhook = webhook.ok_or_else(|| Trouble::not_found("webhook"))?;
    if form.text("version") != webhook.updated_at.0.to_string() {
        return Err(Trouble::stale());
    }
    let overlap: u32 =
        form.text("overlap").parse().map_err(|_| Trouble::unfit("Choose how long the old secret lives."))?;
    let body = Some(json!({ "overlapSeconds": overlap }));
    let path = format!("{}/secret/rotate", target.path);
    let answer = signed.shared.api.call(target.project.id, Method::POST, &path, body).await?;
    let until = answer["previousSecretExpiresAt"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let overlap = match until {
        Some(until) => Html(format!("The old secret signs too until {}.", when(Millis(until.as_millisecond())))),
        None => Html("The old secret has ended: deliveries are signed with the new one alone.".to_owned()),
    };
    let title = "The secret is rotated";
    let frame = Frame::of(signed, &target.project, place, title, Tab::Webhooks);
    let made = Made { webhook: id, url: webhook.url, heading: title, overlap: Some(overlap), checked: Checked::No };
    Ok(secrets::show(frame, target.project, made, &answer))
}
