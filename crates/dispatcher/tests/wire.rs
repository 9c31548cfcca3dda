//! What an attempt puts on the wire, and what it makes of an answer.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::Version;
use spectrum_webhook_core::attempt::Ended;
use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::WebhookId;
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_core::sign;
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::SigningKeys;
use spectrum_webhook_dispatcher::post::Endpoint;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

fn answered(status: u16) -> Ended {
    Ended::Answered { status, retry_after: None }
}

/// The headers, sorted, and the body of one attempt over plain HTTP/1.1.
async fn captured(path: &str, keys: &SigningKeys) -> (String, Vec<String>, Vec<u8>) {
    captured_shaped("", path, keys, &Shape::default()).await
}

/// The same with credentials in the URL, and of a webhook that asks for something.
async fn captured_shaped(
    credentials: &str,
    path: &str,
    keys: &SigningKeys,
    shape: &Shape,
) -> (String, Vec<String>, Vec<u8>) {
    let (sender, mut received) = mpsc::unbounded_channel();
    let server = Raw::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                sender.send(request).expect("the test waits");
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a client");
            }
        }
    })
    .await;
    let url = format!("http://{credentials}hooks.test:{}{path}", server.address.port());
    let (poster, body) = (Setup::default().poster(), Bytes::from_static(BODY));
    let posted = attempt_shaped(&poster, &endpoint(&url), keys, shape, body).await;
    assert_eq!(posted.ended, answered(204));
    let (head, body) = received.recv().await.expect("a request");
    let mut lines = head.trim_end().lines().map(|line| line.replace(&server.address.port().to_string(), "PORT"));
    let first = lines.next().expect("a request line");
    let mut headers: Vec<String> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            format!("{}:{value}", name.to_ascii_lowercase())
        })
        .collect();
    headers.sort();
    (first, headers, body)
}

#[tokio::test]
async fn the_request_has_the_contracts_headers_and_the_body_to_the_byte() {
    let (first, headers, body) = captured("/in/a%2Fb?q=%20+&r=", &keys()).await;
    assert_eq!(first, "POST /in/a%2Fb?q=%20+&r= HTTP/1.1");
    let (timestamp, event) = (NOW.0 / 1_000, EVENT.to_string());
    let mut expected = [
        // The client library's own, which says nothing.
        "accept: */*".to_owned(),
        format!("content-length: {}", BODY.len()),
        "content-type: application/json".to_owned(),
        "host: hooks.test:PORT".to_owned(),
        "user-agent: spectrum-webhook/1.2.3".to_owned(),
        format!("webhook-id: {event}"),
        format!("webhook-signature: {}", sign::standard(&secret('a'), &event, timestamp, BODY)),
        format!("webhook-timestamp: {timestamp}"),
        "x-spectrum-attempt: 3".to_owned(),
        "x-spectrum-event: messages".to_owned(),
        format!("x-spectrum-event-id: {event}"),
        "x-spectrum-sequence: 9007199254740991".to_owned(),
        format!("x-spectrum-signature: {}", sign::spectrum(&secret('a'), timestamp, BODY)),
        format!("x-spectrum-timestamp: {timestamp}"),
        format!("x-spectrum-webhook-id: {WEBHOOK}"),
    ];
    expected.sort();
    assert_eq!(headers, expected);
    assert_eq!(body, BODY);
}

#[tokio::test]
async fn a_webhooks_own_headers_go_beside_the_contracts() {
    let custom = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Shape { headers: CustomHeaders::new(pairs).expect("headers"), ..Shape::default() }
    };
    let (_, plain, _) = captured("/", &keys()).await;
    let shape = custom(&[("X-Tenant", "a \"b\"\tc"), ("!odd.name", "1"), ("accept", "text/plain")]);
    let (_, headers, body) = captured_shaped("", "/", &keys(), &shape).await;
    let mut expected = plain;
    expected.retain(|line| line != "accept: */*");
    expected.extend(["x-tenant: a \"b\"\tc", "!odd.name: 1", "accept: text/plain"].map(str::to_owned));
    expected.sort();
    assert_eq!(headers, expected);
    assert_eq!(body, BODY);

    let authorizations = |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("authorization"));
    let (_, of_the_url, _) = captured_shaped("user:pass@", "/", &keys(), &shape).await;
    assert!(authorizations(of_the_url).eq(["authorization: Basic dXNlcjpwYXNz"]));
    let shape = custom(&[("Authorization", "Bearer token")]);
    let (_, own, _) = captured_shaped("user:pass@", "/", &keys(), &shape).await;
    assert!(authorizations(own).eq(["authorization: Bearer token"]), "the webhook's own header wins");
}

