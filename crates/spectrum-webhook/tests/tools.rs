//! The tools of someone who builds a receiver: `listen`, `send`, `verify`; and the demo.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{PATIENCE, Server, binary, client, complaint, create_project, next_line, printed, run};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

const SECRET: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
const SIGNATURE: &str = "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db";

/// `listen` as a child, once it listens.
async fn listen(arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = binary().arg("listen").args(arguments).stdout(Stdio::piped()).spawn().expect("a receiver");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    next_line(&mut lines, |line| line.starts_with("listening on http://127.0.0.1:")).await.expect("a line");
    (child, lines)
}

async fn register(server: &Server, (id, secret): &(String, String), url: &str) -> String {
    let body = json!({ "webhookUrl": url }).to_string();
    let call = client().post(format!("{}/projects/{id}/webhooks/", server.api)).basic_auth(id, Some(secret));
    let answer = call.header("content-type", "application/json").body(body).send().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    answer["data"]["signingSecret"].as_str().expect("a secret").to_owned()
}

fn send(server: &Server, (id, secret): &(String, String), file: &Path) -> tokio::process::Command {
    let mut command = binary();
    command.arg("send").arg(file).args(["--url", &server.api]);
    command.env("SPECTRUM_PROJECT_ID", id).env("SPECTRUM_PROJECT_SECRET", secret);
    command
}

#[tokio::test]
async fn what_send_posts_arrives_in_order_and_refused_lines_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data")).await;
    let project = create_project(&folder.path().join("data")).await;
    let file = folder.path().join("events.ndjson");
    let events = "{\"event\":\"one\"}\r\n\n{\"event\":\"two\",\"a\":1}\n{\"no\":\"event\"}\n{\"event\":\"three\"}";
    std::fs::write(&file, events).expect("a file");
    for arguments in [&["--json"][..], &["--json", "--batch", "2"]] {
        let sent = run(send(&server, &project, &file).args(arguments)).await;
        let lines: Vec<Value> = printed(&sent).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told: Vec<_> = lines.iter().map(|line| (line["line"].as_u64(), line["code"].as_str())).collect();
        assert_eq!(told, [(Some(1), None), (Some(3), None), (Some(4), Some("event_missing")), (Some(5), None)]);
        assert!(lines[0]["id"].as_str().is_some_and(|id| id.len() == 36) && lines[0]["duplicate"] == false);
    }
    for batch in [&[][..], &["--batch", "2"]] {
        // The secret is known only after the registration, which needs the URL: the port is kept until then.
        let kept = tokio::net::TcpSocket::new_v4().expect("a socket");
        kept.set_reuseaddr(true).expect("a shared port");
        kept.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = kept.local_addr().expect("an address").to_string();
        let secret = register(&server, &project, &format!("http://{address}/")).await;
        let arguments = ["--listen", &address, "--secret", &secret, "--count", "5", "--fail-first", "1"];
        let (mut child, mut lines) = listen(&arguments).await;

        let sent = run(send(&server, &project, &file).args(batch)).await;
        assert_eq!(sent.status.code(), Some(1), "{}", complaint(&sent));
        assert!(printed(&sent).contains("line 4: event_missing"), "{}", printed(&sent));
        assert!(printed(&sent).contains("as in {\"event\":\"messages\""), "{}", printed(&sent));
        assert!(printed(&sent).contains("3 taken (0 duplicates), 1 not"), "{}", printed(&sent));

        let mut deliveries = Vec::new();
        while let Some(line) = next_line(&mut lines, |_| true).await {
            assert!(line.contains(", verified"), "{line}");
            deliveries.push(line);
        }
        for (number, (line, name)) in deliveries.iter().zip(["one", "one", "two", "two", "three"]).enumerate() {
            let attempt = number % 2 + 1;
            assert!(line.contains(&format!(" {name} ")) && line.contains(&format!(" attempt {attempt},")), "{line}");
        }
        assert_eq!(deliveries.len(), 5, "{deliveries:?}");
        assert!(tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("a status").success());
        let list = format!("{}/projects/{}/webhooks/", server.api, project.0);
        let listed = client().get(&list).basic_auth(&project.0, Some(&project.1)).send().await.expect("an answer");
        let listed: Value = serde_json::from_slice(&listed.bytes().await.expect("a body")).expect("JSON");
        let webhook = listed["data"][0]["id"].as_str().expect("an id");
        let deleted = client().delete(format!("{list}{webhook}/")).basic_auth(&project.0, Some(&project.1)).send();
        assert!(deleted.await.expect("an answer").status().is_success());
    }
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn the_last_delivery_that_listen_counts_gets_its_answer_too() {
    let mut command = binary();
    command.args(["listen", "--count", "1", "--delay", "300ms", "--status", "204"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a receiver");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let line = next_line(&mut lines, |line| line.starts_with("listening on ")).await.expect("a line");
    let answer = client().post(line.trim_start_matches("listening on ")).body("{}").send().await;
    assert_eq!(answer.expect("an answer").status().as_u16(), 204);
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time").expect("a status").success());
}

#[tokio::test]
async fn send_gives_up_on_a_server_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, "{\"event\":\"one\"}\n").expect("a file");
    // Bound and not listening: nobody answers there.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let mut command = binary();
    command.arg("send").arg(&file).args(["--patience", "300ms", "--secret", "x"]);
    command.args(["--project", "018f0000-0000-7000-8000-000000000000"]);
    let sent = run(command.args(["--url", &format!("http://{}", socket.local_addr().expect("an address"))])).await;
    assert_eq!(sent.status.code(), Some(1));
    assert!(complaint(&sent).contains("line 1 was not taken"), "{}", complaint(&sent));
}

