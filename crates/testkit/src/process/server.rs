//! `serve`, `ingest` or `dispatcher` as a process, and other commands of the program.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Client, Disk, Log, Project, Settings};
use crate::services::janitor;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed to stdout.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
}

/// Runs a command of the program to its end.
///
/// # Panics
/// When it cannot be started, or does not end.
pub async fn run(settings: &Settings, folder: &Path, arguments: &[&str]) -> Done {
    run_in(settings, folder, None, arguments).await
}

/// Runs a command and kills it (`kill -9`) as soon as it has printed a line to stderr; what became of it when it ended by
/// itself before that, or without a line.
///
/// # Panics
/// When it cannot be started, or does neither.
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
pub async fn run_and_kill(settings: &Settings, folder: &Path, arguments: &[&str]) -> Option<Done> {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
    let mut command = command(settings, folder, None);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a command");
    let mut errors = BufReader::new(child.stderr.take().expect("its errors"));
    let mut output = child.stdout.take().expect("its output");
    let work = async {
        let mut line = String::new();
        if errors.read_line(&mut line).await.expect("a line") > 0 && !line.starts_with("spectrum-webhook: ") {
            child.kill().await.expect("a kill");
            return None;
        }
        let mut stdout = String::new();
        output.read_to_string(&mut stdout).await.expect("its output");
        errors.read_to_string(&mut line).await.expect("its errors");
        let code = child.wait().await.expect("an exit status").code();
        Some(Done { code, stdout, stderr: line })
    };
    tokio::time::timeout(PATIENCE, work).await.expect("a command that ends")
}

#[expect(clippy::expect_used, reason = "a test fails by panicking")]
async fn run_in(settings: &Settings, folder: &Path, disk: Option<&Disk>, arguments: &[&str]) -> Done {
    let output = command(settings, folder, disk).args(arguments).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("a command that ends").expect("a command");
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program in its environment, inside a disk's namespace when there is one.
fn command(settings: &Settings, folder: &Path, disk: Option<&Disk>) -> Command {
    let mut command = match disk {
        None => Command::new(settings.program()),
        Some(disk) => {
            let [program, namespace, dashes] = disk.inside();
            let mut command = Command::new(program);
            command.args([namespace, dashes]).arg(settings.program());
            command
        }
    };
    command.env_clear().kill_on_drop(true).env("SPECTRUM_DATA_DIR", folder);
    for name in ["PATH", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in settings.iter() {
        command.env(name, value);
    }
    command
}

enum Folder {
    Temporary(TempDir),
    OnDisk(Arc<Disk>, PathBuf),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::OnDisk(_, path) | Self::Given(path) => path,
        }
    }

    fn disk(&self) -> Option<&Disk> {
        if let Self::OnDisk(disk, _) = self { Some(disk) } else { None }
    }
}

struct Running {
    child: Child,
    pid: Pid,
    readers: Vec<JoinHandle<()>>,
}

/// A running server, which can be ended and started again on the same folder and ports. Dropping it kills it; its log
/// is printed when that happens because a test fails.
pub struct Server {
    role: &'static str,
    settings: Settings,
    folder: Folder,
    log: Log,
    running: Option<Running>,
    addresses: Option<(SocketAddr, SocketAddr)>,
}

