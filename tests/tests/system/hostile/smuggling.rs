//! One request that could be two: what one program takes for a body, another takes for a request.

use std::time::Duration;

use futures::future::join_all;
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Project, Server, Settings};

use super::bystander::Bystander;
use super::wire::{authorization, exchange, head, post};
use crate::world::taken;

/// Longer than a server that is asked for something is silent.
const QUIET: Duration = Duration::from_secs(5);
/// An event that may be taken.
const PLAIN: &str = r#"{"event":"messages","x":"plain"}"#;
/// One that nobody may ever see.
const SMUGGLED: &[u8] = br#"{"event":"messages","x":"smuggled"}"#;

/// Requests of doubtful shape, by name. Each is followed by another one, which is what would be smuggled.
fn shapes(project: &Project) -> Vec<(String, Vec<u8>)> {
    let length = PLAIN.len();
    let chunks = format!("{length:x}\r\n{PLAIN}\r\n0\r\n\r\n");
    let mut shapes = Vec::new();
    let mut add = |name: String, request: String| {
        let mut bytes = request.into_bytes();
        bytes.extend(post(project, "", SMUGGLED));
        shapes.push((name, bytes));
    };
    // Headers before the end of the head, and what is behind it.
    let mut with = |headers: &str, rest: &str| {
        add(format!("{headers:?} and {rest:?}"), head(project, headers) + "\r\n" + rest);
    };
    let own = format!("Content-Length: {length}\r\n");

    with(&format!("{own}Transfer-Encoding: chunked\r\n"), &chunks);
    with("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunks);
    with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    with(&format!("{own}Content-Length: 3\r\n"), PLAIN);
    for value in ["+32", "-32", "0x20", "32, 32", "32;", "3 2", "", " ", "1e1", "18446744073709551648"] {
        with(&format!("Content-Length: {value}\r\n"), PLAIN);
    }
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "chunked;q=1",
        "chun ked",
        "chunked\u{b}",
        "gzip, chunked",
        "chunked, chunked",
        "\"chunked\"",
        "",
    ] {
        with(&format!("Transfer-Encoding: {coding}\r\n"), &chunks);
        with(&format!("{own}Transfer-Encoding: {coding}\r\n"), PLAIN);
    }
    with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &chunks);
    with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunks);
    for size in
        ["fffffffffffffffff", "100000000000000020", "-20", "+20", "0x20", "  20", "2 0", "g", "", "20;a=\"\r\n\""]
    {
        with("Transfer-Encoding: chunked\r\n", &format!("{size}\r\n{PLAIN}\r\n0\r\n\r\n"));
    }
    with("Transfer-Encoding: chunked\r\n", &format!("{length:x}\n{PLAIN}\n0\n\n"));
    with("Transfer-Encoding: chunked\r\n", &format!("{length:x}\r\n{PLAIN}0\r\n\r\n"));
    for line in [
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\r\n\tb\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "X\0: a\r\n",
        "X\u{1}: a\r\n",
        "X Y: a\r\n",
        ": a\r\n",
        "no colon\r\n",
        "Host: other\r\n",
    ] {
        with(&format!("{line}{own}"), PLAIN);
    }

    let path = format!("/projects/{}/events", project.id);
    let rest = format!("Host: test\r\n{}{own}\r\n{PLAIN}", authorization(project));
    for line in [
        format!("POST {path}"),
        format!("POST {path} HTTP/0.9"),
        format!("POST {path} HTTP/1.2"),
        format!("POST {path} HTTP/2.0"),
        format!("POST {path} http/1.1"),
        format!("POST {path} HTTP/1.1 "),
        format!("POST  {path} HTTP/1.1"),
        format!("POST\t{path} HTTP/1.1"),
        format!(" POST {path} HTTP/1.1"),
        format!("PO/ST {path} HTTP/1.1"),
        format!("POST {path}\0 HTTP/1.1"),
    ] {
        add(format!("{line:?}"), format!("{line}\r\n{rest}"));
    }
    add("a first line that goes on".to_owned(), format!("POST {path} HTTP/1.1\r\n {rest}"));
    add("no Host".to_owned(), format!("POST {path} HTTP/1.1\r\n{}", rest.replace("Host: test\r\n", "")));
    add("chunks in HTTP/1.0".to_owned(), {
        let head = head(project, "Transfer-Encoding: chunked\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
        head + &chunks
    });
    shapes
}

#[tokio::test]
async fn what_could_be_two_requests_is_taken_for_one_at_most() {
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("smuggler").await;
    server.client().register(&project, &receiver.url("/")).await;
    let shapes = shapes(&project);
    let trying = async {
        let mut heard = Vec::new();
        for some in shapes.chunks(16) {
            heard.extend(join_all(some.iter().map(|(_, bytes)| exchange(&server, bytes, QUIET))).await);
        }
        heard
    };
    let heard = bystander.beside(&server, trying).await;
    let mut plain = 0;
    for ((name, _), heard) in shapes.iter().zip(heard) {
        let statuses = heard.statuses();
        plain += statuses.iter().filter(|status| **status == 202).count();
        let one = statuses.len() <= 1 && statuses.iter().all(|status| *status == 202 || (400..500).contains(status));
        assert!(heard.ended && one, "{name}: {}, {}", heard.ended, heard.text);
    }
    // Those that were taken are one event, for they are repeats of one another.
    println!("{plain} of {} were taken for one request", shapes.len());
    assert!(plain <= 4, "{plain} were taken");
    taken(&receiver, "/", plain.min(1)).await;

    // What has an address in full is the same request, and proves that no other arrived before.
    let last = r#"{"event":"messages","x":"last"}"#;
    let absolute = String::from_utf8(post(&project, "Connection: close\r\n", last.as_bytes())).expect("text");
    let heard = exchange(&server, absolute.replace("POST /", "POST http://other.test/").as_bytes(), QUIET).await;
    assert_eq!(heard.statuses(), [202], "{}", heard.text);
    taken(&receiver, "/", plain.min(1) + 1).await;
    receiver.look(|memory| {
        for request in memory.requests() {
            assert!([PLAIN, last].iter().any(|body| request.body == *body), "{:?}", request.body);
        }
    });
}
