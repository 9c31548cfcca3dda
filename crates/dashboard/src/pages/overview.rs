//! The deployment as a whole, for an operator: does everything that came in come out, how fast, and what is in the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use spectrum_webhook_core::ids::{ProjectId, WebhookId};
use spectrum_webhook_core::ports::{Counts, Member, Outage, Pace, Scope, Totals, Waiting};
use spectrum_webhook_core::time::Millis;
use tokio::time::Instant;

use super::Answer;
use super::webhook::plots;
use crate::frame::{Frame, Tab, page, part};
use crate::gate::Signed;
use crate::live;
use crate::query::Place;
use crate::state::Shared;
use crate::trouble::Trouble;
use crate::words::{self, Chip, Html};

/// How often a live page looks.
const EVERY: Duration = Duration::from_secs(2);
/// How often it draws its plots anew.
const PLOTS_EVERY: Duration = Duration::from_secs(10);
/// How often what is costly is read, once for all who look on.
const COSTLY_EVERY: Duration = Duration::from_secs(10);
/// A process that has said nothing for so long is silent, in milliseconds: it reports every 5 s.
const SILENT: i64 = 20_000;
/// One that is silent is shown for so long.
const SHOWN: i64 = 600_000;
/// Rows of the lists.
const FEW: u32 = 8;
/// Attempts of the last hour say who is slow.
const HOUR: i64 = 3_600_000;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    place: Place,
    books_part: Html,
    now_part: Html,
    plots_part: Html,
}

#[derive(Template)]
#[template(path = "overview_books.html")]
struct BooksPart {
    totals: Totals,
    counts: Counts,
    /// Whether all deliveries are accounted for.
    balances: bool,
    now: Millis,
}

#[derive(Template)]
#[template(path = "overview_now.html")]
struct NowPart {
    members: Vec<Shown>,
    services: Vec<(String, Chip, String)>,
    /// Partitions that nobody says to hold.
    unheld: Option<usize>,
    outages: Vec<(Outage, String)>,
    backlogs: Vec<Waiting>,
    slowest: Vec<Slow>,
    now: Millis,
}

/// A process, as it is shown.
struct Shown {
    member: Member,
    chip: Chip,
    partitions: String,
}

/// A URL that is slow.
#[derive(Clone)]
struct Slow {
    project: ProjectId,
    webhook: WebhookId,
    url: String,
    p50: String,
    p95: String,
    attempts: usize,
}

