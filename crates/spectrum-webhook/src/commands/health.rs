//! `health`: asks the server of this machine whether it is ready, or alive, for a container whose image has no shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::redirect::Policy;

use super::{printable, say, small_runtime};
use crate::config::Settings;
use crate::exit::Usage;

/// How long the whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much of an answer is read, in bytes: a line for each thing that is not ready, and for each service.
const LONGEST: usize = 16 << 10;

/// Asks `/readyz`, or `/healthz` if only its life matters, and prints the answer.
///
/// # Errors
/// When the server is not ready, does not answer in time, or listens on a port that only it knows.
pub(super) fn health(alive: bool, settings: &Settings) -> anyhow::Result<ExitCode> {
    let address = reachable(settings.ops_listen)?;
    let url = format!("http://{address}{}", if alive { "/healthz" } else { "/readyz" });
    let asking = async { tokio::time::timeout(PATIENCE, ask(&url)).await };
    let (fine, said) = small_runtime()?.block_on(asking).with_context(|| format!("{url} did not answer in 5s"))??;
    if !fine {
        bail!("{}", said.trim_end());
    }
    say(said.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Where a server that listens there can be asked from this machine.
fn reachable(listens: SocketAddr) -> Result<SocketAddr, Usage> {
    if listens.port() == 0 {
        let why = "SPECTRUM_OPS_LISTEN: port 0 is a free one, which only the server knows: set the one to ask";
        return Err(Usage(why.to_owned()));
    }
    let host = match listens.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    Ok(SocketAddr::new(host, listens.port()))
}

/// Whether the answer is a good one, and what it says.
async fn ask(url: &str) -> anyhow::Result<(bool, String)> {
    let unanswered = || format!("{url} does not answer");
    // Over plain HTTP: no authority is looked for, for an image may have none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).tls_certs_only([]);
    let mut response = client.build()?.get(url).send().await.with_context(unanswered)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(unanswered)? {
        let room = LONGEST - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == LONGEST {
            break;
        }
    }
    let lines: Vec<String> = String::from_utf8_lossy(&body).lines().map(|line| printable(line, 400)).collect();
    let said = if lines.is_empty() { response.status().to_string() } else { lines.join("\n") };
    Ok((response.status().is_success(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_over_loopback() {
        let asked = |listens: &str| reachable(listens.parse().expect("an address")).map(|it| it.to_string()).ok();
        assert_eq!(asked("0.0.0.0:9090").as_deref(), Some("127.0.0.1:9090"));
        assert_eq!(asked("[::]:9090").as_deref(), Some("[::1]:9090"));
        assert_eq!(asked("10.0.0.1:9091").as_deref(), Some("10.0.0.1:9091"));
        assert_eq!(asked("127.0.0.1:0"), None);
    }
}
