//! Who comes in, and who goes.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::{RETRY_AFTER, SET_COOKIE};
use sha2::{Digest as _, Sha256};
use spectrum_webhook_core::ids::{self, ProjectId};
use spectrum_webhook_core::ports::DirectoryError;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::form::Form;
use crate::frame::{Frame, page};
use crate::gate::{Jar, Posted, Signed, is_from_here, own_page};
use crate::query::Place;
use crate::session::{Session, Who};
use crate::state::{Dashboard, Shared};
use crate::trouble::Trouble;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// Where to go then.
    to: String,
    /// The project's id as it was typed.
    id: String,
    /// As an operator.
    operator: bool,
    problem: Option<String>,
    ended: bool,
}

impl SignInPage {
    fn new(to: Option<&str>, operator: bool) -> Self {
        Self {
            frame: Frame::bare("Sign in"),
            to: to.and_then(own_page).unwrap_or_default().to_owned(),
            id: String::new(),
            operator,
            problem: None,
            ended: false,
        }
    }
}

/// `GET /dashboard`
pub(crate) async fn home(signed: Signed) -> Redirect {
    Redirect::to(&signed.home())
}

/// `GET /dashboard/sign-in`
pub(crate) async fn show(place: Place) -> Response {
    let new = SignInPage::new(place.text("to"), place.text("as") == Some("operator"));
    page(&SignInPage { ended: place.text("why") == Some("ended"), ..new })
}

/// `POST /dashboard/sign-in`
pub(crate) async fn sign_in(State(dashboard): State<Dashboard>, request: Request) -> Response {
    let shared = dashboard.shared();
    let (parts, body) = request.into_parts();
    if !is_from_here(&parts.headers, &parts.uri) {
        return Trouble::foreign_form().into_response();
    }
    let form = tokio::time::timeout(std::time::Duration::from_secs(30), Form::read(body)).await;
    let Some(form) = form.ok().flatten() else { return Trouble::broken_form().into_response() };
    let operator = form.text("as") == "operator";
    let name = if operator { "operator" } else { form.text("id") };
    let name: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let refused = |status: StatusCode, problem: String| {
        let new = SignInPage::new(Some(form.text("to")), operator);
        let mut response = page(&SignInPage { problem: Some(problem), id: form.text("id").to_owned(), ..new });
        *response.status_mut() = status;
        response
    };
    if let Err(wait) = shared.sign_ins.may_try(&name, Instant::now()) {
        let seconds = wait.as_secs().max(1);
        let problem = format!("Too many tries have failed. Wait {seconds} seconds, then try again.");
        let mut response = refused(StatusCode::TOO_MANY_REQUESTS, problem);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        return response;
    }
    let known = if operator {
        Ok(operator_of(shared, form.raw("secret")))
    } else {
        project_of(shared, form.text("id"), form.text("secret")).await
    };
    let (who, hash) = match known {
        Ok(Some(known)) => known,
        Ok(None) => {
            shared.sign_ins.failed(&name, Instant::now());
            tracing::info!(operator, "a sign-in failed");
            let problem = if operator {
                "This is not the operator's token. Check it, and try again."
            } else {
                "The project's id or its secret is not right. Check both, and try again."
            };
            return refused(StatusCode::UNAUTHORIZED, problem.to_owned());
        }
        Err(trouble) => return trouble.into_response(),
    };
    let jar = Jar::of(&parts.headers, &parts.uri);
    let session = Session::begin(who, &hash, shared.now());
    let Some(cookie) = session.and_then(|session| jar.keep(shared, &session)) else {
        return Trouble::unavailable().into_response();
    };
    tracing::info!(?who, "someone signed in");
    let to = own_page(form.text("to")).unwrap_or("/dashboard");
    let mut response = Redirect::to(to).into_response();
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

fn operator_of(shared: &Shared, token: &str) -> Option<(Who, [u8; 32])> {
    let operator = shared.settings.operator_token.as_ref()?;
    operator.is(token.trim()).then(|| (Who::Operator, operator.digest()))
}

/// Takes as long for an unknown project as for a wrong secret, but for the store.
async fn project_of(shared: &Shared, id: &str, secret: &str) -> Result<Option<(Who, [u8; 32])>, Trouble> {
    let Some(id) = ids::usual(id).map(ProjectId) else { return Ok(None) };
    let project = match shared.ports.directory.project(id).await {
        Ok(project) => Some(project),
        Err(DirectoryError::Port(error)) => return Err(error.into()),
        Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => None,
    };
    let hash = project.map(|project| project.secret_hash);
    let digest: [u8; 32] = Sha256::digest(secret).into();
    let same: bool = digest.ct_eq(&hash.unwrap_or_default()).into();
    Ok(hash.filter(|_| same).map(|hash| (Who::Project(id), hash)))
}

/// `POST /dashboard/sign-out`
pub(crate) async fn sign_out(
    State(_): State<Dashboard>,
    headers: http::HeaderMap,
    uri: http::Uri,
    _: Posted,
) -> Response {
    let mut response = Redirect::to("/dashboard/sign-in").into_response();
    if let Some(cookie) = Jar::of(&headers, &uri).forget() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
