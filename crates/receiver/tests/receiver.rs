//! What the recording endpoint does, as a client sees it.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use spectrum_webhook_receiver::{Always, End, FailFirst, Options, Receiver, Recorded, Reply};

const PATIENCE: Duration = Duration::from_secs(20);

fn client() -> Client {
    // A second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}

fn ok() -> Always {
    Always(Reply::ok())
}

#[tokio::test]
async fn requests_are_remembered_to_the_byte_and_counted() {
    let receiver = Receiver::on_loopback(ok()).expect("a receiver");
    let body = "{ \"event\" : \"\\ud800\" }\r\n";
    for (path, id) in [("/a?x=%20y", "one"), ("/a?x=%20y", "one"), ("/a?x=%20y", "two"), ("/b", "one")] {
        let sent = client().post(receiver.url(path)).header("webhook-id", id).header("X-Twice", "1");
        let answer = sent.header("X-Twice", "2").body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }
    receiver.look(|memory| {
        let requests: Vec<&Recorded> = memory.requests().map(AsRef::as_ref).collect();
        let counts: Vec<_> = requests.iter().map(|it| (it.nth, it.nth_for_path, it.nth_for_event)).collect();
        assert_eq!(counts, [(1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 1, 1)]);
        assert_eq!(requests[0].path, "/a?x=%20y");
        assert_eq!(requests[0].method, "POST");
        assert_eq!(requests[0].body, body.as_bytes());
        assert_eq!(requests[0].headers.all("x-twice").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(requests[0].status, Some(200));
        let count = memory.count("/a?x=%20y");
        assert_eq!((count.requests, count.events, count.taken), (3, 2, 2));
    });
}

#[tokio::test]
async fn an_answer_has_the_status_the_headers_and_the_body_it_was_given() {
    let reply = Reply::status(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", "7").body("later");
    let receiver = Receiver::on_loopback(Always(reply.ending(End::Close))).expect("a receiver");
    let answer = client().get(receiver.url("/")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.text().await.expect("a body"), "later");
}

#[tokio::test]
async fn the_first_requests_of_each_event_fail_as_often_as_told() {
    let failure = Reply::status(StatusCode::INTERNAL_SERVER_ERROR);
    let receiver = Receiver::on_loopback(FailFirst { times: 2, failure, then: Reply::ok() }).expect("a receiver");
    for id in ["one", "two"] {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let sent = client().post(receiver.url("/")).header("webhook-id", id).send();
            statuses.push(sent.await.expect("an answer").status().as_u16());
        }
        assert_eq!(statuses, [500, 500, 200]);
    }
    assert_eq!(receiver.look(|memory| memory.count("/").taken), 2);
}

#[tokio::test]
async fn a_reset_loses_the_answer_and_not_the_record() {
    let receiver = Receiver::on_loopback(Always(Reply::reset())).expect("a receiver");
    let error = client().post(receiver.url("/")).body("x").send().await.expect_err("no answer");
    assert!(error.is_request(), "{error:?}");
    receiver.look(|memory| assert_eq!(memory.requests().next().expect("one").status, None));
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_gives_up() {
    let receiver = Receiver::on_loopback(Always(Reply::hang())).expect("a receiver");
    let asked = client().post(receiver.url("/")).timeout(Duration::from_millis(200)).send();
    assert!(asked.await.expect_err("no answer").is_timeout());
    receiver.wait_until(|memory| memory.total() == 1, PATIENCE).await.expect("the request");
}

#[tokio::test]
async fn a_hanging_body_comes_after_its_status() {
    let receiver = Receiver::on_loopback(Always(Reply::ok().body("x").ending(End::HangBody))).expect("a receiver");
    let answer = client().post(receiver.url("/")).timeout(Duration::from_secs(1)).send().await.expect("a status");
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn down_is_refused_and_up_again_is_the_same_port_and_memory() {
    let receiver = Receiver::on_loopback(ok()).expect("a receiver");
    let client = client();
    for _ in 0..3 {
        client.post(receiver.url("/")).send().await.expect("an answer");
        receiver.down().await.expect("down");
        receiver.down().await.expect("down already");
        let refused = client.post(receiver.url("/")).send().await.expect_err("refused");
        assert!(refused.is_connect(), "{refused:?}");
        receiver.up().await.expect("up");
    }
    assert_eq!(receiver.look(|memory| memory.total()), 3);
}

#[tokio::test]
async fn a_bounded_memory_forgets_the_oldest_and_their_counts() {
    let options = Options { capacity: 2, max_body: 8 };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let receiver = Receiver::start(listener, None, Arc::new(ok()), options).expect("a receiver");
    for path in ["/1", "/2", "/3"] {
        client().post(receiver.url(path)).send().await.expect("an answer");
    }
    let large = client().post(receiver.url("/4")).body("123456789").send().await.expect("an answer");
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    receiver.look(|memory| {
        assert_eq!(memory.requests().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/2", "/3"]);
        assert_eq!((memory.total(), memory.broken()), (3, 1));
        assert_eq!(memory.count("/1").requests, 0);
    });
}

#[tokio::test]
async fn what_does_not_come_is_not_waited_for_longer_than_told() {
    let receiver = Receiver::on_loopback(ok()).expect("a receiver");
    assert!(receiver.wait_until(|memory| memory.total() == 1, Duration::from_millis(50)).await.is_err());
}

#[tokio::test]
async fn both_http_versions_are_spoken_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a config");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let receiver = Receiver::start(listener, Some(config), Arc::new(ok()), Options::default()).expect("a receiver");
    let url = format!("https://localhost:{}/", receiver.address().port());
    let authority = reqwest::Certificate::from_der(made.cert.der()).expect("a certificate");
    for http1 in [false, true] {
        let builder = Client::builder().no_proxy().tls_certs_only([authority.clone()]);
        let client = if http1 { builder.http1_only() } else { builder }.build().expect("a client");
        client.post(&url).send().await.expect("an answer");
    }
    receiver.look(|memory| {
        let versions: Vec<_> = memory.requests().map(|request| request.version).collect();
        assert_eq!(versions, [http::Version::HTTP_2, http::Version::HTTP_11]);
    });
}
