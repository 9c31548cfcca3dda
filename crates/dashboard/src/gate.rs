//! Who is there, and where a form comes from. Credentials are looked up again for every request: a session ends at once
//! when its project's secret is replaced, or the project is deleted.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use spectrum_webhook_core::ids::ProjectId;
use spectrum_webhook_core::ports::{DirectoryError, Project};

use crate::form::Form;
use crate::query::Place;
use crate::session::{Session, Who};
use crate::state::{Dashboard, Shared};
use crate::trouble::Trouble;

/// The cookie where browsers keep it for this host alone, over TLS alone.
const SECURE: &str = "__Host-spectrum-dashboard";
/// The cookie on the loopback, where there is no TLS.
const LOCAL: &str = "spectrum-dashboard";

/// The host that the browser asked for, with its port.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| uri.authority().map(|authority| authority.as_str())).unwrap_or_default()
}

/// Whether the browser asked this machine itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// How a cookie is kept.
#[derive(Clone, Copy)]
pub(crate) struct Jar {
    secure: bool,
}

impl Jar {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        Self { secure: !is_loopback(host(headers, uri)) }
    }

    fn name(self) -> &'static str {
        if self.secure { SECURE } else { LOCAL }
    }

    /// The session of the request's cookie, whatever has become of it since.
    fn session(self, shared: &Shared, headers: &HeaderMap) -> Option<Session> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.name())?;
        shared.seal.open(self.name(), value)
    }

    fn header(self, value: &str, max_age: u64) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!("{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}", self.name());
        HeaderValue::from_str(&cookie).ok()
    }

    /// Keeps a session.
    pub(crate) fn keep(self, shared: &Shared, session: &Session) -> Option<HeaderValue> {
        // It stays for longer, so that whoever comes back later is told that the session has ended.
        let kept = shared.settings.session.as_secs().saturating_add(86_400);
        self.header(&shared.seal.close(self.name(), session)?, kept)
    }

    /// Forgets it.
    pub(crate) fn forget(self) -> Option<HeaderValue> {
        self.header("", 0)
    }
}

/// Whether a form was sent from a page of this host. Every browser says so; what does not is no browser's form.
pub(crate) fn is_from_here(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if headers.contains_key("sec-fetch-site") {
        return text("sec-fetch-site") == Some("same-origin");
    }
    let origin = text(ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, from)| !from.is_empty() && from.eq_ignore_ascii_case(host(headers, uri)))
}

/// A page of this dashboard that someone may be led to, and nothing else.
pub(crate) fn own_page(path: &str) -> Option<&str> {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    Some(path).filter(|path| plain && (path.starts_with("/dashboard/") || *path == "/dashboard"))
}

/// Someone with a session.
pub(crate) struct Signed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Session,
    /// Their project; an operator has none.
    own: Option<Project>,
    /// What every form of theirs carries.
    pub(crate) token: String,
}

/// Why a request is not let in.
pub(crate) enum Outside {
    /// Nobody: there is no session, or it has ended.
    Nobody(Response),
    /// It is not known: the store does not answer.
    Unknown(Trouble),
}

impl IntoResponse for Outside {
    fn into_response(self) -> Response {
        match self {
            Self::Nobody(response) => response,
            Self::Unknown(trouble) => trouble.into_response(),
        }
    }
}

impl FromRequestParts<Dashboard> for Signed {
    type Rejection = Outside;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Outside> {
        let shared = Arc::clone(dashboard.shared());
        let jar = Jar::of(&parts.headers, &parts.uri);
        let cookie = jar.session(&shared, &parts.headers);
        let had_one = cookie.is_some();
        let now = shared.now();
        let session = cookie.filter(|session| !session.is_over(now, shared.settings.session));
        let found = match session {
            None => None,
            Some(session) => {
                let own = match session.who {
                    Who::Project(id) => match shared.ports.directory.project(id).await {
                        Ok(project) if session.is_of(&project.secret_hash) => Some(Some(project)),
                        Ok(_) | Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => None,
                        Err(DirectoryError::Port(error)) => return Err(Outside::Unknown(error.into())),
                    },
                    Who::Operator => {
                        let token = shared.settings.operator_token.as_ref();
                        token.filter(|token| session.is_of(&token.digest())).map(|_| None)
                    }
                };
                own.map(|own| (session, own))
            }
        };
        match found {
            Some((session, own)) => {
                let token = shared.seal.token(&session);
                Ok(Self { shared, session, own, token })
            }
            None => Err(Outside::Nobody(turned_away(parts, jar, had_one))),
        }
    }
}