/// Runs `verify` on a capture of the contract's test vector, changed so.
async fn verify(change: impl Fn(&str) -> String, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("request.txt");
    let standard = "v1,WbtScMzgHHvIWx7PVWKKyPUO0VldEvgOcHUYUvUpwtg=";
    let head = format!(
        "POST /hook HTTP/1.1\r\ncontent-type: application/json\r\nx-spectrum-event: messages\r\n\
         x-spectrum-webhook-id: w\r\nx-spectrum-timestamp: 1747242392\r\nx-spectrum-signature: {SIGNATURE}\r\n\
         webhook-id: e\r\nwebhook-timestamp: 1747242392\r\nwebhook-signature: {standard}\r\ncontent-length: 20\r\n"
    );
    std::fs::write(&file, change(&format!("{head}\r\n{{\"event\":\"messages\"}}"))).expect("a file");
    let output = run(binary().arg("verify").arg(&file).args(arguments).env("SPECTRUM_SIGNING_SECRET", SECRET)).await;
    (output.status.code(), printed(&output) + &complaint(&output))
}

#[tokio::test]
async fn verify_takes_a_genuine_capture_and_says_what_is_wrong_with_others() {
    let same = str::to_owned;
    assert_eq!(verify(same, &["--at", "1747242392"]).await, (Some(0), "genuine\n".to_owned()));
    assert_eq!(verify(same, &["--ignore-age"]).await.0, Some(0));
    let (code, said) = verify(same, &[]).await;
    assert!(code == Some(1) && said.contains("s old") && said.contains("--ignore-age"), "{said}");

    let (code, said) = verify(|capture| format!("{capture}\n"), &["--ignore-age"]).await;
    assert!(code == Some(1) && said.contains("without the white space around it"), "{said}");
    assert!(said.contains("Content-Length is 20 and the body here has 21 bytes"), "{said}");

    let (code, said) = verify(same, &["--at", "18446744073709551615"]).await;
    assert!(code == Some(2) && said.contains("--at"), "{said}");

    let wrong = SECRET.replace("a3", "b4");
    let (code, said) = verify(same, &["--ignore-age", "--secret", &wrong]).await;
    assert!(code == Some(1) && said.contains("another secret"), "{said}");
    let (code, said) = verify(|capture| capture.replace("v0=", "sha256="), &["--ignore-age"]).await;
    assert!(code == Some(1) && said.contains("`sha256=`"), "{said}");
    let (code, said) = verify(same, &["--secret", "short"]).await;
    assert!(code == Some(1) && said.contains("64 lowercase hex characters"), "{said}");
}

#[tokio::test]
async fn the_demo_ends_well() {
    let mut demo = binary();
    let ran = tokio::time::timeout(PATIENCE * 4, demo.args(["demo", "--events", "80"]).output());
    let output = ran.await.expect("an end in time").expect("a process");
    let said = printed(&output);
    assert!(output.status.success(), "{said}{}", complaint(&output));
    assert!(said.contains("after 40 accepted events: kill -9"), "{said}");
    assert!(said.contains("nothing was lost, swapped or changed, and every signature verified"), "{said}");
}