#[tokio::test]
async fn during_a_rotations_overlap_the_old_key_signs_beside_the_new_one() {
    let (timestamp, event) = (NOW.0 / 1_000, EVENT.to_string());
    let standard = |digit| sign::standard(&secret(digit), &event, timestamp, BODY);
    let spectrum = |digit| sign::spectrum(&secret(digit), timestamp, BODY);
    for (until, signatures, old_style) in [
        (NOW.0 + 1, format!("{} {}", standard('b'), standard('a')), spectrum('a')),
        (NOW.0, standard('b'), spectrum('b')),
    ] {
        let keys = SigningKeys { current: secret('b'), previous: Some((secret('a'), Millis(until))) };
        let (_, headers, _) = captured("/", &keys).await;
        assert!(headers.contains(&format!("webhook-signature: {signatures}")), "{headers:?}");
        assert!(headers.contains(&format!("x-spectrum-signature: {old_style}")), "{headers:?}");
    }
}

#[tokio::test]
async fn https_speaks_http2_or_http1_as_the_endpoint_prefers() {
    let authority = Authority::new();
    for (protocols, version) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"][..], Version::HTTP_11), (&[][..], Version::HTTP_11)]
    {
        let server = Https::start(authority.server(&["hooks.test"], protocols), |_| async { status(200) }).await;
        let posted = once(&Setup::default().trusting(&authority), &server.url()).await;
        assert_eq!(posted.ended, answered(200), "{protocols:?}");
        assert_eq!(posted.snippet, "thanks");
        assert_eq!(posted.address, Some(server.raw.address));
        assert!(posted.connect_ms <= posted.first_byte_ms && posted.first_byte_ms <= Some(posted.total_ms));
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].version(), version);
        assert_eq!(seen[0].method(), "POST");
        assert_eq!(seen[0].uri().path_and_query().expect("a path"), "/in?a=1&b=%20");
        assert_eq!(seen[0].body(), BODY);
        let signature = sign::spectrum(&secret('a'), NOW.0 / 1_000, BODY);
        assert_eq!(seen[0].headers()["x-spectrum-signature"], signature);
        assert_eq!(seen[0].headers()["content-length"], BODY.len().to_string());
        assert!(!seen[0].headers().contains_key("accept-encoding"));
    }
}

