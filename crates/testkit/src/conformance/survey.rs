//! The survey and the fleet, from what owners and processes wrote.

use std::collections::HashMap;
use std::sync::Arc;

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure};
use spectrum_webhook_core::ids::OwnerId;
use spectrum_webhook_core::ports::{
    Change, Counts, Fleet, LaneMode, LaneRecord, Member, Outage, OutageKey, Pruning, Scope, Survey,
};
use spectrum_webhook_core::rates::Span;
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::insight::Seen;
use super::samples::{NOW, key, project};
use super::store::hold;
use super::{Fixture, SurveyWorld, checks};

/// Checks a survey and a fleet.
pub async fn survey(fixture: &dyn Fixture<SurveyWorld>) {
    checks!(fixture;
        rates_are_sampled_stretch_by_stretch,
        a_busy_stretch_is_looked_at_no_further_than_asked,
        rates_of_a_scope_are_its_own,
        an_outage_is_in_the_history_from_its_beginning_to_its_end,
        outages_come_page_by_page,
        the_largest_backlogs_come_first,
        paces_are_of_the_last_attempts,
        an_event_is_read_with_its_body_as_long_as_that_is_kept,
        a_process_is_known_from_its_first_report_until_it_leaves,
    );
}

struct Surveyed {
    seen: Seen,
    survey: Arc<dyn Survey>,
    fleet: Arc<dyn Fleet>,
}

impl Surveyed {
    async fn new(world: SurveyWorld, webhooks: usize) -> Self {
        Self { seen: Seen::new(world.insight, webhooks).await, survey: world.survey, fleet: world.fleet }
    }

    /// An attempt to a webhook at a time, which took so long.
    fn attempt(&self, webhook: usize, after: i64, ended: Ended, total_ms: u32) -> AttemptRecord {
        let mut attempt = AttemptRecord { ended, total_ms, ..self.seen.attempt(after, 200) };
        attempt.key.webhook = self.seen.scene.webhooks[webhook];
        attempt
    }

    async fn lane(&self, webhook: usize, since: Option<i64>, at: i64) {
        let mode =
            |since| LaneMode::Outage { since: Millis(since), probes: 1, next_probe: Millis(since + 9), proven: true };
        let record = since.map(|since| LaneRecord { mode: mode(since), exhausted: 3 });
        let webhook = self.seen.scene.webhooks[webhook];
        self.seen.scene.commit(&[Change::Lane { webhook, record, at: Millis(at) }]).await;
    }

    async fn outages(&self, scope: Scope) -> Vec<Outage> {
        self.survey.outages(scope, None, 10).await.expect("outages")
    }
}

fn answered(status: u16) -> Ended {
    Ended::Answered { status, retry_after: None }
}

const SPAN: Span = Span { from: NOW, width: 100, stretches: 20, most: 5 };

async fn rates_are_sampled_stretch_by_stretch(world: SurveyWorld) {
    let here = Surveyed::new(world, 1).await;
    let attempts = [
        here.attempt(0, -1, answered(200), 1),
        here.attempt(0, 0, answered(200), 10),
        here.attempt(0, 99, answered(404), 30),
        here.attempt(0, 100, answered(503), 20),
        here.attempt(0, 1_999, Ended::Failed(Failure::Timeout), 40),
        here.attempt(0, 2_000, answered(200), 50),
    ];
    here.seen.record(&attempts).await;
    let scope = Scope::Webhook(here.seen.scene.webhooks[0]);
    let rates = here.survey.rates(scope, SPAN).await.expect("rates");
    assert_eq!((rates.span, rates.stretches.len()), (SPAN, 20));
    let lengths: Vec<usize> =
        rates.stretches.iter().map(|stretch| stretch.samples.len()).filter(|length| *length > 0).collect();
    assert_eq!(lengths, [2, 1, 1]);
    let whole = rates.whole();
    assert_eq!((whole.attempts, whole.outcomes, whole.estimated), (4, [1, 1, 1, 1], false));
    assert_eq!((rates.stretch(0).p50, rates.stretch(19).p95), (Some(10), Some(40)));
}

