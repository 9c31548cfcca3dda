//! `listen`: a local receiver that verifies and prints each delivery, and fails on request.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use spectrum_webhook_receiver::{Behaviour, Key, Options, Receiver, Recorded, Reply, TOLERANCE, verify};

use super::{asked_to_end, printable, say, small_runtime};
use crate::cli::Listen;

/// Requests that are remembered, for `--fail-first`.
const REMEMBERED: usize = 10_000;
/// What sending the last answer may take, beyond the delay that was asked for.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// Characters of a body that are printed.
const SHOWN: usize = 2_000;

/// Receives until it is interrupted, or has its count.
///
/// # Errors
/// When the secret is malformed or the address cannot be had.
pub(super) fn listen(arguments: Listen) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let ended = asked_to_end()?;
        let key = arguments.secret.as_deref().map(Key::of).transpose()?;
        let listener = std::net::TcpListener::bind(arguments.listen)
            .with_context(|| format!("cannot listen on {}", arguments.listen))?;
        let count = arguments.count;
        let last_answer = if arguments.hang { Duration::ZERO } else { arguments.delay.saturating_add(LAST_ANSWER) };
        let answers = Answers { key, arguments };
        let options = Options { capacity: REMEMBERED, ..Options::default() };
        let receiver = Receiver::start(listener, None, Arc::new(answers), options)?;
        say(format_args!("listening on http://{}/", receiver.address()));
        let enough = receiver.wait_until(
            |memory| count.is_some_and(|count| memory.total() >= count),
            Duration::from_secs(u64::from(u32::MAX)),
        );
        tokio::pin!(ended);
        tokio::select! {
            _ = enough => {}
            _ = &mut ended => return Ok(ExitCode::SUCCESS),
        }
        // The last delivery is counted when it has come: its answer is still to be sent.
        tokio::select! {
            () = receiver.finish(last_answer) => {}
            _ = ended => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

struct Answers {
    key: Option<Key>,
    arguments: Listen,
}

impl Behaviour for Answers {
    fn reply(&self, request: &Recorded) -> Reply {
        let asked = &self.arguments;
        let failing = request.nth_for_event <= asked.fail_first;
        let status = if failing { 500 } else { asked.status };
        let said = if asked.hang { "no answer".to_owned() } else { status.to_string() };
        say(format_args!("{}  -> {said}", self.line(request)));
        if asked.body {
            let text = String::from_utf8_lossy(&request.body);
            say(format_args!("    {}", printable(&text, SHOWN)));
        }
        if asked.hang {
            return Reply::hang();
        }
        Reply::status(StatusCode::from_u16(status).unwrap_or(StatusCode::OK)).after(asked.delay)
    }
}

impl Answers {
    /// What is said of a request: when, what, which, whether it is genuine.
    fn line(&self, request: &Recorded) -> String {
        let time = jiff::Timestamp::try_from(request.wall).unwrap_or_default();
        let header = |name: &str| printable(request.headers.get(name).unwrap_or("-"), 64);
        let event = printable(request.event_id().unwrap_or("-"), 64);
        let kind = header("x-spectrum-event");
        let attempt = header("x-spectrum-attempt");
        let verdict = match &self.key {
            None => "not verified (no --secret)".to_owned(),
            Some(key) => match verify(key, &request.headers, &request.body, request.wall, TOLERANCE) {
                Ok(()) => "verified".to_owned(),
                Err(problems) => {
                    let said: Vec<String> =
                        problems.iter().map(|problem| printable(&problem.to_string(), 300)).collect();
                    format!("NOT GENUINE: {}", said.join("; "))
                }
            },
        };
        let path = printable(&request.path, 100);
        format!("{time:.3} {path} {kind} {event} attempt {attempt}, {} bytes, {verdict}", request.body.len())
    }
}