impl Server {
    /// Starts `serve` with a new folder, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(settings: Settings) -> Self {
        Self::start_as("serve", settings).await
    }

    /// Starts `serve`, `ingest` or `dispatcher`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn start_as(role: &'static str, settings: Settings) -> Self {
        let folder = Folder::Temporary(TempDir::new().expect("a temporary folder"));
        Self::start_in(role, settings, folder).await
    }

    /// Starts it in a folder `data` of a disk, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_on(settings: Settings, disk: &Arc<Disk>) -> Self {
        Self::start_in("serve", settings, Folder::OnDisk(Arc::clone(disk), disk.path().join("data"))).await
    }

    #[expect(clippy::panic, reason = "a test fails by panicking")]
    async fn start_in(role: &'static str, settings: Settings, folder: Folder) -> Self {
        let mut server = Self { role, settings, folder, log: Log::default(), running: None, addresses: None };
        if let Err(code) = server.try_restart().await {
            panic!("the server ended with {code:?} instead of becoming ready");
        }
        server
    }

    /// Starts it where it is expected not to become ready, and waits for its end: its exit code and its log.
    ///
    /// # Panics
    /// When it becomes ready.
    pub async fn refused(settings: Settings, folder: &Path) -> (Option<i32>, String) {
        Self::refused_in("serve", settings, Folder::Given(folder.to_owned())).await
    }

    /// The same for `serve`, `ingest` or `dispatcher` with a folder of its own.
    ///
    /// # Panics
    /// When it becomes ready.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn refused_as(role: &'static str, settings: Settings) -> (Option<i32>, String) {
        Self::refused_in(role, settings, Folder::Temporary(TempDir::new().expect("a temporary folder"))).await
    }

    /// The same in a folder `data` of a disk.
    ///
    /// # Panics
    /// When it becomes ready.
    pub async fn refused_on(settings: Settings, disk: &Arc<Disk>) -> (Option<i32>, String) {
        Self::refused_in("serve", settings, Folder::OnDisk(Arc::clone(disk), disk.path().join("data"))).await
    }

    #[expect(clippy::panic, reason = "a test fails by panicking")]
    async fn refused_in(role: &'static str, settings: Settings, folder: Folder) -> (Option<i32>, String) {
        let mut server = Self { role, settings, folder, log: Log::default(), running: None, addresses: None };
        match server.try_restart().await {
            Err(code) => (code, server.log.tail()),
            Ok(()) => panic!("the server became ready"),
        }
    }

    /// Starts it again after its end, on the same folder and ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it runs, or does not become ready.
    #[expect(clippy::panic, reason = "a test fails by panicking")]
    pub async fn restart(&mut self) {
        if let Err(code) = self.try_restart().await {
            panic!("the server ended with {code:?} instead of becoming ready again");
        }
    }

    /// Starts it and waits until it is ready; the exit code when it ends before that.
    #[expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    async fn try_restart(&mut self) -> Result<(), Option<i32>> {
        assert!(self.running.is_none(), "it runs already");
        let mut settings = self.settings.clone();
        if let Some((api, ops)) = self.addresses {
            settings = settings.set("SPECTRUM_API_LISTEN", api.to_string());
            settings = settings.set("SPECTRUM_OPS_LISTEN", ops.to_string());
        }
        let mut child = command(&settings, self.folder.path(), self.folder.disk())
            .arg(self.role)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a process");
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("a process id");
        janitor::watch(pid.as_raw_nonzero().get().unsigned_abs());
        // The line of an earlier start must not be taken for this one's.
        let start = self.log.add(format!("--- process {} starts", pid.as_raw_nonzero()));
        let stdout = child.stdout.take().expect("its output").into_owned_fd().expect("a pipe");
        let stderr = child.stderr.take().expect("its errors").into_owned_fd().expect("a pipe");
        let readers = vec![self.log.follow(File::from(stdout)), self.log.follow(File::from(stderr))];
        let running = self.running.insert(Running { child, pid, readers });
        let addresses = tokio::select! {
            addresses = self.log.wait_for_since(start, addresses, PATIENCE) => addresses,
            status = running.child.wait() => {
                let code = status.expect("an exit status").code();
                self.ended();
                return Err(code);
            }
        };
        let Some(addresses) = addresses else { panic!("the server does not say where it listens") };
        self.addresses = Some(addresses);
        self.wait_ready().await
    }

    #[expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    async fn wait_ready(&mut self) -> Result<(), Option<i32>> {
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.ops("/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if Instant::now() > deadline => panic!("the server does not become ready"),
                _ => {}
            }
            let Some(running) = &mut self.running else { return Err(None) };
            if let Some(status) = running.child.try_wait().expect("an exit status") {
                self.ended();
                return Err(status.code());
            }
            // Readiness cannot be waited for: it is asked again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client of it, good for all its starts.
    ///
    /// # Panics
    /// When it never said where it listens.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn client(&self) -> Client {
        let (api, ops) = self.addresses.expect("a server that listens");
        Client::new(api, ops)
    }

    /// Where the API listens.
    ///
    /// # Panics
    /// When it never said where it listens.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn api(&self) -> SocketAddr {
        self.addresses.expect("a server that listens").0
    }

    /// Where operations are served.
    ///
    /// # Panics
    /// When it never said where it listens.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn ops(&self) -> SocketAddr {
        self.addresses.expect("a server that listens").1
    }

    /// Takes other settings from its next start on.
    pub fn change(&mut self, change: impl FnOnce(Settings) -> Settings) {
        self.settings = change(self.settings.clone());
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All that it printed.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// `project create` beside the running server.
    ///
    /// # Panics
    /// When there is no project.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn create_project(&self, name: &str) -> Project {
        let done = self.command(&["project", "create", "--name", name]).await;
        let created: Value = serde_json::from_str(&done.stdout).expect("one JSON object");
        let text = |name: &str| created[name].as_str().expect("a text").to_owned();
        Project { id: text("projectId"), secret: text("projectSecret") }
    }

    /// Another command of the program on the same folder, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn command(&self, arguments: &[&str]) -> Done {
        let done = run_in(&self.settings, self.folder.path(), self.folder.disk(), arguments).await;
        assert_eq!(done.code, Some(0), "`{}`: {}{}", arguments.join(" "), done.stdout, done.stderr);
        done
    }

    /// The most memory that it has had so far, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn peak_memory(&self) -> u64 {
        let running = self.running.as_ref().expect("a server that runs");
        let path = format!("/proc/{}/status", running.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).expect("its status");
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak.map(|peak: u64| peak * 1_024).expect("its memory")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it does not run.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("a server that runs");
        // The id is its own until it is reaped, which is done here alone.
        kill_process(running.pid, signal).expect("a signal");
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait().await;
    }

    /// SIGTERM, and waits for the end: its exit code (`None` when a signal ended it), and how long it took.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub async fn terminate(&mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        (self.wait().await.code(), begun.elapsed())
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn wait(&mut self) -> ExitStatus {
        let running = self.running.as_mut().expect("a server that runs");
        let ended = tokio::time::timeout(PATIENCE, running.child.wait()).await;
        let status = ended.expect("an end").expect("an exit status");
        self.ended();
        self.log.add(format!("--- it ended: {status}"));
        status
    }

    /// Reads the rest of its output.
    fn ended(&mut self) {
        if let Some(running) = self.running.take() {
            janitor::forget(running.pid.as_raw_nonzero().get().unsigned_abs());
            for reader in running.readers {
                // A reader that panicked has nothing to add.
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log of a test that failed")]
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // A process that has ended needs none.
            let _ = running.child.start_kill();
        }
        self.ended();
        if std::thread::panicking() {
            eprintln!("the server's log, its last lines:\n{}", self.log.tail());
        }
    }
}

/// The addresses of the line with which a server says that it listens. A dispatcher has no API: whoever asks for it is
/// answered by nobody.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    let ops = address("ops").filter(|_| fields.get("message").and_then(Value::as_str) == Some("listening"))?;
    Some((address("api").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9))), ops))
}