#[tokio::test]
async fn an_address_literal_is_called_by_tls_too() {
    let authority = Authority::new();
    let server = Https::start(authority.server(&["127.0.0.1"], &["h2"]), |_| async { status(200) }).await;
    let setup = Setup::default().trusting(&authority);
    let posted = once(&setup, &format!("https://2130706433:{}/", server.raw.address.port())).await;
    assert_eq!(posted.ended, answered(200));
    assert_eq!(setup.table.asked(), 0);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let authority = Authority::new();
    for protocol in ["h2", "http/1.1"] {
        let server = Https::start(authority.server(&["hooks.test"], &[protocol]), |_| async { status(200) }).await;
        let poster = Setup::default().trusting(&authority).poster();
        let endpoint = endpoint(&server.url());
        for round in 0..5 {
            let posted = attempt(&poster, &endpoint).await;
            assert_eq!(posted.ended, answered(200));
            assert_eq!(posted.connect_ms == Some(0), round > 0, "{protocol}, round {round}: {posted:?}");
            assert_eq!(posted.address, Some(server.raw.address));
        }
        assert_eq!(server.raw.connections(), 1, "{protocol}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_endpoint_closed_costs_no_failure() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let server = Raw::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            if read_request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("a client");
                stream.shutdown().await.expect("a client");
                // Until the client has noticed, and closed its side.
                assert!(read_request(&mut stream).await.is_none());
                closed.send(()).expect("the test waits");
            }
        }
    })
    .await;
    let (poster, endpoint) = (Setup::default().poster(), endpoint(&server.url()));
    for round in 1..=3 {
        assert_eq!(attempt(&poster, &endpoint).await.ended, answered(200), "round {round}");
        closings.recv().await.expect("closed");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_counts() {
    let server = Raw::start(|mut stream, _| async move {
        stream.read_exact(&mut [0; 64]).await.expect("a client");
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await.expect("a client");
        // It reads no more, and stays.
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let body = Bytes::from(vec![b' '; 8 << 20]);
    let posted = attempt_with(&Setup::default().poster(), &endpoint(&server.url()), &keys(), body).await;
    assert_eq!(posted.ended, answered(413));
}

#[tokio::test]
async fn retry_after_of_429_and_503_is_a_wait() {
    for (status, value, wait) in [
        (429, "7", Some(7_000)),
        (503, "Tue, 14 Nov 2023 22:13:30 GMT", Some(9_877)),
        (503, "soon", None),
        (429, "99999999999999999999", Some(86_400_000)),
        (500, "7", None),
        (200, "7", None),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let server = Raw::answering(answer).await;
        let posted = once(&Setup::default(), &server.url()).await;
        assert_eq!(posted.ended, Ended::Answered { status, retry_after: wait }, "{value}");
    }
}

#[tokio::test]
async fn the_snippet_is_the_first_kibibyte_as_one_line_never_decompressed() {
    let mut body = b"\x1f\x8b\x08 line\r\nnext\0".to_vec();
    body.resize(5_000, b'x');
    let mut answer =
        format!("HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    let server = Raw::answering(answer).await;
    let posted = once(&Setup::default(), &server.url()).await;
    assert_eq!(posted.ended, answered(500));
    assert!(posted.snippet.starts_with("\\u{1f}\u{fffd}\\u{8} line\\r\\nnext\\u{0}xxx"), "{}", posted.snippet);
    assert!(posted.snippet.len() < 1_100 && posted.snippet.ends_with("xxx"));
}

#[tokio::test]
async fn dropping_the_attempt_closes_its_connection() {
    let (gone, mut seen) = mpsc::unbounded_channel();
    let server = Raw::start(move |mut stream, _| {
        let gone = gone.clone();
        async move {
            assert!(read_request(&mut stream).await.is_some());
            gone.send("asked").expect("the test waits");
            assert!(read_request(&mut stream).await.is_none());
            gone.send("closed").expect("the test waits");
        }
    })
    .await;
    let poster = Setup::default().poster();
    let endpoint = endpoint(&server.url());
    {
        let attempt = attempt(&poster, &endpoint);
        tokio::pin!(attempt);
        tokio::select! {
            posted = &mut attempt => panic!("{posted:?}"),
            step = seen.recv() => assert_eq!(step, Some("asked")),
        }
    }
    let step = tokio::time::timeout(Duration::from_secs(10), seen.recv()).await.expect("in time");
    assert_eq!(step, Some("closed"));
}

#[tokio::test]
async fn a_hanging_url_delays_no_other_at_the_same_host() {
    let authority = Authority::new();
    let (hangs, mut hanging) = mpsc::unbounded_channel();
    let server = Https::start_with(
        authority.server(&["hooks.test"], &["h2"]),
        |builder| {
            // The smallest server: one request at a time on a connection.
            builder.http2().max_concurrent_streams(1);
        },
        move |request| {
            let hangs = hangs.clone();
            async move {
                if request.uri().path() == "/hang" {
                    hangs.send(()).expect("the test waits");
                    std::future::pending::<()>().await;
                }
                status(200)
            }
        },
    )
    .await;
    let poster = Setup::default().trusting(&authority).poster();
    let url = |path: &str| format!("https://hooks.test:{}{path}", server.raw.address.port());
    let other = WebhookId(uuid::Uuid::from_u128(7));
    let (bad, good) = (endpoint(&url("/hang")), Endpoint::new(other, &url("/good")));
    let hang = attempt(&poster, &bad);
    tokio::pin!(hang);
    tokio::select! {
        posted = &mut hang => panic!("{posted:?}"),
        started = hanging.recv() => assert!(started.is_some()),
    }
    let both = async {
        tokio::select! {
            posted = &mut hang => panic!("{posted:?}"),
            posted = attempt(&poster, &good) => posted,
        }
    };
    assert_eq!(both.await.ended, answered(200));
}