/// To the page for signing in, and from there back to where this one wanted to go.
fn turned_away(parts: &Parts, jar: Jar, had_one: bool) -> Response {
    if parts.uri.path().ends_with("/live") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if had_one {
        query.append_pair("why", "ended");
    }
    let wanted = parts.uri.path_and_query().map(|wanted| wanted.as_str()).filter(|_| parts.method == http::Method::GET);
    if let Some(wanted) = wanted.and_then(own_page).filter(|wanted| *wanted != "/dashboard") {
        query.append_pair("to", wanted);
    }
    let query = query.finish();
    let to = if query.is_empty() { "/dashboard/sign-in".to_owned() } else { format!("/dashboard/sign-in?{query}") };
    let mut response = Redirect::to(&to).into_response();
    if let Some(cookie) = jar.forget().filter(|_| had_one) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

impl Signed {
    pub(crate) fn is_operator(&self) -> bool {
        self.session.who == Who::Operator
    }

    /// The project of a path, if it is theirs. Another's looks as if it were not there.
    pub(crate) async fn project(&self, place: &Place) -> Result<Project, Trouble> {
        let unknown = || Trouble::not_found("project");
        let id = place.id(2).map(ProjectId).ok_or_else(unknown)?;
        if let Some(own) = &self.own {
            return if own.id == id { Ok(own.clone()) } else { Err(unknown()) };
        }
        match self.shared.ports.directory.project(id).await {
            Ok(project) => Ok(project),
            Err(DirectoryError::Port(error)) => Err(error.into()),
            Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => Err(unknown()),
        }
    }

    /// Where they begin.
    pub(crate) fn home(&self) -> String {
        match &self.own {
            Some(own) => format!("/dashboard/projects/{}", own.id),
            None => "/dashboard/overview".to_owned(),
        }
    }

    /// An operator's page, which nobody else has.
    pub(crate) fn as_operator(&self) -> Result<(), Trouble> {
        if self.is_operator() { Ok(()) } else { Err(Trouble::not_found("page")) }
    }
}

/// A form that someone with a session sent from one of our pages.
pub(crate) struct Posted {
    pub(crate) signed: Signed,
    pub(crate) form: Form,
    pub(crate) place: Place,
}

impl FromRequest<Dashboard> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        if !is_from_here(&parts.headers, &parts.uri) {
            return Err(Trouble::foreign_form().into_response());
        }
        let signed = Signed::from_request_parts(&mut parts, dashboard).await.map_err(IntoResponse::into_response)?;
        let form = tokio::time::timeout(std::time::Duration::from_secs(30), Form::read(body)).await;
        let form = form.ok().flatten().ok_or_else(|| Trouble::broken_form().into_response())?;
        if !signed.shared.seal.is_token(&signed.session, form.raw("token")) {
            return Err(Trouble::foreign_form().into_response());
        }
        let place = Place::of(parts.uri.path(), parts.uri.query().unwrap_or_default());
        Ok(Self { signed, form, place })
    }
}

/// Notes in the cookie that its session was used.
pub(crate) async fn renew(State(dashboard): State<Dashboard>, request: Request, next: Next) -> Response {
    let shared = dashboard.shared();
    let jar = Jar::of(request.headers(), request.uri());
    let now = shared.now();
    let session = jar.session(shared, request.headers());
    let used = session.filter(|session| !session.is_over(now, shared.settings.session));
    let used = used.and_then(|session| session.used(now));
    let mut response = next.run(request).await;
    if !response.headers().contains_key(SET_COOKIE)
        && let Some(cookie) = used.and_then(|session| jar.keep(shared, &session))
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_here(pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        is_from_here(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn a_form_comes_from_a_page_of_the_same_host() {
        assert!(from_here(&[("host", "a.b"), ("sec-fetch-site", "same-origin")]));
        assert!(from_here(&[("host", "a.b:1"), ("origin", "http://A.B:1")]));
        for pairs in [
            &[("host", "a.b"), ("sec-fetch-site", "cross-site")][..],
            &[("host", "a.b"), ("sec-fetch-site", "same-site"), ("origin", "https://a.b")],
            &[("host", "a.b"), ("sec-fetch-site", "none")],
            &[("host", "a.b"), ("origin", "https://evil.example")],
            &[("host", "a.b:1"), ("origin", "https://a.b")],
            &[("host", "a.b"), ("origin", "null")],
            &[("host", "a.b")],
            &[("origin", "http://")],
        ] {
            assert!(!from_here(pairs), "{pairs:?}");
        }
    }

    #[test]
    fn the_loopback_is_known_by_its_names_and_addresses() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.1.2.3", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.example", "10.0.0.1:80", "[::2]", "127.0.0.1.example:80", "example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(own_page("/dashboard/projects/x?a=b"), Some("/dashboard/projects/x?a=b"));
        for elsewhere in
            ["//evil.example", "/dashboardx", "https://evil.example", "/dashboard/\\x", "/dashboard/\n", ""]
        {
            assert_eq!(own_page(elsewhere), None, "{elsewhere}");
        }
    }
}
