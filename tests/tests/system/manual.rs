//! The commands of `docs/operating.md`, run by a shell as they stand there, and the queries of `docs/runbooks.md`.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use spectrum_webhook_testkit::process::{Settings, binary};
use spectrum_webhook_testkit::services::shared;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::world::PATIENCE;

fn document(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    std::fs::read_to_string(root.join("docs").join(name)).expect("a document")
}

/// What the runbooks ask the database, in blocks and in lines.
fn queries() -> Vec<String> {
    let runbooks = document("runbooks.md");
    let of = |begin: &str, end: &str| {
        let found = runbooks.split(begin).skip(1).filter_map(|rest| rest.split_once(end));
        found.map(|(query, _)| format!("SELECT{query}")).collect::<Vec<_>>()
    };
    [of("```sql\nSELECT", "\n```"), of("`SELECT", "`")].concat()
}

/// The blocks of a section, in their order.
fn blocks(heading: &str) -> Vec<String> {
    let manual = document("operating.md");
    let (_, section) = manual.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().expect("a section");
    let mut blocks = Vec::new();
    for rest in section.split("```sh\n").skip(1) {
        let (block, _) = rest.split_once("```").expect("the end of a block");
        blocks.push(block.to_owned());
    }
    blocks
}

/// A folder in which someone types, with these settings in the environment.
struct Desk {
    folder: TempDir,
    settings: Settings,
}

impl Desk {
    fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        std::os::unix::fs::symlink(binary(), bin.join("spectrum-webhook")).expect("a link");
        Self { folder, settings }
    }

    fn shell(&self, typed: &str) -> Command {
        let path = std::env::var("PATH").expect("a path");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", typed]).current_dir(self.folder.path()).process_group(0);
        shell.env_clear().env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()));
        shell.envs(self.settings.file().lines().filter_map(|line| line.split_once('=')));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        shell
    }

    /// Whether it succeeds, and what it prints and complains about.
    async fn run(&self, typed: &str) -> (bool, String, String) {
        let output = tokio::time::timeout(PATIENCE, self.shell(typed).output()).await;
        let output = output.unwrap_or_else(|_| panic!("it does not end: {typed}")).expect("a shell");
        let [out, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (output.status.success(), out, errors)
    }

    /// What it prints; it must succeed.
    async fn works(&self, typed: &str) -> String {
        let (succeeds, out, errors) = self.run(typed).await;
        assert!(succeeds, "{typed}\n{out}{errors}");
        out
    }

    /// What ends with a server, until that listens.
    async fn serves(&self, typed: &str) -> Serving {
        assert!(typed.trim_end().ends_with("spectrum-webhook serve"), "{typed}");
        let mut child = self.shell(typed).stdout(Stdio::null()).spawn().expect("a shell");
        let group = Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("a group");
        let mut lines = BufReader::new(child.stderr.take().expect("its errors")).lines();
        let mut said = Vec::new();
        let listens = async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                said.push(line);
                if said.last().is_some_and(|line| line.contains(r#""message":"listening""#)) {
                    return true;
                }
            }
            false
        };
        let listens = tokio::time::timeout(PATIENCE, listens).await;
        assert!(listens == Ok(true), "{typed}\n{}", said.join("\n"));
        let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Serving { shell: child, group, rest: Some(rest) }
    }

    async fn projects(&self, typed: &str) -> usize {
        self.works(&format!("{typed}spectrum-webhook project list")).await.matches("kept").count()
    }
}

/// A shell, and the server that it runs, which end with this.
struct Serving {
    shell: Child,
    group: Pid,
    /// Reads what the two say, until both have ended.
    rest: Option<JoinHandle<()>>,
}

impl Serving {
    async fn stop(mut self) {
        kill_process_group(self.group, Signal::TERM).expect("a signal");
        let rest = self.rest.take().expect("it runs");
        tokio::time::timeout(PATIENCE, rest).await.expect("they end").expect("read to the end");
        self.shell.wait().await.expect("an exit status");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.rest.is_some() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_is_backed_up_rotated_restored_and_moved_by_the_commands_of_the_manual() {
    let desk = Desk::new(Settings::quick());
    for block in blocks("Before a start") {
        desk.works(&block).await;
    }
    let server = desk.serves("spectrum-webhook serve").await;
    desk.works("spectrum-webhook project create --name kept").await;
    let [backup, restore, ..] = &blocks("Backup and restore")[..] else { panic!("two blocks and more") };
    desk.works(backup).await;
    desk.works("spectrum-webhook project create --name later-and-kept").await;
    let rotation = blocks("Rotating the master key");
    assert_eq!(rotation.len(), 3, "of which two are the same");
    for block in &rotation {
        desk.works(block).await;
    }
    server.stop().await;
    assert_eq!(desk.projects("").await, 2);
    desk.serves(restore).await.stop().await;
    assert_eq!(desk.projects("SPECTRUM_DATA_DIR=restored ").await, 1, "as it was at the backup");

    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let cluster = Settings::quick_cluster(&rabbit.url(), &redis.url(), &postgres.database().await);
    let stack = desk.folder.path().join("target/stack");
    std::fs::create_dir_all(&stack).expect("a folder");
    std::fs::write(stack.join("env"), cluster.file()).expect("settings");
    // The blocks are typed into one shell.
    let moves = blocks("Moving from embedded to a cluster").concat();
    desk.serves(&moves).await.stop().await;
    assert_eq!(desk.projects("set -a; . target/stack/env; set +a; ").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_dumped_and_restored_by_the_commands_of_the_manual() {
    let (rabbit, redis, postgres) = tokio::join!(shared().rabbit(), shared().redis(), shared().postgres());
    let database = postgres.database().await;
    let desk = Desk::new(Settings::quick_cluster(&rabbit.url(), &redis.url(), &database));
    let [_, _, dump, restore] = &blocks("Backup and restore")[..] else { panic!("four blocks") };
    let server = desk.serves("spectrum-webhook serve").await;
    desk.works("spectrum-webhook project create --name kept").await;
    desk.works(dump).await;
    desk.works("spectrum-webhook project create --name later-and-kept").await;
    let (succeeds, _, refused) = desk.run("spectrum-webhook restored").await;
    assert!(!succeeds && refused.contains("dispatchers of this deployment still run (1)"), "{refused}");
    server.stop().await;
    let name = database.rsplit('/').next().expect("a name");
    postgres.execute("/postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    postgres.execute("/postgres", &format!("CREATE DATABASE {name}"));
    let said = desk.works(restore).await;
    let keys = said.split_once(" keys of Redis are deleted").map(|(keys, _)| keys.parse::<u64>());
    assert!(keys.is_some_and(|keys| keys.is_ok_and(|keys| keys > 0)), "{said}");
    desk.serves("spectrum-webhook serve").await.stop().await;
    assert_eq!(desk.projects("").await, 1);
    let queries = queries();
    assert!(queries.len() >= 5, "{queries:?}");
    for query in queries {
        postgres.execute(&database, &query);
    }
}
