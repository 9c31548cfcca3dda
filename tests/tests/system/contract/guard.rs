//! The URL guard and TLS, from the outside: what is refused is not even connected to.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use spectrum_webhook_receiver::server::Options;
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};
use tempfile::TempDir;

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, text};

/// A certificate authority: its PEM, and a server's config with a certificate of it for the loopback.
fn authority() -> (String, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let leaf = CertificateParams::new(names).expect("parameters").signed_by(&key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a config");
    (issuer.pem(), config)
}

fn https(config: ServerConfig) -> Receiver {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    Receiver::start(listener, Some(config), Arc::new(Always(Reply::ok())), Options::default()).expect("a receiver")
}

#[tokio::test]
async fn https_is_delivered_under_a_private_authority_that_is_trusted_by_a_setting() {
    let (pem, config) = authority();
    let mut old = config.clone();
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (new, old) = (https(config), https(old));
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).expect("a file");
    let settings =
        Settings::quick().unset("SPECTRUM_ALLOW_HTTP").set("SPECTRUM_EXTRA_CA_FILE", file.to_str().expect("a path"));
    let server = Server::start(settings).await;
    let client = server.client();
    let project = server.create_project("tls").await;
    let first = client.register(&project, &new.url("/new")).await;
    let second = client.register(&project, &old.url("/old")).await;
    let named_url = format!("https://localhost:{}/named", new.address().port());
    let named = client.register(&project, &named_url).await;
    let accepted = accept_texts(&client, &project, "tls", 20).await;
    all_arrive(&new, &first, &accepted).await;
    all_arrive(&old, &second, &accepted).await;
    let named = spectrum_webhook_testkit::process::Hook { url: new.url("/named"), ..named };
    all_arrive(&new, &named, &accepted).await;
    let version = |receiver: &Receiver| receiver.look(|memory| memory.requests().next().map(|request| request.version));
    assert_eq!(version(&old), Some(http::Version::HTTP_11));
    assert!(version(&new).is_some());
}

#[tokio::test]
async fn an_authority_that_nobody_trusts_gets_no_request() {
    let (_, config) = authority();
    let receiver = https(config);
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let project = server.create_project("untrusted").await;
    client.register(&project, &receiver.url("/")).await;
    accept(&client, &project, text("untrusted", 0)).await;
    // It is retriable: tried again and again, and kept.
    let mut tries = 0;
    let third = server.log().wait_for(
        |line| {
            let attempt = line.contains("\"tls\"");
            tries += u32::from(attempt);
            (attempt && tries >= 3).then_some(())
        },
        PATIENCE,
    );
    assert!(third.await.is_some(), "no attempt is logged as failed by TLS");
    assert_eq!(receiver.look(|memory| memory.total()), 0, "a request went out without a trusted certificate");
    assert_eq!(client.metric("deliveries_dead_total").await, 0);
    assert_eq!(client.metric("deliveries_pending").await, 1);
}

/// Every event becomes a dead letter at once, and nobody connects.
async fn refuses(settings: Settings, urls: impl Fn(u16) -> Vec<String>) {
    let listener = std::net::TcpListener::bind("[::]:0").expect("a listener");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let port = listener.local_addr().expect("an address").port();
    let server = Server::start(settings).await;
    let client = server.client();
    let project = server.create_project("refused").await;
    let urls = urls(port);
    for url in &urls {
        client.register(&project, url).await;
    }
    accept_texts(&client, &project, "refused", 2).await;
    let expected = urls.len() as i64 * 2;
    client.wait_for_metric("deliveries_dead_total", |dead| dead >= expected, PATIENCE).await;
    assert_eq!(client.metric("deliveries_dead_total").await, expected);
    assert_eq!(client.metric("deliveries_pending").await, 0);
    match listener.accept() {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        other => panic!("someone connected: {other:?}"),
    }
}

#[tokio::test]
async fn plain_http_is_refused_unless_a_setting_allows_it_and_nothing_is_sent() {
    let settings = Settings::quick().unset("SPECTRUM_ALLOW_HTTP");
    refuses(settings, |port| vec![format!("http://127.0.0.1:{port}/")]).await;
}

#[tokio::test]
async fn the_loopback_is_refused_in_every_spelling_unless_a_setting_allows_it_and_nothing_is_sent() {
    let settings = Settings::quick().unset("SPECTRUM_ALLOW_NETWORKS");
    refuses(settings, |port| {
        let hosts = [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "localhost",
            "user:password@127.0.0.1",
            "%31%32%37.0.0.1",
        ];
        hosts
            .into_iter()
            .flat_map(|host| [format!("http://{host}:{port}/"), format!("https://{host}:{port}/")])
            .collect()
    })
    .await;
}
