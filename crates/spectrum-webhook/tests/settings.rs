//! Settings, as someone at a terminal meets them.

mod common;

use common::{binary, complaint, printed, run};

#[tokio::test]
async fn all_mistakes_are_reported_at_once_and_nothing_starts() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().join("data");
    for command in ["check-config", "serve", "migrate"] {
        let mut wrong = binary();
        wrong.arg(command).env("SPECTRUM_DATA_DIR", &folder).env("SPECTRUM_ALLOW_HTTP", "1");
        wrong.env("SPECTRUM_RETRY_CAP", "10").env("SPECTRUM_MASTER_KEY", "hunter2");
        let output = run(&mut wrong).await;
        let said = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for part in
            ["3 things are wrong", "SPECTRUM_ALLOW_HTTP: `1`", "SPECTRUM_RETRY_CAP: `10`", "SPECTRUM_MASTER_KEY: e"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn what_is_in_effect_is_printed_with_secrets_masked_and_who_set_it() {
    let mut checked = binary();
    checked.args(["check-config", "--retry-cap", "20s"]).env("SPECTRUM_RETRY_CAP", "30s");
    checked.env("SPECTRUM_GRACE", "1m").env("SPECTRUM_OPERATOR_TOKEN", "hunter2-hunter2-hunter2-hunter2-");
    let output = run(&mut checked).await;
    assert!(output.status.success(), "{}", complaint(&output));
    let lines = printed(&output);
    for line in [
        "SPECTRUM_API_LISTEN=127.0.0.1:8080",
        "SPECTRUM_RETRY_CAP=20s  # by flag",
        "SPECTRUM_GRACE=1m  # by environment",
        "SPECTRUM_OPERATOR_TOKEN=(hidden)  # by environment",
    ] {
        assert!(lines.lines().any(|found| found == line), "{line}: {lines}");
    }
    assert!(!lines.contains("hunter2"));
}

#[tokio::test]
async fn the_variables_of_clients_are_no_mistake_where_a_server_starts() {
    let mut checked = binary();
    checked.arg("check-config");
    for name in ["URL", "PROJECT_ID", "PROJECT_SECRET", "PROFILE", "SIGNING_SECRET"] {
        checked.env(format!("SPECTRUM_{name}"), "something");
    }
    let output = run(&mut checked).await;
    assert!(output.status.success(), "{}", complaint(&output));
}

#[tokio::test]
async fn half_a_cluster_is_refused_and_so_are_its_parts_without_one() {
    let urls = [
        ("SPECTRUM_DATABASE_URL", "postgres://h"),
        ("SPECTRUM_AMQP_URL", "amqp://h"),
        ("SPECTRUM_REDIS_URL", "redis://h"),
    ];
    let half = run(binary().arg("serve").envs(urls[..2].to_vec())).await;
    assert!(complaint(&half).contains("SPECTRUM_REDIS_URL is not set"), "{}", complaint(&half));
    let whole = run(binary().arg("serve").envs(urls)).await;
    assert!(complaint(&whole).contains("SPECTRUM_MASTER_KEY: a cluster needs it"), "{}", complaint(&whole));
    for part in ["ingest", "dispatcher"] {
        let alone = run(binary().arg(part)).await;
        assert_eq!(alone.status.code(), Some(2));
        assert!(complaint(&alone).contains("or use `serve`"), "{}", complaint(&alone));
    }
}
