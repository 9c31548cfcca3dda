//! Slow clients, crowds of them, heads and bodies without end, requests in one breath.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::bystander::Bystander;
use super::wire::{Heard, authorization, connect, exchange, head, listen, post};
use crate::world::{PATIENCE, taken, text};

const MIB: u64 = 1 << 20;
/// What a server may need beside what a test allows it to be made to take.
const USUAL: u64 = 128 * MIB;
/// Longer than a server that is asked for something is silent.
const QUIET: Duration = Duration::from_secs(5);

#[tokio::test]
async fn heads_and_bodies_that_come_byte_by_byte_are_ended_in_time() {
    const CLIENTS: usize = 100;
    const TIMEOUT: Duration = Duration::from_secs(2);
    let server = Server::start(Settings::quick().set("SPECTRUM_READ_TIMEOUT", "2s")).await;
    let bystander = Bystander::of(&server).await;
    let project = server.create_project("slow").await;
    let slow = async {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let is_body = number % 2 == 0;
            let begun = if is_body { head(&project, "Content-Length: 1000\r\n\r\n") } else { "POST /".to_owned() };
            let mut stream = connect(&server).await;
            clients.spawn(async move {
                let start = Instant::now();
                let (mut reading, mut writing) = stream.split();
                let dripping = async {
                    let mut goes_on = writing.write_all(begun.as_bytes()).await.is_ok();
                    while goes_on {
                        // This is the slowness that is tested.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        goes_on = writing.write_all(b"x").await.is_ok();
                    }
                    std::future::pending::<()>().await;
                };
                let heard = tokio::select! {
                    heard = listen(&mut reading, PATIENCE) => heard,
                    () = dripping => unreachable!("it waits for the end"),
                };
                (is_body, heard, start.elapsed())
            });
        }
        clients.join_all().await
    };
    for (is_body, Heard { text, ended }, took) in bystander.beside(&server, slow).await {
        assert!(ended && (TIMEOUT..TIMEOUT * 4).contains(&took), "{took:?}: {text}");
        assert!(!is_body || text.starts_with("HTTP/1.1 408 ") && text.contains("body_timeout"), "{text}");
    }
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
}

/// Raises the number of files that this process may have open, and returns it.
fn allow_many_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a limit of one's own");
    limit.maximum.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

#[tokio::test]
async fn ten_thousand_idle_connections_and_more_keep_nobody_out() {
    // As many as the server takes, which is no more than half of the files that may be open, and some more.
    let places = 10_000.min(allow_many_files() / 2);
    let crowd = places + places / 20;
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let begun = Instant::now();
    let crowding = async {
        let mut idle: Vec<TcpStream> = Vec::with_capacity(crowd);
        for number in 0..crowd {
            let mut stream = connect(&server).await;
            // Some are silent, some stop in the middle of a head that is as large as can be.
            if number % 10 == 0 {
                stream.write_all(&[b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 15_000]].concat()).await.expect("half");
            }
            idle.push(stream);
        }
        // The bystander goes on for a while beside all of them.
        tokio::time::sleep(Duration::from_secs(2)).await;
        idle
    };
    let mut idle = bystander.beside(&server, crowding).await;
    println!("a crowd of {crowd} took {:?} and {} bytes", begun.elapsed(), server.peak_memory());
    assert!(server.peak_memory() < USUAL + places as u64 * 8 * 1_024, "{}", server.peak_memory());
    // Those that came first had to make way.
    assert!(listen(&mut idle[0], PATIENCE).await.ended);
}

