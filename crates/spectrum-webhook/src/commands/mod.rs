//! One file for each command, or for each noun. Beside them: `output` prints tables and JSON, `lists` reads lists page
//! by page.

mod attempts;
mod backup;
mod check_config;
mod completions;
mod dead_letters;
mod demo;
mod event;
mod health;
mod listen;
mod lists;
mod migrate;
mod moving;
mod openapi;
mod output;
mod project;
mod replay;
mod rotate_master_key;
mod send;
mod serve;
mod tail;
mod verify;
mod webhook;

use std::process::ExitCode;

use self::output::Output;
use crate::Command;
use crate::access::resolve;
use crate::api_client::{Api, TIMEOUT};
use crate::cli::access::{Access, Common};
use crate::exit::Usage;
use crate::wire::{Between, Role};

/// Runs a command.
///
/// # Errors
/// Why it could not be done; [`crate::config::Mistakes`] for settings.
pub(crate) fn run(command: Command, between: Between) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(flags) => serve::serve(Role::Serve, &crate::settings(flags)?, between),
        Command::Ingest(flags) => serve::serve(Role::Ingest, &crate::settings(flags)?, between),
        Command::Dispatcher(flags) => serve::serve(Role::Dispatcher, &crate::settings(flags)?, between),
        Command::Migrate(flags) => migrate::migrate(&crate::settings(flags)?),
        Command::Backup(arguments) => backup::backup(arguments),
        Command::Restored(flags) => backup::restored(&crate::settings(flags)?),
        Command::Move(arguments) => moving::moving(arguments),
        Command::RotateMasterKey(arguments) => rotate_master_key::rotate_master_key(arguments),
        Command::CheckConfig(arguments) => check_config::check_config(arguments),
        Command::Health(arguments) => health::health(arguments.alive, &crate::settings(arguments.flags)?),
        Command::Project(command) => project::project(command),
        Command::Listen(arguments) => listen::listen(arguments),
        Command::Send(arguments) => send::send(arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Webhook(command) => webhook::webhook(command),
        Command::Event(command) => event::event(command),
        Command::Attempts(arguments) => attempts::attempts(&arguments),
        Command::Tail(arguments) => tail::tail(&arguments),
        Command::DeadLetters(command) => dead_letters::dead_letters(command),
        Command::Replay(command) => replay::replay(command),
        Command::Completions { shell } => completions::completions(shell),
        Command::Openapi => openapi::openapi(),
        Command::Demo(arguments) => demo::demo(&arguments),
    }
}

/// A runtime for commands that are clients or do one thing.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// An HTTP client, which goes to the host that was named and nowhere else.
fn client(timeout: std::time::Duration) -> anyhow::Result<reqwest::Client> {
    // A second call finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    Ok(builder.connect_timeout(std::time::Duration::from_secs(10)).timeout(timeout).build()?)
}

/// The API that a command is for.
///
/// # Errors
/// When it is not known which one, or as whom to ask.
fn api(access: &Access) -> anyhow::Result<Api> {
    let server = resolve(access, &|name| std::env::var(name).ok())?;
    let api = Api::new(client(TIMEOUT)?, server.url, server.project, server.credentials);
    api.map_err(|error| Usage(error.to_string()).into())
}

/// Runs a command that is a client of the API.
fn with_api(common: &Common, work: impl AsyncFnOnce(&Api, &Output) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let api = api(&common.access)?;
    let output = Output::new(common.json);
    small_runtime()?.block_on(work(&api, &output)).map(|()| ExitCode::SUCCESS)
}

/// Prints a line on the standard output; a reader that is gone (`| head`) ends the program quietly.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Listens for SIGTERM and SIGINT from now on; the future returns at the next of them, with its name.
///
/// # Errors
/// When signals cannot be listened to.
fn asked_to_end() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Text of unknown origin for a terminal: no control characters, and no more than `most` characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}
