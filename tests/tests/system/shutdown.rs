//! SIGTERM: what is in flight ends, nothing is lost, nothing comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spectrum_webhook_receiver::{Accepted, Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Server, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{PATIENCE, accept, accept_texts, all_arrive, path_of, report, requests, taken, text};

#[tokio::test]
async fn a_restart_under_load_loses_and_repeats_nothing_when_receivers_answer_in_time() {
    let mut server = Server::start(Settings::quick().set("SPECTRUM_GRACE", "20s")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(25)))).expect("a receiver");
    let stop = Arc::new(AtomicBool::new(false));
    let mut posters = tokio::task::JoinSet::new();
    for name in ["one", "two", "three"] {
        let project = server.create_project(name).await;
        let hooks = [
            client.register(&project, &receiver.url(&format!("/{name}/a"))).await,
            client.register(&project, &receiver.url(&format!("/{name}/b"))).await,
        ];
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        posters.spawn(async move {
            let mut accepted: Vec<Accepted> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let (number, posted) = (accepted.len(), Instant::now());
                let body = text(name, number);
                let id = loop {
                    match client.post(&project, body.clone(), Some(&format!("k{number}"))).await {
                        Ok(answer) if answer.status == 202 => {
                            break answer.data()["id"].as_str().expect("an id").to_owned();
                        }
                        Ok(answer) => assert_eq!(answer.status, 503, "{:?}", answer.json()),
                        Err(_) => {}
                    }
                    assert!(posted.elapsed() < PATIENCE, "{name} is not taken");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                };
                accepted.push(Accepted { id, body, posted });
                // A little slower than the receivers, so that there is no backlog without end.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (accepted, hooks)
        });
    }
    for round in 1..=3 {
        for name in ["one", "two", "three"] {
            taken(&receiver, &format!("/{name}/a"), round * 30).await;
        }
        let (code, took) = server.terminate().await;
        assert_eq!(code, Some(0), "round {round}");
        assert!(took < Duration::from_secs(20), "it took {took:?}");
        server.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    for (accepted, hooks) in posters.join_all().await {
        for hook in hooks {
            all_arrive(&receiver, &hook, &accepted).await;
            let report = report(&receiver, &hook, &accepted);
            assert_eq!((report.attempts, report.duplicates), (accepted.len(), 0), "{}", path_of(&receiver, &hook));
        }
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_attempt_in_flight_and_starts_no_other() {
    let mut server = Server::start(Settings::quick().set("SPECTRUM_GRACE", "20s")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(1_500)))).expect("a receiver");
    let project = server.create_project("in-flight").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let accepted = accept_texts(&client, &project, "in-flight", 3).await;
    requests(&receiver, "/", 1).await;
    let (code, took) = server.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took >= Duration::from_millis(500), "it did not wait for the answer: {took:?}");
    assert_eq!(receiver.look(|memory| memory.total()), 1, "an attempt began after the signal");
    receiver.behave(Always(Reply::ok()));
    server.restart().await;
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.duplicates, 0, "the answer that was waited for was forgotten");
}

#[tokio::test]
async fn a_stop_ends_within_its_grace_although_a_receiver_hangs_and_a_client_stalls() {
    let mut server = Server::start(Settings::quick().set("SPECTRUM_GRACE", "1s")).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::hang())).expect("a receiver");
    let project = server.create_project("stuck").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "stuck", 5).await;
    requests(&receiver, "/", 1).await;
    // A client that sent half of its request, and one that keeps a connection for later.
    let mut half = tokio::net::TcpStream::connect(server.api()).await.expect("a connection");
    let head = format!("POST /projects/{}/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{", project.id);
    half.write_all(head.as_bytes()).await.expect("half a request");
    let mut idle = tokio::net::TcpStream::connect(server.api()).await.expect("a connection");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("a request");
    assert!(idle.read(&mut [0; 1024]).await.expect("an answer") > 0);

    let (code, took) = server.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    receiver.behave(Always(Reply::ok()));
    server.restart().await;
    accepted.push(accept(&client, &project, text("stuck", 5)).await);
    all_arrive(&receiver, &hook, &accepted).await;
}

#[tokio::test]
async fn a_process_that_was_frozen_goes_on_where_it_stood() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok().after(Duration::from_millis(5)))).expect("a receiver");
    let project = server.create_project("frozen").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let mut accepted = accept_texts(&client, &project, "frozen", 40).await;
    server.signal(Signal::STOP);
    let at_freeze = receiver.look(|memory| memory.total());
    // While it stands still, a post stays without an answer.
    let waiting = {
        let (client, project) = (client.clone(), project.clone());
        tokio::spawn(async move { accept(&client, &project, text("frozen", 40)).await })
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished());
    // What was under way when it froze may have been on the wire.
    assert!(receiver.look(|memory| memory.total()) <= at_freeze + 1);
    server.signal(Signal::CONT);
    accepted.push(waiting.await.expect("a post that is taken"));
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!(report.duplicates, 0);
}