#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let project = server.create_project("heads").await;
    let many = |line: &str, size: usize| line.repeat(size / line.len());
    let mib = MIB as usize;
    let heads = [
        ("a path of 1 MiB", format!("GET /{}", many("a", mib))),
        ("a method of 1 MiB", many("A", mib)),
        ("a header of 1 MiB", head(&project, &format!("X: {}", many("a", mib)))),
        ("a header's name of 1 MiB", head(&project, &many("a", mib))),
        ("100,000 headers", head(&project, &many("X: a\r\n", 600_000))),
        ("101 headers", head(&project, &format!("{}Content-Length: 0\r\n\r\n", many("X: a\r\n", 606)))),
        ("empty lines before the request", many("\r\n", mib)),
    ];
    let cut = async {
        let mut answers = Vec::new();
        for (name, head) in &heads {
            // Many at the same time.
            let all = (0..8).map(|_| exchange(&server, head.as_bytes(), QUIET));
            answers.extend(join_all(all).await.into_iter().map(|heard| (*name, heard)));
        }
        answers
    };
    for (name, heard) in bystander.beside(&server, cut).await {
        let refused = heard.statuses().iter().all(|status| [400, 431].contains(status));
        assert!(heard.ended && refused, "{name}: {}", heard.text);
    }
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_before_they_are_in_memory() {
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let project = server.create_project("bodies").await;
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let large = [
        ("chunks beyond the limit", head(&project, "Transfer-Encoding: chunked\r\n\r\n") + &chunk.repeat(256), 413),
        ("a large length", head(&project, "Content-Length: 1048577\r\n\r\n"), 413),
        ("a huge length", head(&project, "Content-Length: 9223372036854775807\r\n\r\n"), 413),
        ("the largest length", head(&project, "Content-Length: 18446744073709551615\r\n\r\n"), 431),
        ("no length", head(&project, "Content-Length: 18446744073709551616\r\n\r\n"), 400),
        ("one that asks first", head(&project, "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n"), 413),
    ];
    let refused = async {
        let mut answers = Vec::new();
        for (name, request, status) in &large {
            let all = (0..16).map(|_| exchange(&server, request.as_bytes(), QUIET));
            answers.extend(join_all(all).await.into_iter().map(|heard| (*name, *status, heard)));
        }
        answers
    };
    for (name, status, heard) in bystander.beside(&server, refused).await {
        assert!(heard.ended && heard.statuses() == [status], "{name}: {}", heard.text);
    }
    // Whoever asks first and may send is told so.
    let body = text("bodies", 1);
    let heard = exchange(&server, &post(&project, "Connection: close\r\nExpect: 100-continue\r\n", &body), QUIET).await;
    assert_eq!(heard.statuses(), [100, 202], "{}", heard.text);
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
}

#[tokio::test]
async fn requests_in_one_breath_are_answered_in_their_order() {
    const COUNT: usize = 200;
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("breath").await;
    server.client().register(&project, &receiver.url("/")).await;
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for number in 0..COUNT {
        // One in three is refused: an answer that is no `202` moves no other.
        let (body, status) = match number % 3 {
            0 => (b"{}".to_vec(), 422),
            _ => (text("breath", number).to_vec(), 202),
        };
        requests.extend(post(&project, if number == COUNT - 1 { "Connection: close\r\n" } else { "" }, &body));
        expected.push(status);
    }
    let heard = bystander.beside(&server, exchange(&server, &requests, QUIET)).await;
    assert!(heard.ended && heard.statuses() == expected, "{:?}", heard.statuses());
    let good = expected.iter().filter(|status| **status == 202).count();
    taken(&receiver, "/", good).await;
    let bodies: Vec<_> = receiver.look(|memory| memory.requests().map(|request| request.body.clone()).collect());
    let posted: Vec<_> = (0..COUNT).filter(|number| number % 3 != 0).map(|number| text("breath", number)).collect();
    assert_eq!(bodies, posted);
}

#[tokio::test]
async fn clients_that_ask_in_one_breath_and_read_nothing_cost_no_memory() {
    let server = Server::start(Settings::quick()).await;
    let bystander = Bystander::of(&server).await;
    let project = server.create_project("deaf").await;
    let ask = format!("GET /projects/{}/ HTTP/1.1\r\nHost: test\r\n{}\r\n", project.id, authorization(&project));
    let asked = ask.repeat(20_000);
    let deaf = async {
        let all = (0..50).map(|_| async {
            let mut stream = connect(&server).await;
            // It can send no more once its answers are stuck.
            let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(asked.as_bytes())).await;
            stream
        });
        join_all(all).await
    };
    let streams = bystander.beside(&server, deaf).await;
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
    drop(streams);
}
