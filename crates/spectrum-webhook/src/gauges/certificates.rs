//! When certificates expire: those that the services show, and those of the files of authorities. The services' clients do
//! not say what they were shown, so each service is asked once an hour over a connection that ends after the handshake.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use prometheus::{IntGaugeVec, Opts, Registry};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use x509_parser::parse_x509_certificate;

use super::registered;
use crate::config::{Cluster, Settings};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3_600);
/// How often when a service was not reached.
const AGAIN: Duration = Duration::from_secs(60);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What asks PostgreSQL for TLS: the length of the message, and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The task that looks; dropping it ends it.
pub(crate) struct Certificates {
    _task: AbortOnDropHandle<()>,
}

impl Certificates {
    /// Registers the gauge and starts to look. Where nothing is encrypted, it has no series.
    ///
    /// # Errors
    /// When its name is registered already.
    pub(crate) fn start(registry: &Registry, settings: &Settings) -> anyhow::Result<Self> {
        let help = "When a certificate expires, of several the first, in seconds since 1970.";
        let expiry = Opts::new("spectrum_webhook_certificate_expiry_timestamp_seconds", help);
        let expiry = registered(registry, IntGaugeVec::new(expiry, &["certificate"])?)?;
        if let Some(path) = &settings.services_ca {
            let file = std::fs::read(path).context("SPECTRUM_SERVICES_CA_FILE")?;
            expiry.with_label_values(&["services_ca"]).set(first_of_file(&file)?);
        }
        if let Some(file) = &settings.extra_authorities {
            expiry.with_label_values(&["extra_ca"]).set(first_of_file(file)?);
        }
        let places = settings.cluster.as_ref().map(places).unwrap_or_default();
        let look = Look { expiry, connector: TlsConnector::from(Arc::new(any_certificate()?)) };
        Ok(Self { _task: AbortOnDropHandle::new(tokio::spawn(look.again_and_again(places))) })
    }
}

/// One server of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    service: &'static str,
    host: String,
    port: u16,
    /// TLS begins when the server has agreed to it.
    asks_first: bool,
}

/// The servers that may show a certificate.
fn places(cluster: &Cluster) -> Vec<Place> {
    let mut places = Vec::new();
    let scheme = |url: &str| url.split("://").next().unwrap_or_default().to_owned();
    let amqp = cluster.amqp.expose();
    if scheme(amqp) == "amqps" {
        places.extend(hosts("rabbitmq", amqp, 5671));
    }
    let redis = cluster.redis.expose();
    if scheme(redis).starts_with("rediss") {
        let port = if scheme(redis).ends_with("sentinel") { 26_379 } else { 6_379 };
        places.extend(hosts("redis", redis, port));
    }
    let database = cluster.database.expose();
    if !database.contains("sslmode=disable") {
        let asked = hosts("postgresql", database, 5_432).into_iter();
        places.extend(asked.map(|place| Place { asks_first: true, ..place }));
    }
    places
}

/// The hosts of a URL, which its client has read before.
fn hosts(service: &'static str, url: &str, port: u16) -> Vec<Place> {
    let authority = url.split("://").nth(1).unwrap_or_default().split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default().split(',').filter(|host| !host.is_empty());
    let place = |host: &str| {
        let (name, of_host) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, None),
        };
        let host = name.trim_matches(['[', ']']).to_owned();
        Place { service, host, port: of_host.unwrap_or(port), asks_first: false }
    };
    hosts.map(place).collect()
}

struct Look {
    expiry: IntGaugeVec,
    connector: TlsConnector,
}

impl Look {
    async fn again_and_again(self, places: Vec<Place>) {
        while !places.is_empty() {
            sleep(if self.at_all(&places).await { EVERY } else { AGAIN }).await;
        }
    }

    /// Whether all were reached. What one that was not has shown before stays.
    async fn at_all(&self, places: &[Place]) -> bool {
        let mut all = true;
        for service in ["postgresql", "rabbitmq", "redis"] {
            let mut first: Option<i64> = None;
            for place in places.iter().filter(|place| place.service == service) {
                match timeout(PATIENCE, self.at(place)).await {
                    Ok(Ok(expires)) => first = first.into_iter().chain(expires).min(),
                    Ok(Err(error)) => {
                        tracing::debug!(service, %error, "the certificate could not be looked at");
                        all = false;
                    }
                    Err(_) => all = false,
                }
            }
            if let Some(first) = first {
                self.expiry.with_label_values(&[service]).set(first);
            }
        }
        all
    }

    /// When the first of the certificates that a server shows expires; `None`: it speaks no TLS.
    async fn at(&self, place: &Place) -> anyhow::Result<Option<i64>> {
        let mut stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
        if place.asks_first {
            stream.write_all(&SSL_REQUEST).await?;
            if stream.read_u8().await? != b'S' {
                return Ok(None);
            }
        }
        let name = ServerName::try_from(place.host.clone())?;
        let stream = self.connector.connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(Some(first(shown)?))
    }
}

/// When the first of them expires, in seconds since 1970.
fn first(certificates: &[CertificateDer<'_>]) -> anyhow::Result<i64> {
    let mut first = i64::MAX;
    for certificate in certificates {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else { bail!("a certificate cannot be read") };
        first = first.min(certificate.validity().not_after.timestamp());
    }
    Ok(first)
}

fn first_of_file(pem: &[u8]) -> anyhow::Result<i64> {
    first(&CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?)
}

/// Whatever is shown is looked at: nothing is sent over these connections, and one that has expired is to be seen too.
fn any_certificate() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(AnyCertificate { schemes });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(service: &'static str, host: &str, port: u16) -> Place {
        Place { service, host: host.to_owned(), port, asks_first: false }
    }

    #[test]
    fn the_hosts_of_every_form_of_url_are_found() {
        assert_eq!(
            hosts("rabbitmq", "amqps://user:p%40ss@a,b:1,[::1]:2,[::2]/vhost", 5_671),
            [
                at("rabbitmq", "a", 5_671),
                at("rabbitmq", "b", 1),
                at("rabbitmq", "::1", 2),
                at("rabbitmq", "::2", 5_671)
            ]
        );
        assert_eq!(hosts("redis", "rediss://host", 6_379), [at("redis", "host", 6_379)]);
        assert_eq!(
            hosts("postgresql", "postgres://u:p@host:1/db?sslmode=require", 5_432),
            [at("postgresql", "host", 1)]
        );
    }
}
