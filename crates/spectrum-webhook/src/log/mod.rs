//! The log, on the standard error output: what happens, a line each. Its fields and its events are in `docs/logs.md`;
//! how long a line may be, and what may be in it, [`mod@line`] sees to.

mod line;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use self::line::Lines;
use crate::config::LogFormat;

/// What is never logged in more detail than this, whatever the setting says: below `info` the AMQP client prints the
/// frames of its handshake, with the password in them. What the broker closes it tells at `error`, also a channel that was
/// made to find out whether it would; why a connection or a call ended is in our own lines.
const QUIET: &str = "lapin=info,lapin::channel=off,lapin::channels=info,amq_protocol=info";

/// Starts the log. From here on a panic is a line of it too.
///
/// # Errors
/// When the filter is none, or a log was started before.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{filter},{QUIET}"))?;
    let colours = format == LogFormat::Text && std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines { format, colours });
    let started = match format {
        LogFormat::Text => log.with_ansi(colours).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    log_panics();
    Ok(())
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        tracing::error!(
            what = panic.payload_as_str().unwrap_or_default(),
            location = panic.location().map(tracing::field::display),
            backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
            "a panic"
        );
    }));
}