async fn a_busy_stretch_is_looked_at_no_further_than_asked(world: SurveyWorld) {
    let here = Surveyed::new(world, 1).await;
    let attempts: Vec<AttemptRecord> = (0..100).map(|after| here.attempt(0, after, answered(200), 7)).collect();
    here.seen.record(&attempts).await;
    let rates = here.survey.rates(Scope::Deployment, SPAN).await.expect("rates");
    assert_eq!(rates.stretches[0].samples.len(), 5);
    assert_eq!(rates.stretches[0].last, Some(Millis(NOW.0 + 99)));
    let whole = rates.whole();
    assert_eq!((whole.attempts, whole.estimated, whole.p95), (100, true, Some(7)));
}

async fn rates_of_a_scope_are_its_own(world: SurveyWorld) {
    let here = Surveyed::new(world, 2).await;
    let other = AttemptRecord { project: project(), ..here.attempt(1, 3, answered(200), 1) };
    here.seen.record(&[here.attempt(0, 1, answered(200), 1), here.attempt(1, 2, answered(200), 1), other]).await;
    let count = async |scope| here.survey.rates(scope, SPAN).await.expect("rates").whole().attempts;
    let scene = &here.seen.scene;
    assert_eq!(count(Scope::Deployment).await, 3);
    assert_eq!(count(Scope::Project(scene.project)).await, 2);
    assert_eq!(count(Scope::Project(project())).await, 0);
    assert_eq!(count(Scope::Webhook(scene.webhooks[0])).await, 1);
}

async fn an_outage_is_in_the_history_from_its_beginning_to_its_end(world: SurveyWorld) {
    let here = Surveyed::new(world, 2).await;
    let (project, webhook) = (here.seen.scene.project, here.seen.scene.webhooks[0]);
    here.lane(0, Some(100), 105).await;
    // Probes that fail are the same outage.
    here.lane(0, Some(100), 120).await;
    let lasting = Outage { project, webhook, since: Millis(100), until: None };
    assert_eq!(here.outages(Scope::Webhook(webhook)).await, [lasting]);
    here.lane(0, None, 150).await;
    here.lane(0, None, 160).await;
    let ended = Outage { until: Some(Millis(150)), ..lasting };
    assert_eq!(here.outages(Scope::Deployment).await, [ended]);
    assert_eq!(here.outages(Scope::Webhook(here.seen.scene.webhooks[1])).await, []);
    // Nobody waits for a webhook that is deleted.
    here.lane(0, Some(200), 205).await;
    let directory = &here.seen.scene.world.directory;
    directory.delete(project, webhook, Millis(230)).await.expect("delete");
    assert_eq!(here.outages(Scope::Webhook(webhook)).await[0].until, Some(Millis(230)));
    // The last of it goes with what the webhook leaves, and that with the log.
    here.seen.scene.commit(&[Change::Drop { webhook, limit: 10 }]).await;
    assert_eq!(here.outages(Scope::Webhook(webhook)).await[0].until, Some(Millis(230)));
    let pruning = Pruning { attempts_before: Millis(201), now: NOW, limit: 10 };
    here.seen.scene.world.store.prune(pruning).await.expect("prune");
    assert_eq!(here.outages(Scope::Deployment).await, []);
}

async fn outages_come_page_by_page(world: SurveyWorld) {
    let here = Surveyed::new(world, 3).await;
    for (webhook, since) in [(0, 10), (1, 10), (2, 30)] {
        here.lane(webhook, Some(since), since).await;
    }
    let scope = Scope::Project(here.seen.scene.project);
    let (mut after, mut read) = (None, Vec::new());
    loop {
        let page = here.survey.outages(scope, after, 1).await.expect("outages");
        let Some(last) = page.last() else { break };
        after = Some(OutageKey { since: last.since, webhook: last.webhook });
        read.extend(page.iter().map(|outage| (outage.since.0, outage.webhook)));
    }
    let mut expected: Vec<_> = read.clone();
    expected.sort();
    expected.reverse();
    assert_eq!((read.len(), &read), (3, &expected));
    assert_eq!(here.outages(Scope::Project(project())).await, []);
}

