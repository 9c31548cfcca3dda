//! `send`: posts events from NDJSON, in order, with a progress bar.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use super::{api, printable, say, small_runtime};
use crate::api_client::{Api, NotTaken, Taken};
use crate::cli::Send;

/// The longest line that is read: above every limit that a server may have.
const LONGEST_LINE: u64 = 64 << 20;
/// A batch is posted when it has so many bytes, however few lines.
const BATCH_SIZE: usize = 4 << 20;
/// Refused lines that are shown one by one.
const SHOWN: usize = 20;
/// Characters of a reason that are shown.
const LONGEST_REASON: usize = 1_000;

/// Posts all lines; ends with 0 when every one was taken.
///
/// # Errors
/// When the input cannot be read, or the server takes nothing for longer than patience lasts.
pub(super) fn send(arguments: Send) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let api = api(&arguments.access)?;
        let (input, size) = open(&arguments.file)?;
        let mut sender = Sender { api, arguments, run: Uuid::new_v4(), progress: progress(size), sum: Sum::default() };
        let sent = sender.all(input).await;
        sender.progress.finish_and_clear();
        if !sender.arguments.json {
            sender.sum.say();
        }
        sent?;
        Ok(if sender.sum.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// What became of the lines.
#[derive(Default)]
struct Sum {
    taken: u64,
    duplicates: u64,
    refused: u64,
    shown: Vec<String>,
    /// The id of the last that was taken.
    last: Option<String>,
}

impl Sum {
    fn add(&mut self, line: u64, outcome: Result<Taken, NotTaken>) {
        match outcome {
            Ok(taken) => {
                self.taken += 1;
                self.duplicates += u64::from(taken.duplicate);
                self.last = Some(taken.id);
            }
            Err(why) => {
                self.refused += 1;
                if self.shown.len() < SHOWN {
                    self.shown.push(format!("line {line}: {}", printable(&why.to_string(), LONGEST_REASON)));
                }
            }
        }
    }

    fn say(&self) {
        for line in &self.shown {
            say(line);
        }
        let more = self.refused.saturating_sub(self.shown.len() as u64);
        if more > 0 {
            say(format_args!("… and {more} more"));
        }
        say(format_args!("{} taken ({} duplicates), {} not", self.taken, self.duplicates, self.refused));
        if let Some(id) = self.last.as_ref().filter(|_| self.taken == 1) {
            say(format_args!("event {id}"));
        }
    }
}

struct Sender {
    api: Api,
    arguments: Send,
    /// Part of every key: a repeat within this run is recognised, the same event in a later run is a new one.
    run: Uuid,
    progress: ProgressBar,
    sum: Sum,
}

impl Sender {
    async fn all(&mut self, mut input: Box<dyn BufRead>) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        let mut number = 0;
        while let Some((read, line)) = next_line(&mut input)? {
            number += 1;
            if !line.trim_ascii().is_empty() {
                match self.arguments.batch {
                    None => self.one(number, line).await?,
                    Some(most) => {
                        batch.push(number, &line);
                        if batch.lines.len() >= usize::from(most) || batch.bytes.len() >= BATCH_SIZE {
                            self.batch(std::mem::take(&mut batch)).await?;
                        }
                    }
                }
            }
            self.progress.inc(read);
            self.progress.set_message(format!("{} taken", self.sum.taken));
        }
        if batch.lines.is_empty() { Ok(()) } else { self.batch(batch).await }
    }

    async fn one(&mut self, number: u64, line: Bytes) -> anyhow::Result<()> {
        let outcome = self.api.post(&format!("{}-{number}", self.run), &line, self.arguments.patience).await;
        if let Err(NotTaken::Unavailable(why)) = &outcome {
            // To go on with the next line would change the order.
            bail!("line {number} was not taken, the lines behind it were not posted: {why}");
        }
        self.add(number, outcome);
        Ok(())
    }

    fn add(&mut self, line: u64, outcome: Result<Taken, NotTaken>) {
        if self.arguments.json {
            say(match &outcome {
                Ok(Taken { id, duplicate }) => json!({ "line": line, "id": id, "duplicate": duplicate }),
                Err(NotTaken::Refused { code, message }) => json!({ "line": line, "code": code, "message": message }),
                Err(NotTaken::Unavailable(why)) => json!({ "line": line, "code": "unavailable", "message": why }),
            });
        }
        self.sum.add(line, outcome);
    }

    async fn batch(&mut self, batch: Batch) -> anyhow::Result<()> {
        let first = batch.lines.first().copied().unwrap_or_default();
        let key = format!("{}-{first}", self.run);
        let posted = self.api.post_batch(&key, &batch.bytes.freeze(), self.arguments.patience).await;
        let outcomes = posted.with_context(|| format!("lines from {first} on were not taken"))?;
        let (results, lines) = (outcomes.len(), batch.lines.len());
        let mut unavailable = None;
        for (line, outcome) in batch.lines.into_iter().zip(outcomes) {
            if let Err(NotTaken::Unavailable(why)) = &outcome {
                unavailable.get_or_insert_with(|| format!("line {line} was not taken: {why}"));
            }
            self.add(line, outcome);
        }
        match unavailable {
            Some(why) => bail!("{why}"),
            None if results != lines => bail!("the server gave {results} results for {lines} lines"),
            None => Ok(()),
        }
    }
}

/// Lines to be posted in one request, and their numbers in the file.
#[derive(Default)]
struct Batch {
    lines: Vec<u64>,
    bytes: BytesMut,
}

impl Batch {
    fn push(&mut self, number: u64, line: &[u8]) {
        self.lines.push(number);
        self.bytes.put_slice(line);
        self.bytes.put_u8(b'\n');
    }
}

/// The next line without its end, and how many bytes were read.
fn next_line(input: &mut Box<dyn BufRead>) -> anyhow::Result<Option<(u64, Bytes)>> {
    let mut line = Vec::new();
    let read = input.take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if read == LONGEST_LINE {
        bail!("a line is longer than 64 MiB");
    }
    Ok(Some((read, line.into())))
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    }
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((Box::new(BufReader::new(file)), size))
}

fn progress(size: Option<u64>) -> ProgressBar {
    let (bar, form) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:40} {percent:>3} %  {msg}  {bytes_per_sec}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}  {bytes_per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
