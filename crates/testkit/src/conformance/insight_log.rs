//! The delivery log as it is read: newest first, page by page, filtered, and each project's alone.

use spectrum_webhook_core::attempt::{AttemptRecord, Ended, Failure, Next};
use spectrum_webhook_core::ids::{EventId, ProjectId, Sequence, WebhookId};
use spectrum_webhook_core::ports::{AttemptFilter, AttemptKey, AttemptPage};
use spectrum_webhook_core::time::Millis;
use uuid::Uuid;

use super::insight::Seen;
use super::samples::{NOW, key, project};
use super::{Fixture, InsightWorld};

pub(super) async fn checks(fixture: &dyn Fixture<InsightWorld>) {
    super::checks!(fixture;
        an_attempt_is_read_just_as_it_was_recorded,
        pages_stay_right_while_attempts_are_added,
        a_page_can_be_filtered,
        a_filter_that_few_pass_reads_no_more_than_its_share_and_goes_on,
        a_project_sees_its_own_attempts_alone,
    );
}

impl Seen {
    /// An attempt that was answered, of an event of its own.
    pub(super) fn attempt(&self, after: i64, status: u16) -> AttemptRecord {
        let next =
            if (200..300).contains(&status) { Next::Delivered } else { Next::Retry(Millis(NOW.0 + after + 1_000)) };
        AttemptRecord {
            key: key(&self.scene.message(b"{}"), self.scene.webhooks[0]),
            resend: None,
            project: self.scene.project,
            event_type: "messages".to_owned(),
            sequence: Sequence(5),
            number: 1,
            started_at: Millis(NOW.0 + after),
            connect_ms: None,
            first_byte_ms: Some(12),
            total_ms: 13,
            ended: Ended::Answered { status, retry_after: None },
            address: None,
            snippet: String::new(),
            next,
        }
    }

    pub(super) async fn record(&self, attempts: &[AttemptRecord]) {
        for attempts in attempts.chunks(500) {
            self.scene.world.store.record(attempts).await.expect("record");
        }
    }

    async fn page(&self, filter: &AttemptFilter, limit: u32) -> AttemptPage {
        self.insight.attempts(self.scene.project, filter, limit).await.expect("attempts")
    }

    async fn all(&self, filter: &AttemptFilter) -> Vec<AttemptRecord> {
        let page = self.page(filter, 200).await;
        assert_eq!(page.next, None);
        page.attempts
    }
}

async fn an_attempt_is_read_just_as_it_was_recorded(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let attempts = [
        AttemptRecord {
            resend: Some(EventId(Uuid::now_v7())),
            event_type: "a\"b'".to_owned(),
            sequence: Sequence((1 << 53) - 1),
            number: 7,
            connect_ms: Some(0),
            ended: Ended::Answered { status: 503, retry_after: Some(1_000) },
            address: "[2001:db8::7]:443".parse().ok(),
            snippet: "a \u{1F600} snippet".to_owned(),
            ..seen.attempt(9, 503)
        },
        AttemptRecord { ended: Ended::Failed(Failure::Tls), next: Next::Undecided, ..seen.attempt(8, 500) },
        AttemptRecord { next: Next::Outage(Millis(7)), ..seen.attempt(7, 500) },
        AttemptRecord { next: Next::DeadLetter, ..seen.attempt(6, 400) },
        seen.attempt(5, 204),
    ];
    seen.record(&attempts).await;
    assert_eq!(seen.all(&AttemptFilter::default()).await, attempts);
}

