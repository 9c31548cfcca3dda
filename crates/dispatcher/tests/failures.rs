//! How attempts fail: each way has its name, and none takes longer than it may.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use spectrum_webhook_core::attempt::{Ended, Failure};
use spectrum_webhook_core::shape::Shape;
use spectrum_webhook_dispatcher::post::Posted;
use spectrum_webhook_dispatcher::resolve::ResolveError;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn assert_failed(posted: &Posted, failure: Failure) {
    assert_eq!(posted.ended, Ended::Failed(failure), "{posted:?}");
    assert_eq!(posted.first_byte_ms, None);
    assert_eq!(posted.connect_ms.is_some(), failure.sent(), "{posted:?}");
    assert_eq!(posted.snippet, "");
}

/// Reads a request, then does this.
async fn after_request<F, D>(then: F) -> Raw
where
    F: Fn(TcpStream) -> D + Clone + Send + Sync + 'static,
    D: Future<Output = ()> + Send + 'static,
{
    Raw::start(move |mut stream, _| {
        let then = then.clone();
        async move {
            if read_request(&mut stream).await.is_some() {
                then(stream).await;
            }
        }
    })
    .await
}

/// Writes this again and again until the client is gone.
async fn forever(mut stream: TcpStream, bytes: &[u8], pause: Duration) {
    while stream.write_all(bytes).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test]
async fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    assert_failed(&once(&Setup::default(), &format!("http://hooks.test:{}/", free.port())).await, Failure::Connect);
}

#[tokio::test]
async fn what_the_resolver_says_is_told_apart() {
    let setup = Setup::default().resolving(
        Table::default()
            .with("nothing.test", Err(ResolveError::NoAddress))
            .with("unknown.test", Err(ResolveError::NoVerdict("SERVFAIL".to_owned()))),
    );
    for (host, failure) in [
        ("absent.test", Failure::NameNotFound),
        ("nothing.test", Failure::NoAddress),
        ("unknown.test", Failure::DnsNoVerdict),
    ] {
        assert_failed(&once(&setup, &format!("https://{host}/")).await, failure);
    }
}

