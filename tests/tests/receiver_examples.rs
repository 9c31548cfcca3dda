//! The receivers in `docs/receivers.md` do what the document says: each is taken out of it, run, and sent genuine and
//! forged deliveries. A language that is not on the machine is named on the test's output and passed over.
//!
//! TypeScript runs as it stands where Node.js erases types by itself (22.18 or newer). On an older one the test fetches
//! the compiler from npm, once, into the target folder.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test says what it could not run")]

use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Client, StatusCode};
use spectrum_webhook_core::sign;
use spectrum_webhook_core::webhook::SigningSecret;
use tempfile::TempDir;
use tokio::net::TcpStream;

const DOCUMENT: &str = include_str!("../../docs/receivers.md");
/// The contract's test vector.
const SECRET: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
const OTHER_SECRET: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const VECTOR_BODY: &str = r#"{"event":"messages"}"#;
const VECTOR_TIME: i64 = 1_747_242_392;
const VECTOR_SIGNATURE: &str = "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db";

/// Bodies that change when they are parsed and written again.
const BODIES: [&str; 6] = [
    VECTOR_BODY,
    "{\"event\":\"messages\",\"text\":\"gr\u{fc}\u{df}e \u{1f680} \u{2028}\"}",
    r#"{"event":"messages","text":"\u0041\/\ud83d\ude80\n\u0000"}"#,
    r#"{"event":"messages","text":"\ud800 and \udfff"}"#,
    "\r\n { \"event\" :\t\"messages\" , \"n\" : 1E400, \"n\" : 18446744073709551617, \"f\": 1.0 } \n\n",
    "{\"event\":\"messages\",\"text\":\"\u{feff}\u{7f}\"}",
];

/// How long a tool may take to build or to fetch something.
const BUILD: Duration = Duration::from_secs(180);
/// How long a receiver may take to start.
const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_python_receiver_takes_what_is_genuine_and_nothing_else() {
    if !is_there("python3", "--version") {
        return eprintln!("not run: the Python receiver (no python3 on this machine)");
    }
    let folder = TempDir::new().expect("a folder");
    let program = write(folder.path(), "receiver.py", &block("Python"));
    let mut command = Command::new("python3");
    command.arg(program);
    judge(command).await;
}

#[tokio::test]
async fn the_typescript_receiver_takes_what_is_genuine_and_nothing_else() {
    let Some(node) = Node::find() else { return };
    let folder = TempDir::new().expect("a folder");
    let Some(program) = node.program(folder.path(), "receiver", &block("TypeScript")) else { return };
    judge(node.run(&program)).await;
}

#[tokio::test]
async fn the_go_receiver_takes_what_is_genuine_and_nothing_else() {
    if !is_there("go", "version") {
        return eprintln!("not run: the Go receiver (no go on this machine)");
    }
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "receiver.go", &block("Go"));
    let mut build = Command::new("go");
    build.args(["build", "-o", "receiver", "receiver.go"]).current_dir(folder.path());
    build.env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    assert!(run(build, BUILD).is_some_and(|status| status.success()), "the Go receiver does not compile");
    judge(Command::new(folder.path().join("receiver"))).await;
}

/// It is compiled with this package, from a file that the document shows to the byte.
#[tokio::test]
async fn the_rust_receiver_takes_what_is_genuine_and_nothing_else() {
    assert_eq!(block("Rust"), include_str!("../src/bin/receiver-example.rs"), "the document shows another program");
    judge(Command::new(env!("CARGO_BIN_EXE_receiver-example"))).await;
}

#[test]
fn a_standard_webhooks_library_verifies_with_the_secrets_other_form() {
    let Some(node) = Node::find() else { return };
    let Some(modules) = fetched() else {
        return eprintln!("not run: the Standard Webhooks library (npm cannot fetch it)");
    };
    let folder = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).expect("a link");
    let Some(library) = node.program(folder.path(), "standard", &block("With a Standard Webhooks library")) else {
        return;
    };
    let name = library.file_name().and_then(|name| name.to_str()).expect("a name");
    // The newer key's signature is one of two, as in a rotation's overlap; then one byte of the body is changed.
    let program = format!(
        r#"import {{ verified }} from "./{name}";
import {{ readFileSync }} from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
verified(given.secret, given.headers, given.body);
try {{ verified(given.secret, given.headers, given.body + " "); }} catch {{ process.exit(0); }}
process.exit(1);
"#
    );
    let program = write(folder.path(), "check.mjs", &program);
    let (id, time, body) = ("0198c0de-0000-7000-8000-000000000001", now(), BODIES[2]);
    let signatures = [OTHER_SECRET, SECRET].map(|of| sign::standard(&secret(of), id, time, body.as_bytes()));
    let given = serde_json::json!({
        "secret": secret(SECRET).expose_standard(),
        "headers": {
            "webhook-id": id, "webhook-timestamp": time.to_string(), "webhook-signature": signatures.join(" "),
        },
        "body": body,
    });
    let input = write(folder.path(), "given.json", &given.to_string());
    let mut command = node.run(&program);
    command.stdin(std::fs::File::open(input).expect("the input"));
    assert!(run(command, ANSWER).is_some_and(|status| status.success()), "the library does not verify");
}