async fn pages_stay_right_while_attempts_are_added(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    // Four in each millisecond, so that pages end among equals.
    let mut attempts: Vec<AttemptRecord> = (0..24).map(|number| seen.attempt(number / 4, 200)).collect();
    let twice = AttemptRecord { number: 2, ..attempts[9].clone() };
    attempts.push(twice);
    seen.record(&attempts).await;
    attempts.sort_by_key(|attempt| std::cmp::Reverse(AttemptKey::of(attempt)));
    let mut filter = AttemptFilter::default();
    let mut read = Vec::new();
    loop {
        let AttemptPage { attempts, next } = seen.page(&filter, 7).await;
        assert!(attempts.len() == 7 || next.is_none());
        read.extend(attempts);
        // Newer ones come meanwhile, and one as old as where the page ended, which counts as newer or older by its key.
        seen.record(&[seen.attempt(100 + i64::try_from(read.len()).expect("small"), 200)]).await;
        filter.after = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(read, attempts, "each once, in order, and no newer one");
    let exactly = AttemptFilter { to: Some(Millis(NOW.0 + 6)), ..AttemptFilter::default() };
    assert_eq!(seen.page(&exactly, 25).await.next, None, "a page that holds all is the last");
}

async fn a_page_can_be_filtered(world: InsightWorld) {
    let seen = Seen::new(world, 2).await;
    let other_webhook = {
        let mut attempt = seen.attempt(6, 200);
        attempt.key.webhook = seen.scene.webhooks[1];
        attempt
    };
    let attempts = [
        AttemptRecord { ended: Ended::Failed(Failure::Timeout), ..seen.attempt(9, 500) },
        seen.attempt(8, 503),
        AttemptRecord { event_type: "other".to_owned(), ..seen.attempt(7, 299) },
        other_webhook,
        seen.attempt(5, 404),
        seen.attempt(4, 200),
    ];
    seen.record(&attempts).await;
    let all = AttemptFilter::default();
    for (filter, expected) in [
        (AttemptFilter { webhook: Some(seen.scene.webhooks[1]), ..all.clone() }, &[3][..]),
        (AttemptFilter { webhook: Some(seen.scene.webhooks[0]), ..all.clone() }, &[0, 1, 2, 4, 5]),
        (AttemptFilter { event: Some(attempts[1].key.event), ..all.clone() }, &[1]),
        (AttemptFilter { delivered: Some(true), ..all.clone() }, &[2, 3, 5]),
        (AttemptFilter { delivered: Some(false), ..all.clone() }, &[0, 1, 4]),
        (AttemptFilter { status: Some((503, 503)), ..all.clone() }, &[1]),
        (AttemptFilter { status: Some((400, 499)), ..all.clone() }, &[4]),
        (AttemptFilter { failure: Some(Failure::Timeout), ..all.clone() }, &[0]),
        (AttemptFilter { failure: Some(Failure::Reset), ..all.clone() }, &[]),
        (AttemptFilter { event_type: Some("other".to_owned()), ..all.clone() }, &[2]),
        (AttemptFilter { from: Some(attempts[2].started_at), ..all.clone() }, &[0, 1, 2]),
        (AttemptFilter { to: Some(attempts[2].started_at), ..all.clone() }, &[3, 4, 5]),
        (AttemptFilter { after: Some(AttemptKey::of(&attempts[3])), ..all.clone() }, &[4, 5]),
    ] {
        let expected: Vec<&AttemptRecord> = expected.iter().map(|at| &attempts[*at]).collect();
        let read = seen.all(&filter).await;
        assert_eq!(read.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    // All at once, and none passes.
    let filter = AttemptFilter {
        webhook: Some(seen.scene.webhooks[0]),
        event: Some(attempts[1].key.event),
        delivered: Some(false),
        status: Some((500, 599)),
        failure: Some(Failure::Timeout),
        event_type: Some("messages".to_owned()),
        from: Some(Millis(0)),
        to: Some(Millis(i64::MAX)),
        after: Some(AttemptKey::of(&attempts[0])),
    };
    assert!(seen.all(&filter).await.is_empty());
    assert_eq!(seen.all(&AttemptFilter { failure: None, ..filter }).await, [attempts[1].clone()]);
}

async fn a_filter_that_few_pass_reads_no_more_than_its_share_and_goes_on(world: InsightWorld) {
    const MANY: i64 = 10_500;
    let seen = Seen::new(world, 1).await;
    let mut attempts: Vec<AttemptRecord> = (1..=MANY).map(|after| seen.attempt(after, 200)).collect();
    let oldest = seen.attempt(0, 503);
    attempts.push(oldest.clone());
    seen.record(&attempts).await;
    let failed = AttemptFilter { delivered: Some(false), ..AttemptFilter::default() };
    let page = seen.page(&failed, 50).await;
    assert!(page.attempts.is_empty());
    let after = page.next.expect("there may be more");
    assert_eq!(after.started_at, Millis(NOW.0 + 501), "it ended behind its ten thousandth row");
    let page = seen.page(&AttemptFilter { after: Some(after), ..failed }, 50).await;
    assert_eq!((page.attempts, page.next), (vec![oldest], None));
}

async fn a_project_sees_its_own_attempts_alone(world: InsightWorld) {
    let seen = Seen::new(world, 1).await;
    let attempt = seen.attempt(1, 200);
    seen.record(std::slice::from_ref(&attempt)).await;
    let other: ProjectId = project();
    for filter in [
        AttemptFilter::default(),
        AttemptFilter { webhook: Some(attempt.key.webhook), ..AttemptFilter::default() },
        AttemptFilter { event: Some(attempt.key.event), ..AttemptFilter::default() },
        AttemptFilter { webhook: Some(WebhookId(Uuid::now_v7())), ..AttemptFilter::default() },
    ] {
        let page = seen.insight.attempts(other, &filter, 10).await.expect("attempts");
        assert_eq!(page, AttemptPage::default(), "{filter:?}");
    }
}