#[tokio::test]
async fn what_is_no_url_is_refused() {
    for url in ["", "nonsense", "https://", "https://[::1", "ftp://hooks.test/", "file:///etc/passwd", "http://a b/"] {
        assert_failed(&once(&Setup::default(), url).await, Failure::UrlRefused);
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_no_handshake_is_not_connected_to() {
    let server = Raw::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let setup = Setup::default().connect_timeout(100);
    let posted = once(&setup, &format!("https://hooks.test:{}/", server.address.port())).await;
    assert_failed(&posted, Failure::Connect);
    // The same when the attempt's own time is shorter.
    let setup = Setup::default().attempt_timeout(100);
    let posted = once(&setup, &format!("https://hooks.test:{}/", server.address.port())).await;
    assert_failed(&posted, Failure::Connect);
}

#[tokio::test]
async fn a_handshake_that_fails_is_a_tls_failure() {
    let authority = Authority::new();
    let trusting = Setup::default().trusting(&authority);

    let stranger = Https::start(authority.server(&["hooks.test"], &["h2"]), |_| async { status(200) }).await;
    assert_failed(&once(&Setup::default(), &stranger.url()).await, Failure::Tls);

    let other_name = Https::start(authority.server(&["other.test"], &["h2"]), |_| async { status(200) }).await;
    assert_failed(&once(&trusting, &other_name.url()).await, Failure::Tls);

    let no_common_protocol = Https::start(authority.server(&["hooks.test"], &["spdy/1"]), |_| async { status(200) });
    assert_failed(&once(&trusting, &no_common_protocol.await.url()).await, Failure::Tls);

    let plain = Raw::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("a client");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let url = format!("https://hooks.test:{}/", plain.address.port());
    assert_failed(&once(&trusting, &url).await, Failure::Tls);

    let closing = Raw::start(|mut stream, _| async move {
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let url = format!("https://hooks.test:{}/", closing.address.port());
    assert_failed(&once(&trusting, &url).await, Failure::Tls);
}

/// The other of the two would end the test, not the attempt.
#[tokio::test]
async fn the_shorter_of_the_webhooks_and_the_deployments_time_counts() {
    for (own, deployments) in [(200, 600_000), (600_000, 200)] {
        let silent = after_request(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let shape = Shape { attempt_timeout: Some(Duration::from_millis(own)), ..Shape::default() };
        let poster = Setup::default().attempt_timeout(deployments).poster();
        let endpoint = endpoint(&silent.url());
        let posted = attempt_shaped(&poster, &endpoint, &keys(), &shape, Bytes::from_static(BODY)).await;
        assert_failed(&posted, Failure::Timeout);
    }
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout() {
    let setup = Setup::default().attempt_timeout(300);
    let silent = after_request(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let unread = Raw::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let trickle = after_request(|stream| async move { forever(stream, b"H", Duration::from_secs(60)).await });
    let hints = after_request(|stream| async move {
        forever(stream, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", Duration::from_millis(1)).await;
    });
    for server in [silent.await, unread.await, trickle.await, hints.await] {
        let posted =
            attempt_with(&setup.poster(), &endpoint(&server.url()), &keys(), Bytes::from(vec![b' '; 4 << 20])).await;
        assert_failed(&posted, Failure::Timeout);
        assert!((300..5_000).contains(&posted.total_ms), "{posted:?}");
        assert_eq!(posted.address, Some(server.address));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset() {
    let closed = after_request(|stream| async move { drop(stream) });
    let half = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await.expect("a client");
    });
    let reset = after_request(|stream| async move {
        stream.set_zero_linger().expect("a socket");
        drop(stream);
    });
    for server in [closed.await, half.await, reset.await] {
        assert_failed(&once(&Setup::default(), &server.url()).await, Failure::Reset);
        assert_eq!(server.connections(), 1, "the client repeats nothing by itself");
    }
}

#[tokio::test]
async fn a_stream_that_an_http2_endpoint_resets_is_a_reset() {
    let authority = Authority::new();
    let server = Https::start(authority.server(&["hooks.test"], &["h2"]), |_| async { panic!("gone") }).await;
    assert_failed(&once(&Setup::default().trusting(&authority), &server.url()).await, Failure::Reset);
    assert_eq!(server.seen().len(), 1, "the client repeats nothing by itself");
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    for answer in [
        "SSH-2.0-OpenSSH_9.7\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let server = Raw::answering(answer).await;
        assert_failed(&once(&Setup::default(), &server.url()).await, Failure::Protocol);
    }
}

#[tokio::test]
async fn endless_headers_end_soon() {
    let many = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.expect("a client");
        forever(stream, &b"X-More: and more\r\n".repeat(500), Duration::ZERO).await;
    });
    let long = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-More: ").await.expect("a client");
        forever(stream, &[b'x'; 4_096], Duration::ZERO).await;
    });
    for server in [many.await, long.await] {
        assert_failed(&once(&Setup::default().attempt_timeout(20_000), &server.url()).await, Failure::Protocol);
    }
}

#[tokio::test]
async fn the_status_line_decides_whatever_becomes_of_the_body() {
    let endless = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("a client");
        forever(stream, b"4\r\nmore\r\n", Duration::ZERO).await;
    });
    let hanging = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nmore").await.expect("a client");
        std::future::pending::<()>().await;
    });
    let cut = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nmore").await.expect("a client");
    });
    let garbage = after_request(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\nnonsense\r\n")
            .await
            .expect("a client");
    });
    let empty = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a client");
    });
    for (server, status, snippet) in [
        (endless.await, 200, "more"),
        (hanging.await, 200, "more"),
        (cut.await, 200, "more"),
        (garbage.await, 200, "more"),
        (empty.await, 204, ""),
    ] {
        let start = Instant::now();
        let posted = once(&Setup::default(), &server.url()).await;
        assert_eq!(posted.ended, Ended::Answered { status, retry_after: None });
        assert!(posted.snippet.starts_with(snippet) && posted.snippet.len() <= 1_024, "{posted:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "the body is read for a second");
    }
}

#[tokio::test]
async fn the_body_is_read_within_the_attempts_own_time() {
    let hanging = after_request(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nmore").await.expect("a client");
        std::future::pending::<()>().await;
    })
    .await;
    let posted = once(&Setup::default().attempt_timeout(200), &hanging.url()).await;
    assert_eq!(posted.ended, Ended::Answered { status: 500, retry_after: None });
    assert!(posted.total_ms < 900, "{posted:?}");
}

#[tokio::test]
async fn a_failure_leaves_no_connection_behind_that_the_next_attempt_would_use() {
    let server = Raw::start(|mut stream, number| async move {
        while read_request(&mut stream).await.is_some() {
            if number == 0 {
                std::future::pending::<()>().await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("a client");
        }
    })
    .await;
    let poster = Setup::default().attempt_timeout(300).poster();
    let endpoint = endpoint(&server.url());
    assert_failed(&attempt(&poster, &endpoint).await, Failure::Timeout);
    assert_eq!(attempt(&poster, &endpoint).await.ended, Ended::Answered { status: 200, retry_after: None });
    assert_eq!(server.connections(), 2);
}
