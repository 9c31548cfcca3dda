//! Over real connections: callers that are slow or go away.

use std::time::Duration;

use spectrum_webhook_ingest::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Api, ID, SECRET, api_with, basic, events, settings};

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

/// Serves, and returns a connection. The server ends with the test's runtime.
async fn connect(api: &Api) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = api.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    TcpStream::connect(address).await.expect("a connection")
}

fn head(more: &str) -> String {
    format!("POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n{more}\r\n\r\n", events(), basic(ID, SECRET))
}

/// Reads until the answer contains this.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains(end) {
        let read = within(stream.read(&mut buffer)).await.expect("bytes");
        assert_ne!(read, 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).expect("UTF-8"));
    }
    text
}

#[tokio::test]
async fn a_caller_that_sends_half_a_body_is_told_so_and_let_go() {
    let api = api_with(Settings { read_timeout: Duration::from_millis(100), ..settings() });
    let mut stream = connect(&api).await;
    within(stream.write_all((head("Content-Length: 100") + "{\"event\":").as_bytes())).await.expect("sent");
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains(r#"{"succeed":false,"code":"body_timeout","message":"the body did not arrive within 0.1 s"#)
    );
    assert!(api.world.published.lock().is_empty());
}

#[tokio::test]
async fn a_body_without_a_length_is_taken() {
    let api = api_with(settings());
    let mut stream = connect(&api).await;
    let chunks = "9\r\n{\"event\":\r\n4\r\n\"a\"}\r\n0\r\n\r\n";
    within(stream.write_all((head("Transfer-Encoding: chunked") + chunks).as_bytes())).await.expect("sent");
    let answer = read_until(&mut stream, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(api.world.bodies(), [br#"{"event":"a"}"#]);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_its_body_publishes_nothing() {
    let api = api_with(settings());
    let mut stream = connect(&api).await;
    within(stream.write_all((head("Content-Length: 14") + "{\"event\":\"a\"}").as_bytes())).await.expect("sent");
    within(stream.shutdown()).await.expect("shut");
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    within(api.ingest.drain()).await;
    assert!(api.world.published.lock().is_empty());
}
