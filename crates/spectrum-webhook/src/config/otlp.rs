//! Where traces go, and which are recorded.

use super::Hidden;
use super::sources::Reader;

/// Traces that go to a collector.
#[derive(Clone, Debug)]
pub(crate) struct Tracing {
    /// Its base URL, `http` or `https`, without credentials.
    pub(crate) endpoint: Hidden,
    /// Headers of each request to it.
    pub(crate) headers: Vec<(String, Hidden)>,
    /// The part of new traces that is recorded: 0 to 1.
    pub(crate) ratio: f64,
}

/// `None`: nothing is traced.
pub(super) fn tracing(reader: &mut Reader<'_>) -> Option<Tracing> {
    let endpoint = reader.optional("SPECTRUM_OTLP_ENDPOINT", endpoint);
    let headers = reader.optional("SPECTRUM_OTLP_HEADERS", headers);
    let ratio = reader.read("SPECTRUM_TRACE_RATIO", ratio);
    reader.refuse_if(
        headers.is_some() && endpoint.is_none(),
        &["SPECTRUM_OTLP_HEADERS", "SPECTRUM_OTLP_ENDPOINT"],
        "headers for a collector, and no collector: set the endpoint too",
    );
    Some(Tracing { endpoint: endpoint?, headers: headers.unwrap_or_default(), ratio })
}

fn endpoint(text: &str) -> Result<Hidden, String> {
    let said = "expected the base URL of a collector, like `http://127.0.0.1:4318`";
    let url = url::Url::parse(text).map_err(|_| said.to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(said.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("expected no credentials and no query: those are for SPECTRUM_OTLP_HEADERS".to_owned());
    }
    Ok(Hidden(url.as_str().trim_end_matches('/').to_owned()))
}

/// As OpenTelemetry has them: `name=value`, separated by commas, values percent-encoded where they need to be.
fn headers(text: &str) -> Result<Vec<(String, Hidden)>, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    text.split(',')
        .map(|pair| {
            let (name, value) = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim()))?;
            let sound = !name.is_empty() && name.bytes().all(token) && value.bytes().all(visible);
            sound.then(|| (name.to_owned(), Hidden(value.to_owned())))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| "expected headers like `name=value,name=value`".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio: &f64| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}
