//! The services of a cluster on this machine, from the installed programs: what a contributor without containers uses.
//!
//! - `stack up` starts them in the background, empty, and writes where they are to `target/stack/env`;
//! - `stack down` stops them, and forgets what they held;
//! - `stack run -- command …` starts private ones, runs the command with their settings, and stops them again.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use spectrum_webhook_testkit::services::{Postgres, PostgresSetup, Rabbit, RabbitSetup, Redis, RedisSetup};

/// How long the services may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from).join("stack")
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match (arguments.next().as_deref(), arguments.next().as_deref()) {
        (Some("up"), None) => up(&folder()),
        (Some("down"), None) => down(&folder()),
        (Some("hold"), None) => hold(&folder()),
        (Some("run"), Some("--")) => return run(arguments.collect()),
        _ => Err("usage: stack up | stack down | stack run -- command arguments…".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("stack: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Running services, and the settings that name them.
struct Stack {
    _services: (Rabbit, Redis, Postgres),
    settings: BTreeMap<&'static str, String>,
}

fn start() -> Stack {
    let (rabbit, redis, postgres) = std::thread::scope(|scope| {
        let rabbit = scope.spawn(|| Rabbit::launch(&RabbitSetup::default()));
        let postgres = scope.spawn(|| Postgres::launch(&PostgresSetup::default()));
        let redis = Redis::launch(&RedisSetup::default());
        match (rabbit.join(), postgres.join()) {
            (Ok(rabbit), Ok(postgres)) => (rabbit, redis, postgres),
            _ => std::process::exit(1),
        }
    });
    let key = [(); 2].map(|()| uuid::Uuid::new_v4().simple().to_string()).concat();
    let settings = BTreeMap::from([
        ("SPECTRUM_AMQP_URL", rabbit.url()),
        ("SPECTRUM_REDIS_URL", redis.url()),
        ("SPECTRUM_DATABASE_URL", postgres.url_of("postgres")),
        ("SPECTRUM_MASTER_KEY", key),
    ]);
    Stack { _services: (rabbit, redis, postgres), settings }
}

fn run(command: Vec<String>) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        eprintln!("stack: which command?");
        return ExitCode::FAILURE;
    };
    println!("starting RabbitMQ, Redis and PostgreSQL on free ports …");
    let stack = start();
    let status = Command::new(program).args(arguments).envs(&stack.settings).status();
    drop(stack);
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("stack: {program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The process that holds the services, if it runs: its id is checked against its name, for ids are used again.
fn holder(folder: &Path) -> Option<Pid> {
    let id = std::fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()?;
    let name = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let holds = name.split(|byte| *byte == 0).nth(1) == Some(b"hold");
    Pid::from_raw(id).filter(|_| holds)
}

fn up(folder: &Path) -> Result<(), String> {
    if holder(folder).is_some() {
        return Err("it is up already: `make down` stops it".to_owned());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let env = folder.join("env");
    let _ = std::fs::remove_file(&env);
    let log = std::fs::File::create(folder.join("log")).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("hold")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    std::fs::write(folder.join("pid"), child.id().to_string()).map_err(failed)?;
    println!("starting RabbitMQ, Redis and PostgreSQL on free ports …");
    let begun = Instant::now();
    while !env.exists() {
        if child.try_wait().map_err(failed)?.is_some() || begun.elapsed() > PATIENCE {
            return Err(format!("they did not start: {} says why", folder.join("log").display()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("up. Start any number of servers with their settings, for example");
    println!();
    println!("    set -a; . {}; set +a", env.display());
    println!("    cargo run --release -p spectrum-webhook -- serve");
    println!();
    println!("or, in terminals of their own, `ingest` and `dispatcher` with ports of their own");
    println!("(--api-listen, --ops-listen). `make down` stops the services and forgets what they hold.");
    Ok(())
}

fn down(folder: &Path) -> Result<(), String> {
    let Some(holder) = holder(folder) else { return Err("it is not up".to_owned()) };
    kill_process(holder, Signal::TERM).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    while test_kill_process(holder).is_ok() {
        if begun.elapsed() > PATIENCE {
            return Err("it does not stop".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = std::fs::remove_file(folder.join("env"));
    let _ = std::fs::remove_file(folder.join("pid"));
    println!("down");
    Ok(())
}

/// Holds the services until SIGTERM; what is left of them then, the janitor clears away.
fn hold(folder: &Path) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let stack = start();
    let text: String = stack.settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let draft = folder.join("env.new");
    write_private(&draft, &text).map_err(|error| error.to_string())?;
    std::fs::rename(&draft, folder.join("env")).map_err(|error| error.to_string())?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        terminate.recv().await;
        Ok::<_, String>(())
    })?;
    drop(stack);
    Ok(())
}

/// It holds passwords.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
