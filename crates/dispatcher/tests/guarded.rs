//! Nothing reaches an address that the guard has not judged: no rebinding, no redirect, no proxy, no spelling.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;
use std::time::Duration;

use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_dispatcher::guard::GuardSettings;
use spectrum_webhook_dispatcher::resolve::Resolved;
use support::*;
use tokio::io::AsyncWriteExt;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn answered(status: u16) -> Ended {
    Ended::Answered { status, retry_after: None }
}

/// Two servers on one port: one at 127.0.0.1, which is allowed, and one at 127.0.0.2, which is not.
async fn pair() -> (Raw, Raw) {
    for _ in 0..100 {
        let allowed = Raw::answering(OK).await;
        let address = format!("127.0.0.2:{}", allowed.address.port());
        if std::net::TcpListener::bind(&address).is_ok() {
            let refused = Raw::start_at(&address, |mut stream, _| async move {
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(OK.as_bytes()).await.expect("a client");
                }
            })
            .await;
            return (allowed, refused);
        }
    }
    panic!("no port is free at both addresses");
}

#[tokio::test]
async fn a_name_that_moves_after_it_was_judged_does_not_move_the_connection() {
    let (allowed, refused) = pair().await;
    let table = Table::default().at("hooks.test", &["127.0.0.1"]).at("hooks.test", &["127.0.0.2"]);
    let setup = Setup::default().resolving(table);
    let (poster, endpoint) = (setup.poster(), endpoint(&allowed.url()));

    let posted = attempt(&poster, &endpoint).await;
    assert_eq!(posted.ended, answered(200), "the address that was judged");
    assert_eq!(posted.address, Some(allowed.address));
    assert_eq!(setup.table.asked(), 1, "no second look-up in between");

    let posted = attempt(&poster, &endpoint).await;
    assert_eq!(posted.ended, Ended::Failed(Failure::AddressRefused), "judged before every attempt");
    assert_eq!((allowed.connections(), refused.connections()), (1, 0));
}

#[tokio::test]
async fn one_refused_address_among_allowed_ones_refuses_the_host() {
    let (allowed, refused) = pair().await;
    for addresses in [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]] {
        let setup = Setup::default().resolving(Table::default().at("hooks.test", &addresses));
        assert_eq!(once(&setup, &allowed.url()).await.ended, Ended::Failed(Failure::AddressRefused));
    }
    assert_eq!((allowed.connections(), refused.connections()), (0, 0));
}

#[tokio::test]
async fn no_spelling_of_a_refused_address_is_called() {
    let (_allowed, refused) = pair().await;
    let port = refused.address.port();
    for host in [
        "127.0.0.2",
        "127.2",
        "127.0.2",
        "2130706434",
        "0x7f000002",
        "0x7f.0.0.2",
        "0177.0.0.2",
        "017700000002",
        "127.0.0.2.",
        "127。0。0。2",
        "１２７.0.0.2",
        "%31%32%37.0.0.2",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "[::127.0.0.2]",
        "[64:ff9b::127.0.0.2]",
        "[2002:7f00:2::]",
        "[::1]",
        "[::]",
        "0",
        "user:password@127.0.0.2",
        "127.0.0.1@127.0.0.2",
    ] {
        for scheme in ["http", "https"] {
            let posted = once(&Setup::default(), &format!("{scheme}://{host}:{port}/")).await;
            assert_eq!(posted.ended, Ended::Failed(Failure::AddressRefused), "{scheme} {host}");
            assert_eq!(posted.address, None);
        }
    }
    assert_eq!(refused.connections(), 0);
}

#[tokio::test]
async fn the_public_internet_is_all_that_the_default_lets_through() {
    let server = Raw::answering(OK).await;
    let setup = Setup { guard: GuardSettings::default(), ..Setup::default() };
    assert_eq!(once(&setup, &server.url()).await.ended, Ended::Failed(Failure::UrlRefused), "http");
    let https = format!("https://hooks.test:{}/", server.address.port());
    assert_eq!(once(&setup, &https).await.ended, Ended::Failed(Failure::AddressRefused));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Raw::answering(OK).await;
    for status in [301, 302, 303, 307, 308] {
        let location = other.url();
        let answer = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = Raw::answering(answer).await;
        assert_eq!(once(&Setup::default(), &server.url()).await.ended, answered(status));
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    // Nobody listens at 127.0.0.3; both are allowed.
    let server = Raw::answering(OK).await;
    let table = Table::default().at("hooks.test", &["127.0.0.3", "127.0.0.1"]);
    let mut setup = Setup::default().resolving(table);
    setup.guard.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let posted = once(&setup, &server.url()).await;
    assert_eq!(posted.ended, answered(200));
    assert_eq!(posted.address, Some(server.address));
}

#[tokio::test]
async fn a_kept_look_up_is_shared_by_attempts() {
    let server = Raw::answering(OK).await;
    let kept = Ok(Resolved { addresses: vec![ip("127.0.0.1")], ttl: Duration::from_secs(600) });
    let setup = Setup::default().resolving(Table::default().with("hooks.test", kept));
    let poster = setup.poster();
    for _ in 0..3 {
        assert_eq!(attempt(&poster, &endpoint(&server.url())).await.ended, answered(200));
    }
    assert_eq!(setup.table.asked(), 1);
}

/// The environment belongs to the whole process: the attempt is made in one of its own.
#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    const TARGET: &str = "PROXY_TEST_TARGET";
    if let Ok(url) = std::env::var(TARGET) {
        assert_eq!(once(&Setup::default(), &url).await.ended, answered(200));
        return;
    }
    let (server, proxy) = (Raw::answering(OK).await, Raw::answering("HTTP/1.1 502 Proxied\r\n\r\n").await);
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "no_proxy_of_the_environment_is_used"]).env(TARGET, server.url());
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, format!("http://{}", proxy.address));
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = tokio::task::spawn_blocking(move || child.output()).await.expect("joined").expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}
