//! Times, numbers and states, as they are shown. What templates call takes values and references alike.

use std::borrow::Borrow;
use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Next};
use spectrum_webhook_core::explain::{self, Code, StateCode};
use spectrum_webhook_core::ids::ProjectId;
use spectrum_webhook_core::ports::{Line, ReplayState, WebhookFacts};
use spectrum_webhook_core::rates::Outcome;
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

/// HTML that was made here, of what was escaped.
#[derive(Clone, Default)]
pub(crate) struct Html(pub(crate) String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

/// Text, made harmless.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or_default()
}

/// A moment to the millisecond, for machines: `2026-01-02T03:04:05.678Z`.
pub(crate) fn iso(at: Millis) -> String {
    format!("{:.3}", timestamp(at))
}

/// A moment to the second, for people, in UTC: `2026-01-02 03:04:05`.
fn plain(at: Millis) -> String {
    let iso = iso(at);
    let (date, time) = iso.split_once('T').unwrap_or((&iso, ""));
    format!("{date} {}", time.get(..8).unwrap_or_default())
}

/// A moment. The script shows it in the reader's own time.
pub(crate) fn when(at: impl Borrow<Millis>) -> Html {
    let at = *at.borrow();
    Html(format!(r#"<time datetime="{}">{} UTC</time>"#, iso(at), plain(at)))
}

/// How long ago a moment is, with the moment itself in its title.
pub(crate) fn ago(at: impl Borrow<Millis>, now: impl Borrow<Millis>) -> Html {
    let (at, now) = (*at.borrow(), *now.borrow());
    let (iso, plain) = (iso(at), plain(at));
    Html(format!(r#"<time datetime="{iso}" title="{plain} UTC" data-ago>{}</time>"#, since(now.0.saturating_sub(at.0))))
}

/// The same, or a word for never.
pub(crate) fn maybe_ago(at: &Option<Millis>, now: &Millis, never: &str) -> Html {
    at.map_or_else(|| Html(escape(never)), |at| ago(at, *now))
}

/// To the minute, so that a live page does not change with every second; the script tells the seconds.
fn since(millis: i64) -> String {
    match millis {
        ..-60_000 => format!("in {}", span(-millis)),
        -60_000..0 => "in less than 1 min".to_owned(),
        0..60_000 => "less than 1 min ago".to_owned(),
        _ => format!("{} ago", span(millis)),
    }
}

/// A duration in one unit: `41 ms`, `1.2 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn span(millis: impl Borrow<i64>) -> String {
    let millis = *millis.borrow();
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..10_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        10_000..60_000 => format!("{} s", millis / 1_000),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        3_600_000..86_400_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} d", millis / 86_400_000),
    }
}

/// A duration in milliseconds, or a dash.
pub(crate) fn took(millis: impl Borrow<Option<u32>>) -> String {
    let millis = *millis.borrow();
    millis.map_or_else(|| "–".to_owned(), |millis| span(i64::from(millis)))
}

/// A number with its thousands apart: `12,345`.
pub(crate) fn number(number: impl Borrow<u64>) -> String {
    let number = number.borrow();
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number that is counted up to a bound: `10,000+`.
pub(crate) fn counted(count: impl Borrow<u64>) -> String {
    let count = *count.borrow();
    if count >= Line::MOST { format!("{}+", number(count)) } else { number(count) }
}

/// `1 event`, `12 events`.
pub(crate) fn of(count: impl Borrow<u64>, one: &str, many: &str) -> String {
    let count = *count.borrow();
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", counted(count)) }
}

/// A share in percent. All and nothing are said only where it is so.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if share >= 1.0 => "100 %".to_owned(),
        Some(share) if share > 0.999 => ">99.9 %".to_owned(),
        Some(share) if share <= 0.0 => "0 %".to_owned(),
        Some(share) if share < 0.001 => "<0.1 %".to_owned(),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// The start of an id, by which people tell ids apart: UUIDv7s of one hour begin alike, so it is their end.
pub(crate) fn short(id: &Uuid) -> String {
    let text = id.to_string();
    format!("…{}", &text[text.len() - 8..])
}

/// Bytes: `311 B`, `1.2 KiB`.
pub(crate) fn size(bytes: impl Borrow<u64>) -> String {
    let bytes = *bytes.borrow();
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A state: a word, and a colour that says the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chip {
    pub(crate) word: &'static str,
    /// `good`, `busy`, `warn`, `bad` or `idle`.
    pub(crate) tone: &'static str,
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<span class="chip {}">{}</span>"#, self.tone, self.word)
    }
}

impl HtmlSafe for Chip {}

const fn chip(word: &'static str, tone: &'static str) -> Chip {
    Chip { word, tone }
}

/// How a webhook is. One that has refused its last event for good is not called healthy, although nothing waits for it.
pub(crate) fn state(code: StateCode, facts: &WebhookFacts) -> Chip {
    match code {
        StateCode::Healthy if facts.newest.as_ref().is_some_and(|newest| newest.next == Next::DeadLetter) => {
            chip("Refusing", "bad")
        }
        StateCode::Healthy => chip("Healthy", "good"),
        StateCode::Suspect => chip("Suspect", "warn"),
        StateCode::Outage => chip("Down", "bad"),
        StateCode::Disabled => chip("Disabled", "idle"),
        StateCode::Idle => chip("Idle", "idle"),
    }
}

/// Where a delivery stands.
pub(crate) fn standing(code: Code) -> Chip {
    match code {
        Code::Delivered => chip("Delivered", "good"),
        Code::Waiting => chip("Waiting", "busy"),
        Code::Retrying => chip("Retrying", "warn"),
        Code::Outage => chip("URL down", "bad"),
        Code::SetAside => chip("Set aside", "warn"),
        Code::DeadLetter => chip("Dead letter", "bad"),
        Code::Resent => chip("Sent again", "busy"),
        Code::Discarded => chip("Discarded", "idle"),
        Code::Dropped => chip("Dropped", "idle"),
        Code::Filtered => chip("Not its type", "idle"),
        Code::RegisteredLater => chip("Too early", "idle"),
        Code::Disabled => chip("On hold", "idle"),
        Code::Deleted => chip("Removed", "idle"),
        Code::Unknown => chip("Unknown", "idle"),
    }
}

/// How far a replay is.
pub(crate) fn replay(state: impl Borrow<ReplayState>) -> Chip {
    match state.borrow() {
        ReplayState::Running => chip("Running", "busy"),
        ReplayState::Paused => chip("Paused", "warn"),
        ReplayState::Done => chip("Done", "good"),
        ReplayState::Cancelled => chip("Cancelled", "idle"),
    }
}

/// How an attempt ended.
pub(crate) fn outcome(attempt: &AttemptRecord) -> Chip {
    let status = match attempt.ended {
        Ended::Answered { status, .. } => Some(status),
        Ended::Failed(_) => None,
    };
    match Outcome::of(status) {
        Outcome::Taken => chip("Delivered", "good"),
        Outcome::Refused => chip("Refused", "bad"),
        Outcome::Failed => chip("Failed", "warn"),
        Outcome::Silent => chip("No answer", "warn"),
    }
}

/// A status, or the failure's word.
pub(crate) fn ended(attempt: &AttemptRecord) -> String {
    match attempt.ended {
        Ended::Answered { status, .. } => status.to_string(),
        Ended::Failed(failure) => failure.code().replace('_', " "),
    }
}

/// What came of an attempt, as a sentence.
pub(crate) fn verdict(attempt: &AttemptRecord) -> String {
    let took = span(i64::from(attempt.total_ms));
    match attempt.ended {
        Ended::Answered { status: status @ 200..=299, .. } => {
            format!("The URL took it: it answered {status}, {took} after the attempt began.")
        }
        ended => format!("It failed after {took} because {}.", explain::cause(ended.last())),
    }
}

/// What was to happen next, when the attempt was logged.
pub(crate) fn next(attempt: &AttemptRecord) -> Html {
    let said = match attempt.next {
        Next::Delivered => "Nothing more: it is delivered.",
        Next::Retry(at) => return Html(format!("It is tried again at {}.", when(at))),
        Next::SetAside => "It is set aside: the next events tell whether it or the URL is at fault.",
        Next::Outage(at) => {
            return Html(format!("The URL is down: it is tried again at {}, or after those before it.", when(at)));
        }
        Next::DeadLetter => "It is given up, and kept as a dead letter: a repetition would not help.",
        Next::Disabled => "The webhook is disabled: it waits until the webhook is enabled again.",
        Next::Dropped => "It is dropped with its webhook.",
        Next::Undecided => "Nothing was decided yet when this was logged.",
    };
    Html(said.to_owned())
}

/// A sentence of [`explain`], in which moments are shown as such, and events are led to.
pub(crate) fn sentence(text: &str, project: &ProjectId) -> Html {
    let mut html = String::with_capacity(text.len() * 2);
    let mut rest = text;
    loop {
        let found = rest.char_indices().find_map(|(at, character)| {
            let starts =
                character.is_ascii_hexdigit() && !rest[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
            if !starts {
                return None;
            }
            moment_at(&rest[at..]).map(|(length, shown)| (at, length, shown)).or_else(|| {
                let id = rest.get(at..at + 36).and_then(spectrum_webhook_core::ids::usual)?;
                let link =
                    format!(r#"<a class="id" href="/dashboard/projects/{project}/events/{id}">{}</a>"#, short(&id));
                rest[..at].ends_with("event ").then_some((at, 36, link))
            })
        });
        let Some((at, length, shown)) = found else { break };
        html.push_str(&escape(&rest[..at]));
        html.push_str(&shown);
        rest = &rest[at + length..];
    }
    html.push_str(&escape(rest));
    Html(html)
}

/// A moment at the start of a text, as `2026-01-02T03:04:05Z`.
fn moment_at(text: &str) -> Option<(usize, String)> {
    let text = text.get(..20).filter(|text| text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T'))?;
    let at = text.parse::<Timestamp>().ok()?;
    Some((20, when(Millis(at.as_millisecond())).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_767_323_045_678);

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!((number(0), number(999), number(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((counted(9_999), counted(10_000)), ("9,999".into(), "10,000+".into()));
        assert_eq!(
            (span(41), span(1_250), span(59_999), span(7_200_000)),
            ("41 ms".into(), "1.2 s".into(), "59 s".into(), "2 h".into())
        );
        assert_eq!(
            (percent(Some(0.99951)), percent(Some(1.0)), percent(Some(0.0001)), percent(None)),
            (">99.9 %".into(), "100 %".into(), "<0.1 %".into(), "–".into())
        );
        assert_eq!((size(311), size(2_048)), ("311 B".into(), "2.0 KiB".into()));
    }

    #[test]
    fn a_moment_is_shown_in_utc_and_for_machines() {
        assert_eq!(when(NOW).0, r#"<time datetime="2026-01-02T03:04:05.678Z">2026-01-02 03:04:05 UTC</time>"#);
        assert!(ago(Millis(NOW.0 - 120_000), NOW).0.contains("data-ago>2 min ago<"));
        assert!(ago(Millis(NOW.0 + 9_000), NOW).0.contains(">in less than 1 min<"));
        assert_eq!(ago(NOW, Millis(NOW.0 + 1)).0, ago(NOW, Millis(NOW.0 + 59_999)).0);
    }

    #[test]
    fn a_sentence_leads_to_events_and_shows_moments_and_nothing_else_of_it_is_html() {
        let project = ProjectId(Uuid::from_u128(1));
        let id = "019b7cb2-0000-7000-8000-000000000001";
        let text = format!("<b>Waits</b>; event {id}, is retried at 2026-01-02T03:04:05Z because \"{id}\" & {id}x.");
        let html = sentence(&text, &project).0;
        assert!(
            html.starts_with("&lt;b&gt;Waits&lt;/b&gt;; event <a class=\"id\" href=\"/dashboard/projects/"),
            "{html}"
        );
        assert!(html.contains(r#"<time datetime="2026-01-02T03:04:05.000Z">"#) && html.contains("&quot;"), "{html}");
        assert_eq!(html.matches("<a ").count(), 1, "{html}");
        assert_eq!(sentence("é2026-01-02T03:04:0€", &project).0, "é2026-01-02T03:04:0€");
    }
}