async fn the_largest_backlogs_come_first(world: SurveyWorld) {
    let here = Surveyed::new(world, 3).await;
    let scene = &here.seen.scene;
    assert_eq!(here.survey.largest_backlogs(5).await.expect("backlogs"), []);
    let mut number = 0;
    for (webhook, events) in [(1, 3), (2, 1)] {
        for _ in 0..events {
            number += 1;
            scene.commit(&[hold(scene.webhooks[webhook], number, &scene.message(b"{}"))]).await;
        }
    }
    let waiting = here.survey.largest_backlogs(5).await.expect("backlogs");
    let counted: Vec<_> = waiting.iter().map(|waiting| (waiting.webhook, waiting.backlog)).collect();
    assert_eq!(counted, [(scene.webhooks[1], 3), (scene.webhooks[2], 1)]);
    assert_eq!((waiting[0].oldest, waiting[0].project), (Some(NOW), scene.project));
    assert_eq!(waiting[0].url, "https://example.com/1");
    assert_eq!(here.survey.largest_backlogs(1).await.expect("backlogs").len(), 1);
    assert_eq!(here.survey.holds().await.expect("totals").backlog, 4);
}

async fn paces_are_of_the_last_attempts(world: SurveyWorld) {
    let here = Surveyed::new(world, 2).await;
    let attempts = [
        here.attempt(0, 0, answered(200), 1),
        here.attempt(0, 10, answered(200), 20),
        here.attempt(1, 11, answered(500), 300),
        here.attempt(0, 12, answered(200), 40),
    ];
    here.seen.record(&attempts).await;
    let paces = here.survey.paces(Millis(NOW.0 + 10)).await.expect("paces");
    let took: HashMap<_, Vec<u32>> = paces
        .into_iter()
        .map(|mut pace| {
            pace.took.sort_unstable();
            (pace.webhook, pace.took)
        })
        .collect();
    let webhooks = &here.seen.scene.webhooks;
    assert_eq!((took.len(), &took[&webhooks[0]], &took[&webhooks[1]]), (2, &vec![20, 40], &vec![300]));
}

async fn an_event_is_read_with_its_body_as_long_as_that_is_kept(world: SurveyWorld) {
    let here = Surveyed::new(world, 1).await;
    let scene = &here.seen.scene;
    let held = scene.hold(&[1]).await;
    let read = here.seen.insight.message(scene.project, held[0].id).await.expect("a message");
    assert_eq!(read.map(|message| message.body), Some(held[0].body.clone()));
    assert_eq!(here.seen.insight.message(project(), held[0].id).await.expect("an answer"), None, "of another project");
    scene.commit(&[Change::Remove { key: key(&held[0], scene.webhooks[0]) }]).await;
    assert_eq!(here.seen.insight.message(scene.project, held[0].id).await.expect("an answer"), None);
}

async fn a_process_is_known_from_its_first_report_until_it_leaves(world: SurveyWorld) {
    let here = Surveyed::new(world, 0).await;
    let member = |started_at: i64| Member {
        id: OwnerId(Uuid::now_v7()),
        role: "dispatcher".to_owned(),
        host: "a-host".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Millis(started_at),
        seen_at: NOW,
        partitions: vec![0, 7],
        services: vec![("redis".to_owned(), Some("refused".to_owned())), ("rabbitmq".to_owned(), None)],
        keys: vec!["0123456789abcdef".to_owned()],
        counts: Counts { delivered: 7, ..Counts::default() },
    };
    let (late, early) = (member(9), member(3));
    for member in [&late, &early] {
        here.fleet.report(member, Millis(0)).await.expect("report");
    }
    let members = async |since: i64| here.fleet.members(Millis(since)).await.expect("members");
    assert_eq!(members(NOW.0).await, [early.clone(), late.clone()]);
    assert_eq!(members(NOW.0 + 1).await, []);
    let later = Member { seen_at: Millis(NOW.0 + 5), partitions: vec![7], ..late };
    here.fleet.report(&later, Millis(NOW.0 + 1)).await.expect("report");
    assert_eq!(members(0).await, std::slice::from_ref(&later), "one that is silent for too long is forgotten");
    here.fleet.leave(later.id).await.expect("leave");
    assert_eq!(members(0).await, []);
}
