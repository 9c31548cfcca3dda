//! The binary as a child process.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod log_server;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// Every wait of these tests is bounded by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, without any setting of the machine that the test runs on.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spectrum-webhook"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPECTRUM_") {
            command.env_remove(name);
        }
    }
    // Nor any profile.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("an end in time").expect("a process")
}

/// What a command printed.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What a command complained about.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The next line that satisfies `wanted`, in time.
pub(crate) async fn next_line<R: AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    wanted: impl Fn(&str) -> bool,
) -> Option<String> {
    let search = async {
        while let Some(line) = lines.next_line().await.expect("readable") {
            if wanted(&line) {
                return Some(line);
            }
        }
        None
    };
    tokio::time::timeout(PATIENCE, search).await.expect("a line in time")
}

/// Runs a command on a terminal with so many columns, where this is typed: what the terminal showed, and how it ended.
pub(crate) async fn on_terminal(mut command: Command, columns: u16, typed: &str) -> (String, Option<i32>) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let mut screen = std::fs::File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
    grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("a terminal");
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&screen, size).expect("a terminal's width");
    let name = ptsname(&screen, Vec::new()).expect("a terminal").into_string().expect("a name");
    let end = || Stdio::from(std::fs::File::options().read(true).write(true).open(&name).expect("a terminal"));
    // What is typed ahead waits in the terminal.
    screen.write_all(typed.as_bytes()).expect("typing");
    let mut child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().expect("a process");
    drop(command);
    let reading = tokio::task::spawn_blocking(move || {
        let mut shown = Vec::new();
        // The end of a terminal is an error.
        let _ = screen.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    });
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("an end in time").expect("a status");
    (tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("text"), ended.code())
}

/// A running server.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) api: String,
    pub(crate) ops: String,
    pub(crate) log: Lines<BufReader<ChildStderr>>,
}

impl Server {
    /// On free ports, with holes for this machine.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// The same, with more settings.
    pub(crate) async fn start_with(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = binary()
            .arg("serve")
            .envs(settings.iter().copied())
            .env("SPECTRUM_DATA_DIR", data)
            .env("SPECTRUM_API_LISTEN", "127.0.0.1:0")
            .env("SPECTRUM_OPS_LISTEN", "127.0.0.1:0")
            .env("SPECTRUM_LOG_FORMAT", "json")
            .env("SPECTRUM_ALLOW_HTTP", "true")
            .env("SPECTRUM_ALLOW_NETWORKS", "127.0.0.0/8")
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let line = next_line(&mut log, |line| line.contains("\"listening\"")).await.expect("a server that listens");
        let line: Value = serde_json::from_str(&line).expect("a JSON log");
        let url = |name: &str| format!("http://{}", line[name].as_str().expect("an address"));
        Self { api: url("api"), ops: url("ops"), child, log }
    }

    /// Asks it to end; its exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id().expect("a running server")).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
        let reading = async { while next_line(&mut self.log, |_| true).await.is_some() {} };
        let (status, ()) = tokio::join!(tokio::time::timeout(PATIENCE, self.child.wait()), reading);
        status.expect("an end in time").expect("a status").code()
    }
}

/// A project made by the command line: its id and its secret.
pub(crate) async fn create_project(data: &Path) -> (String, String) {
    let made = run(binary().args(["project", "create", "--name", "first"]).env("SPECTRUM_DATA_DIR", data)).await;
    assert!(made.status.success(), "{}", complaint(&made));
    let made: Value = serde_json::from_slice(&made.stdout).expect("one JSON object");
    let text = |name: &str| made[name].as_str().expect("a string").to_owned();
    assert_eq!(made.as_object().expect("an object").len(), 2);
    (text("projectId"), text("projectSecret"))
}

/// A client of this machine.
pub(crate) fn client() -> reqwest::Client {
    // A second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}

/// A profile file with that mode in a configuration folder.
pub(crate) fn write_profiles(folder: &Path, text: &str, mode: u32) {
    let below = folder.join("spectrum-webhook");
    std::fs::create_dir_all(&below).expect("a folder");
    let file = below.join("profiles.toml");
    std::fs::write(&file, text).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// What a command printed for scripts.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", complaint(output));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// A server with a project.
pub(crate) struct World {
    pub(crate) server: Server,
    /// Its id and its secret.
    pub(crate) project: (String, String),
    _data: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start_with(data.path(), settings).await;
        Self { server, project: create_project(data.path()).await, _data: data }
    }

    /// A client command as someone in the project's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(arguments).env("SPECTRUM_URL", &self.server.api);
        command.env("SPECTRUM_PROJECT_ID", &self.project.0).env("SPECTRUM_PROJECT_SECRET", &self.project.1);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments)).await
    }

    /// Registers a URL; the webhook's id.
    pub(crate) async fn add(&self, url: &str) -> String {
        let added = json(&self.run(&["webhook", "add", url, "--json"]).await);
        added["id"].as_str().expect("an id").to_owned()
    }

    /// Posts an event; its id.
    pub(crate) async fn post(&self, name: &str) -> String {
        let (id, secret) = &self.project;
        let call = client().post(format!("{}/projects/{id}/events", self.server.api)).basic_auth(id, Some(secret));
        let answer = call.body(serde_json::json!({ "event": name }).to_string()).send().await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        answer["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// Asks again and again until the answer is the wanted one.
    pub(crate) async fn until(&self, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let answer = json(&self.run(arguments).await);
                if wanted(&answer) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("the answer in time")
    }
}