#[test]
fn the_documents_test_vector_is_the_contracts() {
    assert_eq!(sign::spectrum(&secret(SECRET), VECTOR_TIME, VECTOR_BODY.as_bytes()), VECTOR_SIGNATURE);
    for part in [SECRET, VECTOR_BODY, VECTOR_SIGNATURE, &VECTOR_TIME.to_string()] {
        assert!(DOCUMENT.contains(&format!("`{part}`")), "the document has no `{part}`");
    }
}

/// One request to a receiver. What is `None` is left out.
struct Delivery<'a> {
    time: Option<String>,
    signature: Option<String>,
    body: &'a [u8],
}

impl<'a> Delivery<'a> {
    fn signed(key: &str, time: i64, body: &'a [u8]) -> Self {
        let signature = sign::spectrum(&secret(key), time, body);
        Self { time: Some(time.to_string()), signature: Some(signature), body }
    }

    fn genuine(body: &'a [u8]) -> Self {
        Self::signed(SECRET, now(), body)
    }
}

/// Starts a receiver and tells it what is genuine from what is not.
async fn judge(command: Command) {
    let receiver = Running::start(command).await;
    let client = client();
    for body in BODIES {
        let answer = receiver.post(&client, &Delivery::genuine(body.as_bytes())).await;
        assert!(answer.is_success(), "{answer} to the genuine {body:?}");
    }
    let largest = [b"{\"event\":\"messages\",\"text\":\"".as_slice(), &vec![b'x'; (1 << 20) - 30], b"\"}"].concat();
    let answer = receiver.post(&client, &Delivery::genuine(&largest)).await;
    assert!(answer.is_success(), "{answer} to a body of 1 MiB");

    let body = VECTOR_BODY.as_bytes();
    let genuine = || Delivery::genuine(body);
    let signature = || genuine().signature.expect("a signature");
    let forged = [
        ("a tampered body", Delivery { body: br#"{"event":"messageS"}"#, ..genuine() }),
        ("a longer body", Delivery { body: br#"{"event":"messages"} "#, ..genuine() }),
        ("no body", Delivery { body: b"", ..genuine() }),
        ("another secret", Delivery::signed(OTHER_SECRET, now(), body)),
        ("the vector as it stands, which is old", Delivery::signed(SECRET, VECTOR_TIME, body)),
        ("a time stamp beyond the tolerance", Delivery::signed(SECRET, now() - 310, body)),
        ("a time stamp from the future", Delivery::signed(SECRET, now() + 330, body)),
        ("a time stamp in milliseconds", Delivery::signed(SECRET, now() * 1_000, body)),
        ("a newer time stamp than was signed", Delivery { time: Some((now() + 5).to_string()), ..genuine() }),
        ("no time stamp", Delivery { time: None, ..genuine() }),
        ("an empty time stamp", Delivery { time: Some(String::new()), ..genuine() }),
        ("a time stamp that is no number", Delivery { time: Some("now".to_owned()), ..genuine() }),
        ("no signature", Delivery { signature: None, ..genuine() }),
        ("an empty signature", Delivery { signature: Some(String::new()), ..genuine() }),
        ("half a signature", Delivery { signature: Some(signature()[..35].to_owned()), ..genuine() }),
        ("a signature without its scheme", Delivery { signature: Some(signature()[3..].to_owned()), ..genuine() }),
        ("a signature outside ASCII", Delivery { signature: Some(format!("{}\u{e9}", signature())), ..genuine() }),
    ];
    for (what, delivery) in forged {
        let answer = receiver.post(&client, &delivery).await;
        let refused = matches!(answer, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST);
        assert!(refused, "{answer} to {what}");
    }
    let answer = receiver.post(&client, &genuine()).await;
    assert!(answer.is_success(), "{answer} to a genuine one after all that");
}

/// A receiver's process; it ends with this.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    async fn start(mut command: Command) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port").port();
        command.env("SECRET", SECRET).env("PORT", port.to_string());
        let mut said = tempfile::tempfile().expect("a file");
        let errors = said.try_clone().expect("the same file");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().expect("a process");
        let mut running = Self { child, port };
        let give_up = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if running.child.try_wait().expect("a status").is_some() || Instant::now() >= give_up {
                let mut text = String::new();
                said.rewind().and_then(|()| said.read_to_string(&mut text)).expect("what it said");
                panic!("the receiver does not listen: {text}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running
    }

    async fn post(&self, client: &Client, delivery: &Delivery<'_>) -> StatusCode {
        let mut request = client
            .post(format!("http://127.0.0.1:{}/", self.port))
            .header("Content-Type", "application/json")
            .header("Content-Length", delivery.body.len())
            .header("X-Spectrum-Event", "messages")
            .header("X-Spectrum-Event-Id", "0198c0de-0000-7000-8000-000000000001")
            .body(delivery.body.to_vec());
        if let Some(time) = &delivery.time {
            request = request.header("X-Spectrum-Timestamp", time);
        }
        if let Some(signature) = &delivery.signature {
            request = request.header("X-Spectrum-Signature", signature);
        }
        request.send().await.expect("an answer").status()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Node.js, and whether it erases types by itself.
struct Node {
    erases_types: bool,
}

impl Node {
    fn find() -> Option<Self> {
        let output = Command::new("node").arg("--version").output().ok().filter(|output| output.status.success());
        let Some(output) = output else {
            eprintln!("not run: the TypeScript examples (no node on this machine)");
            return None;
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        // 23.0 to 23.5 need a flag.
        Some(Self { erases_types: (major, minor) >= (22, 18) && !(major == 23 && minor < 6) })
    }

    /// A file that this Node.js can run.
    fn program(&self, folder: &Path, name: &str, source: &str) -> Option<PathBuf> {
        let source = write(folder, &format!("{name}.mts"), source);
        if self.erases_types {
            return Some(source);
        }
        let Some(modules) = fetched() else {
            eprintln!("not run: the TypeScript examples (this node is older than 22.18, and npm cannot fetch tsc)");
            return None;
        };
        if !folder.join("node_modules").exists() {
            std::os::unix::fs::symlink(&modules, folder.join("node_modules")).expect("a link");
        }
        let mut compile = Command::new("node");
        compile.arg(modules.join("typescript/bin/tsc")).current_dir(folder);
        compile.args(["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]);
        // What erasing types alone cannot do is an error.
        compile.args(["--erasableSyntaxOnly", "--verbatimModuleSyntax"]).arg(&source);
        assert!(run(compile, BUILD).is_some_and(|status| status.success()), "{name} does not compile");
        Some(source.with_extension("mjs"))
    }

    fn run(&self, program: &Path) -> Command {
        let mut command = Command::new("node");
        command.arg(program);
        command
    }
}

/// The folder with the compiler, the types of Node.js and the Standard Webhooks library; `None` when there is no npm,
/// or nothing to fetch them from.
fn fetched() -> Option<PathBuf> {
    const PACKAGES: [&str; 3] = ["typescript@7.0.2", "@types/node@22.20.5", "standardwebhooks@1.1.1"];
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("receiver-examples");
    let (modules, complete) = (folder.join("node_modules"), folder.join("complete"));
    if std::fs::read_to_string(&complete).is_ok_and(|of| of == PACKAGES.join(" ")) {
        return Some(modules);
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    write(&folder, "package.json", "{\"private\":true}");
    let mut install = Command::new("npm");
    install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact"]);
    install.args(PACKAGES).current_dir(&folder);
    if !run(install, BUILD).is_some_and(|status| status.success()) {
        return None;
    }
    write(&folder, "complete", &PACKAGES.join(" "));
    Some(modules)
}

/// Runs a command to its end; `None` when it cannot be run, or takes longer than it may.
fn run(mut command: Command, patience: Duration) -> Option<ExitStatus> {
    let mut child = command.stdout(Stdio::null()).spawn().ok()?;
    let give_up = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a status") {
            return Some(status);
        }
        if Instant::now() >= give_up {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_there(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument);
    run(command, START).is_some_and(|status| status.success())
}

/// The first code block under a heading of the third level.
fn block(heading: &str) -> String {
    let (_, section) = DOCUMENT.split_once(&format!("\n### {heading}\n")).expect("the heading");
    let (_, code) = section.split_once("\n```").expect("a code block");
    let (_, code) = code.split_once('\n').expect("its language");
    let (code, _) = code.split_once("\n```\n").expect("its end");
    format!("{code}\n")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

fn secret(text: &str) -> SigningSecret {
    text.parse().expect("a secret")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_secs()).expect("a time")
}

fn client() -> Client {
    // A second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(ANSWER).build().expect("a client")
}
