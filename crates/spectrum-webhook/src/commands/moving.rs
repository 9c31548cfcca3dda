//! `move`: carries a deployment into a cluster. What is done, and in which order, says [`crate::wire::moving`]; here is
//! what a person sees of it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use spectrum_webhook_sql::Carried;

use super::{say, small_runtime};
use crate::cli;
use crate::wire::moving::{Source, Target, now};

/// How often progress is told, at most.
const EVERY: Duration = Duration::from_secs(2);

/// Runs it.
///
/// # Errors
/// When it cannot be done, or something failed on the way: the same command goes on there.
pub(super) fn moving(arguments: cli::Move) -> anyhow::Result<ExitCode> {
    let settings = crate::settings(arguments.flags.clone())?;
    let runtime = small_runtime()?;
    let done = runtime.block_on(async {
        let source = Source::open(&arguments.from, arguments.from_master_key.as_ref(), &settings).await?;
        let done = if arguments.undo {
            undo(&source).await
        } else {
            match Target::open(&settings).await {
                Ok(target) => {
                    let done =
                        if arguments.check { check(&source, &target).await } else { carry(&source, &target).await };
                    let closed = target.close().await;
                    done.and(closed)
                }
                Err(error) => Err(error),
            }
        };
        let closed = source.close().await;
        done.and(closed)
    });
    // What goes on in the background of a service's client is not waited for.
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

async fn undo(source: &Source) -> anyhow::Result<()> {
    if source.undo().await? {
        say("the source may be served again; do not use the target that it was moved into");
    } else {
        say("the source was not moved: there is nothing to undo");
    }
    Ok(())
}

async fn check(source: &Source, target: &Target) -> anyhow::Result<()> {
    let found = target.check(source).await?;
    print(&found, [("queue", source.in_queue().await?, target.in_queue().await?)]);
    say("it can be moved: nothing was changed");
    Ok(())
}

async fn carry(source: &Source, target: &Target) -> anyhow::Result<()> {
    let mut moving = target.begin(source).await?;
    if moving.is_done() {
        say("it was moved already, into this target: there is nothing left to do");
        return Ok(());
    }
    let mut progress = Progress(None);
    while let Some(Carried { table, rows, of }) = moving.carry().await? {
        progress.tell(table, rows, of);
    }
    let in_queue = source.in_queue().await?;
    loop {
        let queued = moving.next_queued().await?;
        if queued.is_empty() {
            break;
        }
        target.publish(&mut moving, queued).await?;
        progress.tell("queue", moving.queued().0, in_queue);
    }
    let records = target.note_records(&moving).await?;
    let marks = target.note_settled(&moving).await?;
    let (published, unreadable) = moving.queued();
    let arrived = target.in_queue().await?;
    if published + unreadable != in_queue || arrived < published {
        bail!(
            "the source's queue has {in_queue} messages, {published} were published and {unreadable} could not be read, \
             and the target's queues have {arrived}: do not use the target; report this"
        );
    }
    let carried = moving.finish(now()).await?;
    print(&carried, [("queue", in_queue, arrived)]);
    say(format_args!("{records} posts are still recognised when they are repeated"));
    if marks > 0 {
        say(format_args!(
            "{marks} deliveries were made whose events wait for other URLs: start a dispatcher within 3 minutes, or they \
             are made again"
        ));
    }
    if unreadable > 0 {
        say(format_args!("{unreadable} messages of the queue could not be read: they are in the quarantine"));
    }
    say("moved: start the target; the source stays as it is, and is not served any more");
    Ok(())
}

/// What left and what arrived, a line each.
fn print(tables: &[Carried], more: [(&'static str, u64, u64); 1]) {
    say(format_args!("{:<14}{:>12}{:>12}", "", "source", "target"));
    let tables = tables.iter().map(|Carried { table, rows, of }| (*table, *of, *rows));
    for (name, source, target) in tables.chain(more) {
        say(format_args!("{name:<14}{source:>12}{target:>12}"));
    }
}

/// Says on stderr how far it is.
struct Progress(Option<(&'static str, Instant)>);

impl Progress {
    fn tell(&mut self, what: &'static str, done: u64, of: u64) {
        let is_told = self.0.is_some_and(|(told, at)| told == what && at.elapsed() < EVERY);
        if !is_told || (done == of && of > 0) {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{what}: {done} of {of}");
            self.0 = Some((what, Instant::now()));
        }
    }
}
