//! `webhook`, and what all clients of the API share: credentials, profiles, output, exit codes.

mod common;

use common::{World, binary, complaint, json, on_terminal, printed, run, write_profiles};
use serde_json::json;

const TOKEN: &str = "an-operators-token-of-32-letters";

#[tokio::test]
async fn a_webhook_is_registered_changed_and_removed_and_its_secrets_are_shown_once() {
    let world = World::start(&[]).await;
    let url = "http://127.0.0.1:9/a?b=%7E&c";
    let added = world.run(&["webhook", "add", url, "--event-type", "one", "--event-type", "two", "--json"]).await;
    let webhook = json(&added);
    assert_eq!((&webhook["webhookUrl"], &webhook["eventTypes"]), (&json!(url), &json!(["one", "two"])));
    assert!(complaint(&added).contains("not shown again"), "{}", complaint(&added));
    let (id, secret) = (webhook["id"].as_str().expect("an id"), webhook["signingSecret"].as_str().expect("a secret"));

    let second = world.run(&["webhook", "add", "http://127.0.0.1:9/second"]).await;
    let shown = printed(&second);
    assert!(second.status.success() && complaint(&second).contains("not shown again"), "{}", complaint(&second));
    assert!(shown.lines().any(|line| line.starts_with("signingSecret ")), "{shown}");

    let listed = json(&world.run(&["webhook", "list", "--json"]).await);
    assert_eq!((&listed[0]["id"], listed.as_array().map(Vec::len)), (&json!(id), Some(2)));
    let listed = printed(&world.run(&["webhook", "list"]).await);
    let line = listed.lines().find(|line| line.contains(id)).expect("a line");
    assert!(line.contains("enabled") && line.contains("one, two") && line.trim_end().ends_with(url), "{listed}");
    assert!(!listed.contains(secret) && !listed.contains('\u{1b}'), "{listed}");

    let disabled = json(&world.run(&["webhook", "disable", id, "--json"]).await);
    assert_eq!((&disabled["status"], &disabled["disabledReason"]), (&json!("disabled"), &json!("manual")));
    assert!(printed(&world.run(&["webhook", "list"]).await).contains("disabled (manual)"));
    assert_eq!(json(&world.run(&["webhook", "enable", id, "--json"]).await)["enabled"], json!(true));
    let all = ["webhook", "set", id, "--all-event-types", "--webhook-url", "http://127.0.0.1:9/other", "--json"];
    let changed = json(&world.run(&all).await);
    assert_eq!((&changed["eventTypes"], &changed["webhookUrl"]), (&json!(null), &json!("http://127.0.0.1:9/other")));

    let rotated = world.run(&["webhook", "rotate", id, "--overlap", "0s", "--json"]).await;
    assert!(complaint(&rotated).contains("not shown again"));
    let rotated = json(&rotated);
    assert_eq!(rotated["previousSecretExpiresAt"], json!(null));
    assert_ne!(rotated["signingSecret"], webhook["signingSecret"]);

    assert_eq!(json(&world.run(&["webhook", "remove", id, "--json"]).await), json!({ "id": id }));
    assert_eq!(json(&world.run(&["webhook", "list", "--json"]).await).as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn only_a_terminal_gets_colours_and_lines_of_its_width_and_nobody_who_asks_for_none() {
    let world = World::start(&[]).await;
    let url = format!("http://127.0.0.1:9/{}", "a".repeat(100));
    let id = json(&world.run(&["webhook", "add", &url, "--json"]).await)["id"].as_str().expect("an id").to_owned();
    json(&world.run(&["webhook", "disable", &id, "--json"]).await);
    let (shown, code) = on_terminal(world.command(&["webhook", "list"]), 130, "").await;
    let line = shown.lines().find(|line| line.contains(&id)).expect("a line");
    assert!(code == Some(0) && line.starts_with("\u{1b}[31m") && line.ends_with("a…\u{1b}[0m"), "{shown}");
    let visible = line.trim_start_matches("\u{1b}[31m").trim_end_matches("\u{1b}[0m").chars().count();
    assert!((120..=130).contains(&visible), "{visible}: {shown}");
    let mut plain = world.command(&["webhook", "list"]);
    plain.env("NO_COLOR", "1");
    let (shown, _) = on_terminal(plain, 130, "").await;
    assert!(shown.contains("a…") && !shown.contains('\u{1b}'), "{shown}");
    // What is no terminal gets everything.
    let shown = printed(&world.run(&["webhook", "list"]).await);
    assert!(shown.contains(&url) && !shown.contains('\u{1b}'), "{shown}");
}

#[tokio::test]
async fn scripts_can_tell_by_the_exit_code_what_happened() {
    let world = World::start(&[]).await;
    let id = uuid::Uuid::nil().to_string();
    let code = async |arguments: &[&str]| {
        let output = world.run(arguments).await;
        assert!(output.stdout.is_empty(), "{}", printed(&output));
        (output.status.code(), complaint(&output))
    };
    let (refused, said) = code(&["webhook", "add", "ftp://example.com/", "--json"]).await;
    assert!(refused == Some(3) && said.contains("invalid_url: "), "{said}");
    let (missing, said) = code(&["webhook", "remove", &id]).await;
    assert!(missing == Some(4) && said.contains("not_found: "), "{said}");
    let (wrong, said) = code(&["webhook", "list", "--secret", "hunter2"]).await;
    assert!(wrong == Some(3) && said.contains("unauthorized: ") && !said.contains("hunter2"), "{said}");
    for usage in
        [&["webhook", "list", "--project", "x"][..], &["webhook", "remove"], &["webhook", "list", "--profile", "x"]]
    {
        assert_eq!(code(usage).await.0, Some(2), "{usage:?}");
    }
    // Bound and not listening: nobody answers there.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let nobody = format!("http://{}", socket.local_addr().expect("an address"));
    let (away, said) = code(&["webhook", "list", "--url", &nobody]).await;
    assert!(away == Some(1) && said.contains(&nobody) && said.contains("does not answer"), "{said}");
    // Something that is no such API.
    let (other, said) = code(&["webhook", "list", "--url", &format!("{}/metrics", world.server.ops)]).await;
    assert!(other == Some(1) && said.contains("no answer of this API"), "{said}");
}

#[tokio::test]
async fn a_profile_names_the_server_and_who_asks_and_a_file_that_others_may_read_is_refused() {
    let world = World::start(&[("SPECTRUM_OPERATOR_TOKEN", TOKEN)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (id, secret) = &world.project;
    let api = &world.server.api;
    let text = format!(
        "[default]\nurl = '{api}'\nproject = '{id}'\nsecret = '{secret}'\n[ops]\nurl = '{api}'\noperator_token = '{TOKEN}'\n"
    );
    let ask = async |arguments: &[&str]| {
        let mut command = binary();
        command.args(["webhook", "list", "--json"]).args(arguments);
        run(command.env("XDG_CONFIG_HOME", folder.path())).await
    };
    write_profiles(folder.path(), &text, 0o644);
    let refused = ask(&[]).await;
    let said = complaint(&refused);
    assert!(refused.status.code() == Some(2) && said.contains("chmod 600") && !said.contains(secret), "{said}");
    write_profiles(folder.path(), &text, 0o600);
    assert_eq!(json(&ask(&[]).await), json!([]));
    assert_eq!(json(&ask(&["--profile", "ops", "--project", id]).await), json!([]));
    let nobody = ask(&["--profile", "ops"]).await;
    assert!(nobody.status.code() == Some(2) && complaint(&nobody).contains("--project"), "{}", complaint(&nobody));
    let overridden = ask(&["--secret", "wrong"]).await;
    assert_eq!(overridden.status.code(), Some(3));
}

#[tokio::test]
async fn help_shows_no_secret_of_the_environment() {
    let mut help = binary();
    help.args(["webhook", "add", "--help"]).env("SPECTRUM_PROJECT_SECRET", "hunter2");
    let shown = printed(&run(help.env("SPECTRUM_OPERATOR_TOKEN", "hunter2")).await);
    assert!(shown.contains("SPECTRUM_PROJECT_SECRET") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn shells_get_completions_of_all_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&run(binary().args(["completions", shell])).await);
        for word in ["dead-letters", "rotate", "attempts"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
