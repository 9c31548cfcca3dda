//! `tail`: follows the delivery log.
//!
//! An attempt is logged when it ends and listed by when it started, so the newest lines of the log are not all of the
//! new ones. Each look therefore goes back a while, and what was shown is remembered for as long.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::attempts::{next, number, result};
use super::output::{Output, Tint, note, text};
use super::{asked_to_end, say, with_api};
use crate::api_client::Api;
use crate::api_client::call::CallError;
use crate::cli::attempts::Tail;

/// The wait between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// The longest wait that a server's `Retry-After` makes of it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How far back a look goes: longer than an attempt takes, unless the server's time-out is set above it.
const BACK: Duration = Duration::from_secs(60);
/// Rows of a page.
const PAGE: &str = "200";
/// Pages that a look reads at most; it ends at the first one that has nothing new.
const QUICK: usize = 10;
/// Every so many looks one goes through the whole time.
const THOROUGH_EVERY: u64 = 10;
/// Pages that such a look reads at most.
const THOROUGH: usize = 100;
/// Attempts that are remembered.
const REMEMBERED: usize = 100_000;

/// Prints each attempt as it is logged, until it is interrupted or has its count.
///
/// # Errors
/// When the server is not known, does not answer at first, or refuses. One that is away later is waited for.
pub(super) fn tail(arguments: &Tail) -> anyhow::Result<ExitCode> {
    with_api(&arguments.common, async |api, output| {
        let ended = asked_to_end()?;
        let follow = Follow::new(api, output, arguments);
        tokio::select! {
            done = Box::pin(follow.run()) => done,
            _ = ended => Ok(()),
        }
    })
}

/// An attempt that was not shown yet.
struct New {
    at: Timestamp,
    row: Box<RawValue>,
    attempt: Value,
}

struct Follow<'a> {
    api: &'a Api,
    output: &'a Output,
    arguments: &'a Tail,
    shown: Shown,
    /// By the server's clock.
    now: Timestamp,
    left: u64,
    overrun: bool,
}

impl<'a> Follow<'a> {
    fn new(api: &'a Api, output: &'a Output, arguments: &'a Tail) -> Self {
        let left = arguments.count.unwrap_or(u64::MAX);
        let now = Timestamp::UNIX_EPOCH;
        Self { api, output, arguments, shown: Shown::default(), now, left, overrun: false }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        self.now = self.api.page("attempts", &[("limit", "1".to_owned())], Duration::ZERO).await?.read_at;
        // What is there is not news.
        self.look(true, &mut Vec::new()).await?;
        note("following; Ctrl-C ends");
        let mut away = false;
        for looks in 1.. {
            let mut wait = EVERY;
            let mut news = Vec::new();
            let looked = self.look(looks % THOROUGH_EVERY == 0, &mut news).await;
            news.sort_by_key(|new| new.at);
            for new in news {
                self.show(&new);
                self.left -= 1;
                if self.left == 0 {
                    return Ok(());
                }
            }
            match looked {
                Ok(()) => away = false,
                Err(error) if error.passes() => {
                    if !away {
                        note(format_args!("{error}; waiting for it"));
                    }
                    away = true;
                    if let CallError::Refused { retry_after: Some(millis), .. } = error {
                        wait = Duration::from_millis(millis).clamp(EVERY, LONGEST_WAIT);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Adds what is new to `news`; what it found before it failed is there too.
    async fn look(&mut self, thorough: bool, news: &mut Vec<New>) -> Result<(), CallError> {
        let from = self.now.checked_sub(BACK).unwrap_or(Timestamp::MIN);
        self.shown.forget_before(from);
        let mut query = vec![("from", from.to_string()), ("limit", PAGE.to_owned())];
        query.extend(self.arguments.webhook.map(|id| ("webhook", id.to_string())));
        query.extend(self.arguments.failed.then(|| ("outcome", "failed".to_owned())));
        let first = query.len();
        for _ in 0..if thorough { THOROUGH } else { QUICK } {
            let page = self.api.page("attempts", &query, Duration::ZERO).await?;
            self.now = page.read_at;
            let before = news.len();
            news.extend(page.rows.into_iter().filter_map(|row| self.shown.add(row)));
            let Some(next) = page.next.filter(|_| thorough || news.len() > before) else { return Ok(()) };
            query.truncate(first);
            query.push(("cursor", next));
        }
        if !std::mem::replace(&mut self.overrun, true) {
            note("there are more attempts than can be followed, some are left out: --webhook or --failed shows fewer");
        }
        Ok(())
    }

    fn show(&self, New { row, attempt, .. }: &New) {
        if self.output.json {
            say(row);
            return;
        }
        let [started, webhook, kind, event] =
            ["startedAt", "webhookId", "eventType", "eventId"].map(|name| text(attempt, name));
        let (number, result, took) = (number(attempt), result(attempt), text(attempt, "totalMs"));
        let outcome = Tint::of(&text(attempt, "outcome"));
        let next = if outcome == Tint::Good { String::new() } else { format!(", next: {}", next(attempt)) };
        let response = if attempt["response"].is_null() { String::new() } else { text(attempt, "response") };
        let line =
            format!("{started} {webhook} {kind} {event} attempt {number}: {result} in {took} ms{next}  {response}");
        self.output.cut_line(line.trim_end(), outcome);
    }
}

/// What was shown, for as long as it can be listed again.
#[derive(Default)]
struct Shown {
    attempts: BTreeSet<(Timestamp, String)>,
    /// What started earlier counts as shown.
    since: Timestamp,
}

impl Shown {
    /// The attempt, if it is a new one.
    fn add(&mut self, row: Box<RawValue>) -> Option<New> {
        let attempt: Value = serde_json::from_str(row.get()).ok()?;
        let at: Timestamp = attempt["startedAt"].as_str()?.parse().ok()?;
        let key = ["webhookId", "eventId", "resendId", "attempt"].map(|name| text(&attempt, name)).join(" ");
        if at < self.since || !self.attempts.insert((at, key)) {
            return None;
        }
        while self.attempts.len() > REMEMBERED
            && let Some((oldest, _)) = self.attempts.pop_first()
        {
            self.since = self.since.max(oldest);
        }
        Some(New { at, row, attempt })
    }

    fn forget_before(&mut self, moment: Timestamp) {
        self.attempts = self.attempts.split_off(&(moment, String::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(second: i64, number: usize) -> Box<RawValue> {
        let at = Timestamp::from_second(second).expect("a moment");
        let text = format!(r#"{{"startedAt":"{at}","webhookId":"w","eventId":"e","attempt":{number}}}"#);
        RawValue::from_string(text).expect("JSON")
    }

    #[test]
    fn an_attempt_is_new_once_also_when_it_started_before_others_that_were_shown() {
        let mut shown = Shown::default();
        assert!(shown.add(row(100, 2)).is_some());
        assert!(shown.add(row(90, 1)).is_some());
        assert!(shown.add(row(100, 2)).is_none());
        shown.forget_before(Timestamp::from_second(95).expect("a moment"));
        assert!(shown.add(row(100, 2)).is_none());
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_what_is_forgotten_is_not_shown_again() {
        let mut shown = Shown::default();
        for number in 0..=REMEMBERED {
            assert!(shown.add(row(1_000 + number as i64, number)).is_some());
        }
        assert_eq!(shown.attempts.len(), REMEMBERED);
        shown.add(row(500_000, 0));
        assert!(shown.add(row(1_000, 0)).is_none());
    }
}