/// Numbers in a row, as people write them: `0–3, 7`.
fn ranges(numbers: &[u16]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}–{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn slowest(paces: Vec<Pace>) -> Vec<Slow> {
    let mut slow: Vec<(u32, Slow)> = paces
        .into_iter()
        .filter(|pace| !pace.took.is_empty())
        .map(|mut pace| {
            pace.took.sort_unstable();
            let at = |share: usize| pace.took[(pace.took.len() * share).div_ceil(100).saturating_sub(1)];
            let (p50, p95) = (at(50), at(95));
            let Pace { project, webhook, url, ref took } = pace;
            let attempts = took.len();
            (p95, Slow { project, webhook, url, p50: words::took(Some(p50)), p95: words::took(Some(p95)), attempts })
        })
        .collect();
    slow.sort_by_key(|(p95, slow)| (std::cmp::Reverse(*p95), slow.webhook));
    slow.into_iter().take(FEW as usize).map(|(_, slow)| slow).collect()
}

/// Each service as those see it that need it: down when one of them cannot reach it.
fn services(members: &[Member]) -> Vec<(String, Chip, String)> {
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for member in members {
        for (name, wrong) in &member.services {
            let troubles = seen.entry(name).or_default();
            if let Some(wrong) = wrong {
                troubles.push(format!("{} on {}: {wrong}", member.role, member.host));
            }
        }
    }
    let chip = |troubles: &[String]| {
        if troubles.is_empty() { Chip { word: "Up", tone: "good" } } else { Chip { word: "Down", tone: "bad" } }
    };
    seen.into_iter().map(|(name, troubles)| (name.to_owned(), chip(&troubles), troubles.join("; "))).collect()
}

/// What takes the longer to read the more there is in the store.
struct Costly {
    totals: Totals,
    backlogs: Vec<Waiting>,
    slowest: Vec<Slow>,
}

/// The last such reading, so that many who look on cost no more than one.
#[derive(Default)]
pub(crate) struct Kept(tokio::sync::Mutex<Option<(Instant, Arc<Costly>)>>);

impl Kept {
    /// The last reading, or a new one where that is too old. One reads; others who come meanwhile wait for it.
    async fn read(&self, shared: &Shared) -> Result<Arc<Costly>, Trouble> {
        let mut kept = self.0.lock().await;
        if let Some((at, costly)) = kept.as_ref()
            && at.elapsed() < COSTLY_EVERY
        {
            return Ok(Arc::clone(costly));
        }
        let survey = &shared.ports.survey;
        let hour_ago = Millis(shared.now().0.saturating_sub(HOUR));
        let (totals, backlogs, paces) =
            futures::try_join!(survey.holds(), survey.largest_backlogs(FEW), survey.paces(hour_ago))?;
        let costly = Arc::new(Costly { totals, backlogs, slowest: slowest(paces) });
        *kept = Some((Instant::now(), Arc::clone(&costly)));
        Ok(costly)
    }
}

/// The books, and the rest.
async fn read(shared: &Shared) -> Result<(Html, Html), Trouble> {
    let now = shared.now();
    let ports = &shared.ports;
    let ago = |millis: i64| Millis(now.0.saturating_sub(millis));
    let costly = shared.kept.read(shared).await?;
    let (members, outages) =
        futures::try_join!(ports.fleet.members(ago(SHOWN)), ports.survey.outages(Scope::Deployment, None, FEW),)?;
    let is_silent = |member: &Member| member.seen_at < ago(SILENT);
    let live: Vec<Member> = members.iter().filter(|member| !is_silent(member)).cloned().collect();
    let counts = live.iter().map(|member| member.counts).fold(Counts::default(), Counts::and);
    let mut urls = Vec::new();
    for outage in outages {
        let known = ports.insight.webhook(outage.project, outage.webhook).await?;
        urls.push((outage, known.map_or_else(|| "a removed webhook".to_owned(), |known| known.webhook.url)));
    }
    let held: std::collections::BTreeSet<u16> =
        live.iter().flat_map(|member| member.partitions.iter().copied()).collect();
    let all = usize::from(shared.settings.partitions);
    let shown = members.into_iter().map(|member| Shown {
        chip: if is_silent(&member) {
            Chip { word: "Silent", tone: "bad" }
        } else {
            Chip { word: "Running", tone: "good" }
        },
        partitions: ranges(&member.partitions),
        member,
    });
    let books = BooksPart { totals: costly.totals, balances: counts.came() == counts.went(), counts, now };
    let rest = NowPart {
        members: shown.collect(),
        services: services(&live),
        unheld: Some(all.saturating_sub(held.len())).filter(|unheld| *unheld > 0),
        outages: urls,
        backlogs: costly.backlogs.clone(),
        slowest: costly.slowest.clone(),
        now,
    };
    Ok((Html(part(&books)), Html(part(&rest))))
}

/// `GET /dashboard/overview`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    signed.as_operator()?;
    let (books_part, now_part) = read(&signed.shared).await?;
    let plots_part = plots(&signed.shared, Scope::Deployment, &place).await?;
    let frame = Frame::new(&signed, "Overview", Tab::Overview);
    Ok(page(&OverviewPage { frame, place, books_part, now_part, plots_part }))
}

/// `GET /dashboard/overview/live`
pub(crate) async fn live(signed: Signed, place: Place) -> Answer {
    signed.as_operator()?;
    let place = Arc::new(Place::of_page(&place));
    let drawn = Arc::new(parking_lot::Mutex::new(None::<Instant>));
    Ok(live::stream(&signed, EVERY, move |shared| {
        let (place, drawn) = (Arc::clone(&place), Arc::clone(&drawn));
        async move {
            let (books, now) = read(&shared).await?;
            let mut parts = vec![("books", books.0), ("now", now.0)];
            let due = drawn.lock().is_none_or(|at| at.elapsed() >= PLOTS_EVERY);
            if due {
                *drawn.lock() = Some(Instant::now());
                parts.push(("plots", plots(&shared, Scope::Deployment, &place).await?.0));
            }
            Ok(parts)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_said_shortly() {
        assert_eq!(ranges(&[3, 0, 1, 2, 7, 9, 10]), "0–3, 7, 9, 10");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn the_slowest_come_first() {
        let pace = |number: u128, took: &[u32]| Pace {
            project: ProjectId(uuid::Uuid::from_u128(1)),
            webhook: WebhookId(uuid::Uuid::from_u128(number)),
            url: String::new(),
            took: took.to_vec(),
        };
        let slow = slowest(vec![pace(1, &[5, 1, 9]), pace(2, &[100]), pace(3, &[])]);
        let shown: Vec<_> =
            slow.iter().map(|slow| (slow.webhook.0.as_u128(), slow.p50.as_str(), slow.p95.as_str())).collect();
        assert_eq!(shown, [(2, "100 ms", "100 ms"), (1, "5 ms", "9 ms")]);
    }
}
