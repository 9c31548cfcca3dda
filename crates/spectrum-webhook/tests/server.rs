//! `serve` and `project`: starting, stopping, and looking after projects beside a running server.

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{Server, binary, client, complaint, create_project, printed, run};
use reqwest::StatusCode;
use serde_json::Value;

#[tokio::test]
async fn a_server_starts_on_free_ports_is_ready_and_stops_cleanly() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path()).await;
    let get = async |path: &str| client().get(format!("{}{path}", server.ops)).send().await.expect("an answer");
    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    let ready = async {
        while get("/readyz").await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, ready).await.expect("readiness in time");
    for (asked, said) in [(&["health"][..], "ready"), (&["health", "--alive"], "ok")] {
        let healthy = run(binary().args(asked).env("SPECTRUM_OPS_LISTEN", &server.ops["http://".len()..])).await;
        assert!(healthy.status.success(), "{}", complaint(&healthy));
        assert_eq!(printed(&healthy).trim(), said);
    }
    let metrics = get("/metrics").await.text().await.expect("text");
    for name in ["spectrum_webhook_accepted_total", "spectrum_webhook_partitions_held", "process_open_fds"] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name}: {metrics}");
    }
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn health_says_why_a_server_is_not_ready_or_cannot_be_asked() {
    let asked = async |listens: &str, flags: &[&str]| {
        let output = run(binary().arg("health").args(flags).env("SPECTRUM_OPS_LISTEN", listens)).await;
        (output.status.code(), complaint(&output))
    };
    // A cluster whose database is not there: alive, and never ready.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = free.local_addr().expect("an address");
    drop(free);
    let mut waiting = binary();
    waiting.arg("dispatcher").env("SPECTRUM_MASTER_KEY", "ab".repeat(32)).env("SPECTRUM_LOG_FORMAT", "json");
    waiting.env("SPECTRUM_DATABASE_URL", format!("postgres://u:p@{nowhere}/d"));
    waiting.env("SPECTRUM_AMQP_URL", format!("amqp://u:p@{nowhere}"));
    waiting.env("SPECTRUM_REDIS_URL", format!("redis://{nowhere}"));
    let ops = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listens = ops.local_addr().expect("an address").to_string();
    drop(ops);
    let mut child = waiting.env("SPECTRUM_OPS_LISTEN", &listens).stderr(Stdio::null()).spawn().expect("a server");
    let alive = async {
        while asked(&listens, &["--alive"]).await.0 != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, alive).await.expect("a life sign in time");
    let (code, said) = asked(&listens, &[]).await;
    assert_eq!((code, said.trim()), (Some(1), "spectrum-webhook: not ready: starting"));
    child.kill().await.expect("an end");

    let (code, said) = asked(&listens, &[]).await;
    assert!(code == Some(1) && said.contains(&format!("http://{listens}/readyz does not answer")), "{said}");
    let (code, said) = asked("127.0.0.1:0", &[]).await;
    assert!(code == Some(2) && said.contains("SPECTRUM_OPS_LISTEN: port 0"), "{said}");
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listens = silent.local_addr().expect("an address").to_string();
    let output = run(binary().arg("health").env("SPECTRUM_OPS_LISTEN", &listens)).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("did not answer in 5s"), "{}", complaint(&output));
}

#[tokio::test]
async fn the_version_names_the_commit_and_its_date_where_the_build_knew_them() {
    let known = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
    let version = printed(&run(binary().arg("--version")).await);
    let plain = format!("spectrum-webhook {}", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&plain), "{version}");
    let (commit, changed) = (option_env!("BUILD_COMMIT"), option_env!("SOURCE_DATE_EPOCH"));
    assert!(commit.is_none_or(|commit| version.contains(commit)), "{version}");
    assert_eq!(version.trim() != plain, known(commit) || known(changed), "{version}");
}

#[tokio::test]
async fn a_mistyped_data_folder_is_not_made_and_taken_for_an_empty_one() {
    let data = tempfile::tempdir().expect("a folder");
    let mistyped = data.path().join("dtaa");
    let id = uuid::Uuid::nil().to_string();
    for arguments in [&["list"][..], &["rotate-secret", &id], &["delete", &id]] {
        let mut command = binary();
        command.arg("project").args(arguments).env("SPECTRUM_DATA_DIR", &mistyped);
        let refused = run(&mut command).await;
        assert_eq!(refused.status.code(), Some(1));
        let complaint = complaint(&refused);
        assert!(complaint.contains("no database") && complaint.contains("SPECTRUM_DATA_DIR"), "{complaint}");
    }
    assert!(!mistyped.exists());
}

