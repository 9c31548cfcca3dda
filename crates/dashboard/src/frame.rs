//! What stands around a page: the head, the navigation, and what was just done.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use spectrum_webhook_core::ids::ProjectId;
use spectrum_webhook_core::ports::Project;

use crate::assets;
use crate::gate::Signed;
use crate::query::Place;

/// The places of the navigation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tab {
    Overview,
    Projects,
    Webhooks,
    Log,
    DeadLetters,
    Signature,
    None,
}

/// What every template has as `frame`.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) tab: Tab,
    pub(crate) project: Option<(ProjectId, String)>,
    pub(crate) operator: bool,
    /// What every form carries; empty when nobody is signed in.
    pub(crate) token: String,
    /// What was just done.
    pub(crate) done: Option<&'static str>,
}

impl Frame {
    /// Around a page for nobody in particular.
    pub(crate) fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            tab: Tab::None,
            project: None,
            operator: false,
            token: String::new(),
            done: None,
        }
    }

    pub(crate) fn new(signed: &Signed, title: impl Into<String>, tab: Tab) -> Self {
        Self {
            title: title.into(),
            tab,
            project: None,
            operator: signed.is_operator(),
            token: signed.token.clone(),
            done: None,
        }
    }

    /// The same in a project.
    pub(crate) fn of(signed: &Signed, project: &Project, place: &Place, title: impl Into<String>, tab: Tab) -> Self {
        Self {
            project: Some((project.id, project.name.clone())),
            done: place.text("did").and_then(done),
            ..Self::new(signed, title, tab)
        }
    }

    /// Whether the page is at this place of the navigation.
    pub(crate) fn on(&self, name: &str) -> bool {
        let own = match self.tab {
            Tab::Overview => "overview",
            Tab::Projects => "projects",
            Tab::Webhooks => "webhooks",
            Tab::Log => "log",
            Tab::DeadLetters => "dead-letters",
            Tab::Signature => "signature",
            Tab::None => "",
        };
        own == name
    }

    pub(crate) fn signed_in(&self) -> bool {
        !self.token.is_empty()
    }

    pub(crate) fn style(&self) -> &'static str {
        assets::STYLE.path()
    }

    pub(crate) fn script(&self) -> &'static str {
        assets::SCRIPT.path()
    }

    pub(crate) fn icon(&self) -> &'static str {
        assets::ICON.path()
    }
}

/// What is said after a redirect. The URL names it by a word; no text of a URL is ever shown.
fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "test" => "A test event is on its way. It appears in the delivery log in a moment.",
        "enabled" => "The webhook is enabled. What it missed is delivered now, in order.",
        "disabled" => "The webhook is disabled. Its events wait until you enable it again.",
        "removed" => "The webhook is removed. Nothing more is sent to it.",
        "resumed" => "The URL is tried again now.",
        "asked" => "It will be done as soon as the attempt in flight has ended.",
        "resent" => "It is sent again, behind what is waiting.",
        "some-resent" => "Some were not sent again: they were closed already, or their webhook is disabled or gone.",
        "discarded" => "Discarded. Nothing more happens to them.",
        "replay" => "The replay has begun.",
        "paused" => "The replay is paused. What was sent already is on its way.",
        "running" => "The replay goes on.",
        "cancelled" => "The replay is cancelled. What was sent already is on its way.",
        _ => return None,
    })
}

/// A template as an answer.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => ([(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A template as a part of a page; nothing when it cannot be written.
pub(crate) fn part(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}
