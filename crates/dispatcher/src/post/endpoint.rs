//! What is built once for a webhook's URL.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use spectrum_webhook_core::ids::WebhookId;
use url::Url;

/// A webhook's URL, ready for attempts. Clones share it.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    webhook: WebhookId,
    /// `None`: not a URL that a request can be made of.
    target: Option<Target>,
}

/// Where a URL leads. Its path and its query can be a credential, and are not in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The URL, with `REDACTED` in the place of path and query.
    pub shown: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

pub(super) struct Target {
    /// Without credentials and fragment, which are not part of a request's URL.
    url: Url,
    pub(super) webhook: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// An endpoint; one whose URL cannot be called is refused at its attempts.
    pub fn new(webhook: WebhookId, url: &str) -> Self {
        Self(Arc::new(Inner { webhook, target: Target::new(webhook, url) }))
    }

    /// Its webhook.
    pub fn webhook(&self) -> WebhookId {
        self.0.webhook
    }

    /// Where its URL leads, as others may see it; `None` when it cannot be called.
    pub fn origin(&self) -> Option<Origin> {
        let url = self.url()?;
        let whole = url.path() == "/" && url.query().is_none();
        let rest = if whole { "" } else { "REDACTED" };
        Some(Origin {
            shown: format!("{}/{rest}", url.origin().ascii_serialization()),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default(),
        })
    }

    /// Whether its URL is `https`.
    pub fn is_https(&self) -> bool {
        self.url().is_some_and(|url| url.scheme() == "https")
    }

    pub(super) fn url(&self) -> Option<&Url> {
        self.target().map(|target| &target.url)
    }

    pub(super) fn target(&self) -> Option<&Target> {
        self.0.target.as_ref()
    }
}

/// A URL can hold a secret (a token in its path): it is not printed.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("webhook", &self.0.webhook).finish_non_exhaustive()
    }
}

impl Target {
    fn new(webhook: WebhookId, url: &str) -> Option<Self> {
        let mut url = Url::parse(url).ok()?;
        let authorization = authorization(&url);
        url.set_fragment(None);
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        // What the client would refuse later, with less to say about it.
        url.as_str().parse::<Uri>().ok().filter(|uri| uri.host().is_some())?;
        Some(Self { url, webhook: HeaderValue::try_from(webhook.to_string()).ok()?, authorization })
    }
}

/// A user name and password in the URL become basic credentials, as with every HTTP client.
fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Option<Target> {
        Target::new(WebhookId(Default::default()), url)
    }

    #[test]
    fn path_and_query_go_as_they_stand() {
        for (url, origin) in [
            ("https://hooks.example", "/"),
            ("https://hooks.example?x=1", "/?x=1"),
            ("https://hooks.example/a%2Fb//c;d/?q=%20+&&=é#part", "/a%2Fb//c;d/?q=%20+&&=%C3%A9"),
            ("https://hooks.example/a?", "/a?"),
        ] {
            assert_eq!(&target(url).expect("a target").url[url::Position::BeforePath..], origin, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_has_no_target() {
        for url in ["", "hooks.example", "https://", "https://[::1", "https://a b/", "mailto:a@b.example", "/path"] {
            assert!(target(url).is_none(), "{url}");
        }
    }

    #[test]
    fn credentials_in_the_url_become_a_header_and_nothing_prints_them() {
        let url = "https://us%3Aer:p%40ss@hooks.example/";
        let target = target(url).expect("a target");
        assert_eq!(target.authorization.expect("credentials"), "Basic dXM6ZXI6cEBzcw==");
        assert_eq!(target.url.as_str(), "https://hooks.example/");
        let printed = format!("{:?}", Endpoint::new(WebhookId(Default::default()), url));
        assert!(!printed.contains("ss"), "{printed}");
    }
}
