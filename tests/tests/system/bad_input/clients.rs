//! Clients that are slow, go away, or speak no HTTP.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Project, Server, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{PATIENCE, accept_texts, all_arrive, taken, text};

/// The head of a post of this many bytes.
fn head(project: &Project, length: usize) -> String {
    format!(
        "POST /projects/{}/events HTTP/1.1\r\nHost: test\r\nAuthorization: Basic {}\r\nContent-Type: \
         application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        project.id,
        BASE64_STANDARD.encode(format!("{}:{}", project.id, project.secret))
    )
}

#[tokio::test]
async fn a_slow_client_is_served_and_stalled_ones_keep_nobody_waiting() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("slow").await;
    let hook = client.register(&project, &receiver.url("/")).await;

    // A hundred that stop in the middle, and stay.
    let mut stalled = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
        let begun = if number % 2 == 0 { format!("{}{{\"ev", head(&project, 5_000)) } else { "POST /proj".to_owned() };
        stream.write_all(begun.as_bytes()).await.expect("half a request");
        stalled.push(stream);
    }
    let accepted = accept_texts(&client, &project, "slow", 50).await;
    all_arrive(&receiver, &hook, &accepted).await;

    // One that sends a few bytes at a time arrives like any other.
    let body = text("slow", 999);
    let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
    stream.write_all(head(&project, body.len()).as_bytes()).await.expect("a head");
    for piece in body.chunks(body.len() / 20) {
        stream.write_all(piece).await.expect("a piece of the body");
        stream.flush().await.expect("a piece of the body");
        // This is the slowness that is tested.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    taken(&receiver, "/", 51).await;
    assert_eq!(receiver.look(|memory| memory.requests().next_back().map(|request| request.body.clone())), Some(body));
    drop(stalled);
}

#[tokio::test]
async fn clients_that_go_away_in_the_middle_leave_nothing_behind() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("away").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let body = text("away", 999);
    for cut in [0, 1, body.len() / 2, body.len() - 1] {
        for reset in [false, true] {
            let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
            stream.write_all(head(&project, body.len()).as_bytes()).await.expect("a head");
            stream.write_all(&body[..cut]).await.expect("a part of the body");
            if reset {
                stream.set_zero_linger().expect("an option");
            }
        }
    }
    for nonsense in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0", b"PRI * HTTP/2.0\r\n\r\nxx"]
    {
        let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
        stream.write_all(nonsense).await.expect("nonsense");
    }
    let accepted = accept_texts(&client, &project, "away", 5).await;
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.attempts, 5);
    assert_eq!(client.metric("accepted_total").await, 5);
}

#[tokio::test]
async fn a_client_that_goes_away_after_its_last_byte_posted_an_event() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("impatient").await;
    client.register(&project, &receiver.url("/")).await;
    let body = text("impatient", 0);
    let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
    stream.write_all(head(&project, body.len()).as_bytes()).await.expect("a head");
    stream.write_all(&body).await.expect("a body");
    taken(&receiver, "/", 1).await;
    drop(stream);
    // Whoever did not hear the answer posts again, and learns that it was taken.
    let again = client.post(&project, body, None).await.expect("an answer").expect_data(202);
    assert_eq!(again["duplicate"], true);
}

/// Reads one answer that has a `Content-Length`: its head, in lower case.
async fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("an answer"));
    }
    let head = String::from_utf8(head).expect("a head").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    head
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    const MIB: usize = 1 << 20;
    let server = Server::start(Settings::quick()).await;
    let project = server.create_project("eager").await;
    let stranger = Project { secret: "0".repeat(64), ..project.clone() };
    let kept = |head: String| head.replace("Connection: close\r\n", "");
    let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
    // It is known from the head alone that these are refused; the connection is good for the next request all the same.
    for (who, length, status) in [(&stranger, MIB, "401"), (&project, MIB + 1, "413"), (&stranger, 10, "401")] {
        stream.write_all(kept(head(who, length)).as_bytes()).await.expect("a head");
        for piece in vec![b' '; length].chunks(64 << 10) {
            stream.write_all(piece).await.expect("a piece of the body");
        }
        let head = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
    // One that goes on and on is told, and cut off.
    stream.write_all(kept(head(&project, 1 << 40)).as_bytes()).await.expect("a head");
    for _ in 0..3 * MIB / (64 << 10) {
        if stream.write_all(&[b' '; 64 << 10]).await.is_err() {
            break;
        }
    }
    let head = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 413 ") && head.contains("connection: close"), "{head}");
    // One that asks first need not send anything.
    let mut stream = TcpStream::connect(server.api()).await.expect("a connection");
    let asks = kept(head_asking(&project, MIB + 1));
    stream.write_all(asks.as_bytes()).await.expect("a head");
    let head = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
}

/// A head that waits for leave to send the body.
fn head_asking(project: &Project, length: usize) -> String {
    head(project, length).replace("Host: test\r\n", "Host: test\r\nExpect: 100-continue\r\n")
}
