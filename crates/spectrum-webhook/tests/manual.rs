//! The examples of `docs/cli.md`, as they stand there.

mod common;

use std::path::Path;
use std::process::Stdio;

use axum::http::StatusCode;
use common::{PATIENCE, Server, binary, complaint, create_project, json, printed, run, write_profiles};
use spectrum_webhook_receiver::{Always, Receiver, Reply};
use tokio::process::Command;

/// The blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let behind = text.split(&fence).skip(1);
    behind.filter_map(|rest| rest.split_once("\n```")).map(|(block, _)| block.to_owned()).collect()
}

#[tokio::test]
async fn every_example_of_the_manual_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/cli.md")).expect("the manual");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data).await;
    let (project, secret) = create_project(&data).await;

    // A receiver that refuses the first event, and takes the others.
    let receiver = Receiver::on_loopback(Always(Reply::status(StatusCode::BAD_REQUEST))).expect("a receiver");

    // The profile file of the manual, with this server in it.
    let profiles = blocks(&text, "toml").concat();
    let mut mine = profiles.clone();
    for (value, real) in
        [("http://127.0.0.1:8080", &server.api), ("0198c0de-0000-7000-8000-000000000000", &project), ("5f2c…", &secret)]
    {
        assert!(profiles.contains(value), "{value}");
        mine = mine.replace(value, real);
    }
    write_profiles(folder.path(), &mine, 0o600);
    let mut add = binary();
    add.args(["webhook", "add", "--json"]).env("XDG_CONFIG_HOME", folder.path());
    add.arg(receiver.url("/"));
    let webhook = json(&run(&mut add).await)["id"].as_str().expect("an id").to_owned();
    let mut list = binary();
    let list = list.args(["dead-letters", "list", "--json"]).env("XDG_CONFIG_HOME", folder.path());
    let mut post = Command::new("sh");
    let post =
        post.args(["-ec", "echo '{\"event\":\"bad\"}' | \"$0\" send"]).arg(env!("CARGO_BIN_EXE_spectrum-webhook"));
    assert!(run(post.env("XDG_CONFIG_HOME", folder.path())).await.status.success());
    let died = async {
        loop {
            if let Some(id) = json(&run(list).await)[0]["id"].as_str() {
                return id.to_owned();
            }
        }
    };
    let letter = tokio::time::timeout(PATIENCE, died).await.expect("a dead letter in time");
    receiver.behave(Always(Reply::ok()));

    let binary = Path::new(env!("CARGO_BIN_EXE_spectrum-webhook"));
    let path =
        format!("{}:{}", binary.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let examples: Vec<String> =
        blocks(&text, "sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(examples.len() > 5, "{examples:?}");
    for example in examples {
        let mut shell = Command::new("sh");
        shell.args(["-ec", &example]).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SPECTRUM_") {
                shell.env_remove(name);
            }
        }
        shell.env("PATH", &path).env("XDG_CONFIG_HOME", folder.path()).env("WEBHOOK", &webhook);
        shell.env("EVENT", &letter).env("LETTER", &letter);
        let output = run(&mut shell).await;
        assert!(output.status.success(), "{example}: {}{}", printed(&output), complaint(&output));
    }
    assert_eq!(server.terminate().await, Some(0));
}