#[tokio::test]
async fn projects_are_made_changed_and_deleted_beside_a_running_server() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path()).await;
    let (id, secret) = create_project(data.path()).await;
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    let url = format!("{}/projects/{id}/", server.api);
    let status =
        async |secret: &str| client().get(&url).basic_auth(&id, Some(secret)).send().await.expect("an answer").status();
    assert_eq!(status(&secret).await, StatusCode::OK);
    assert_eq!(status(&"0".repeat(64)).await, StatusCode::UNAUTHORIZED);

    let command = |arguments: &[&str]| {
        let mut command = binary();
        command.arg("project").args(arguments).env("SPECTRUM_DATA_DIR", data.path());
        command
    };
    let listed = printed(&run(&mut command(&["list"])).await);
    let listed: Value = serde_json::from_str(listed.trim()).expect("one project");
    assert_eq!((&listed["projectId"], &listed["name"]), (&id.as_str().into(), &"first".into()));
    assert!(!listed.to_string().contains(&secret));

    let rotated = run(&mut command(&["rotate-secret", &id])).await;
    let rotated: Value = serde_json::from_slice(&rotated.stdout).expect("a JSON object");
    let newer = rotated["projectSecret"].as_str().expect("a secret");
    assert_eq!(status(newer).await, StatusCode::OK);
    assert_eq!(status(&secret).await, StatusCode::UNAUTHORIZED);

    assert!(run(&mut command(&["delete", &id])).await.status.success());
    assert_eq!(status(newer).await, StatusCode::UNAUTHORIZED);
    let again = run(&mut command(&["delete", &id])).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(complaint(&again).contains("there is no project"), "{}", complaint(&again));
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_the_one_who_uses_it_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path()).await;
    let mut second = binary();
    second.arg("serve").env("SPECTRUM_DATA_DIR", data.path()).env("SPECTRUM_API_LISTEN", "127.0.0.1:0");
    let refused = run(second.env("SPECTRUM_OPS_LISTEN", "127.0.0.1:0")).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = complaint(&refused);
    let pid = server.child.id().expect("a running server");
    assert!(said.contains("in use by another process") && said.contains(&pid.to_string()), "{said}");
    create_project(data.path()).await;
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let data = tempfile::tempdir().expect("a folder");
    assert_eq!(Server::start(data.path()).await.terminate().await, Some(0));
    let mut other = binary();
    other.args(["serve", "--api-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--partitions", "8"]);
    let refused = run(other.env("SPECTRUM_DATA_DIR", data.path())).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("has 64 partitions"), "{}", complaint(&refused));
}

#[tokio::test]
async fn a_migration_can_be_run_again_and_beside_a_server() {
    let data = tempfile::tempdir().expect("a folder");
    let migrate = async || run(binary().arg("migrate").env("SPECTRUM_DATA_DIR", data.path())).await.status.success();
    assert!(migrate().await);
    let server = Server::start(data.path()).await;
    assert!(migrate().await);
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let data = tempfile::tempdir().expect("a folder");
    create_project(data.path()).await;
    let mut other = binary();
    other.args(["project", "list"]).env("SPECTRUM_DATA_DIR", data.path());
    let refused = run(other.env("SPECTRUM_MASTER_KEY", "ab".repeat(32))).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint(&refused).contains("master key"), "{}", complaint(&refused));
}

#[tokio::test]
async fn a_server_describes_its_api_to_anybody_in_the_words_that_are_printed_and_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data")).await;
    let text = async |path: &str| {
        let answer = client().get(format!("{}{path}", server.api)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        String::from_utf8(answer.bytes().await.expect("a body").to_vec()).expect("text")
    };
    let served = text("/openapi.json").await;
    assert_eq!(served, printed(&run(binary().arg("openapi")).await));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    assert_eq!(served, std::fs::read_to_string(committed).expect("the committed copy"));
    assert!(text("/docs").await.contains("/docs/swagger-initializer.js"));
    assert_eq!(server.terminate().await, Some(0));
}
