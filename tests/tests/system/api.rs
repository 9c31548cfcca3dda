//! Calls made up by the API's description: sound ones, almost sound ones, and chains of them. No answer is a 5xx, and
//! none has a status, a type, a header or a body that the description does not have.
//!
//! `make api CASES=… SEED=…` makes more of them.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Client, Project, Server, Settings};
use tempfile::TempDir;
use tokio::process::Command;

use crate::steer::wait_for_letters;
use crate::world::{accept, text};

/// What is asked of every answer. Not asked: that all data is taken that its schema calls valid (a made-up cursor is
/// not), that all other data is refused (an empty parameter is none), and that an event is known as soon as it is
/// accepted (it is not before it was taken from the queue).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance,\
                      use_after_free,ignored_auth";

/// A number from the environment.
fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The program that makes up calls, as `tests/setup.sh` installs it.
fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).expect("a home");
    let program = cache.join("spectrum-webhook/api/bin/st");
    assert!(program.exists(), "{} is missing: tests/setup.sh installs it", program.display());
    program
}

/// Runs these phases as a project, so many cases of each operation, or so many chains.
async fn calls(server: &Server, project: &Project, phases: &str, cases: u32, known: &Value) {
    let folder = TempDir::new().expect("a folder");
    let config = format!("hooks = \"hooks\"\n[parameters]\nprojectId = \"{}\"\n", project.id);
    std::fs::write(folder.path().join("st.toml"), config).expect("a file");
    let run = Command::new(program())
        .args(["--config-file", "st.toml", "run", &format!("http://{}/openapi.json", server.api())])
        .args(["--phases", phases, "--checks", CHECKS, "--include-path-regex", "^/projects"])
        .args(["--auth", &format!("{}:{}", project.id, project.secret)])
        .args(["--max-examples", &cases.to_string(), "--seed", &number("API_SEED", 1).to_string()])
        .args(["--no-color", "--generation-database", "none", "--request-timeout", "60", "--no-shrink"])
        .current_dir(folder.path())
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/api"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KNOWN_IDS", known.to_string())
        .kill_on_drop(true)
        .output();
    let patience = Duration::from_secs(300 + 60 * u64::from(cases));
    let run = tokio::time::timeout(patience, run).await.expect("an end").expect("a program that runs");
    let told = String::from_utf8_lossy(&run.stdout);
    println!("{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{phases}: {}", run.status);
}

/// A project in which there is one of each thing, and the ids of these by the names of the path's parameters.
async fn furnished(server: &Server, client: &Client, receiver: &Receiver) -> (Project, Value) {
    let project = server.create_project("furnished").await;
    let hook = client.register(&project, &receiver.url("/furnished")).await;
    let event = accept(client, &project, text("furnished", 0)).await.id;
    let letter = wait_for_letters(client, &project, 1).await.remove(0)["id"].clone();
    let path = format!("/webhooks/{}/replays", hook.id);
    let wish = json!({ "what": "dead", "reason": "a replay to look at", "ratePerSecond": 1 });
    let replay = client.call(&project, Method::POST, &path, Some(&wish)).await.expect_data(202)["id"].clone();
    (project, json!({ "webhookId": hook.id, "eventId": event, "letterId": letter, "replayId": replay }))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_made_up_call_gets_an_answer_that_the_description_does_not_have() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::status(http::StatusCode::BAD_REQUEST))).expect("a receiver");
    let (project, known) = furnished(&server, &client, &receiver).await;
    let cases = number("API_CASES", 5);
    let (chained, none) = (server.create_project("chained").await, json!({}));
    tokio::join!(
        calls(&server, &project, "examples,coverage,fuzzing", cases, &known),
        calls(&server, &chained, "stateful", 4 * cases, &none),
    );
    // After all that it still does what it is for.
    let hook = client.register(&chained, &receiver.url("/sound")).await;
    accept(&client, &chained, text("sound", 0)).await;
    receiver
        .wait_until(|memory| memory.count("/sound").requests > 0, crate::world::PATIENCE)
        .await
        .unwrap_or_else(|_| panic!("{} gets nothing", hook.url));
}
