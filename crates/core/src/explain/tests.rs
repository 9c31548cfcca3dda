//! Each answer from the facts that it is made of.

use uuid::Uuid;

use super::*;
use crate::attempt::{AttemptRecord, Ended, Failure, Next};
use crate::delivery::{Closing, DeadReason, DeliveryKey, Fault, LastAttempt};
use crate::ids::{ProjectId, RegistryVersion, Sequence, WebhookId};
use crate::ordering::Space;
use crate::ports::{Dead, EventFacts, First, LaneMode, LaneRecord, Line, Place, Recipient, Track, Tried, WebhookFacts};
use crate::shape::Shape;
use crate::webhook::{DisabledReason, Webhook};

const PROJECT: ProjectId = ProjectId(Uuid::from_u128(1));
const HOOK: WebhookId = WebhookId(Uuid::from_u128(2));
const EVENT: EventId = EventId(Uuid::from_u128(3));
const FIRST: EventId = EventId(Uuid::from_u128(4));
/// 2026-01-02T03:04:05.678Z
const NOW: Millis = Millis(1_767_323_045_678);

fn ago(seconds: i64) -> Millis {
    Millis(NOW.0 - seconds * 1_000)
}

fn within(seconds: i64) -> Millis {
    ago(-seconds)
}

fn hook() -> Webhook {
    Webhook {
        id: HOOK,
        project: PROJECT,
        url: "https://receiver.example/".to_owned(),
        disabled: None,
        event_types: None,
        shape: Shape::default(),
        added: RegistryVersion(1),
        created_at: ago(100_000),
        updated_at: ago(100_000),
    }
}

fn attempt(number: u32, started_at: Millis, ended: Ended, next: Next) -> AttemptRecord {
    AttemptRecord {
        key: DeliveryKey { event: EVENT, webhook: HOOK },
        resend: None,
        project: PROJECT,
        event_type: "messages".to_owned(),
        sequence: Sequence(7),
        number,
        started_at,
        connect_ms: None,
        first_byte_ms: None,
        total_ms: 5,
        ended,
        address: None,
        snippet: String::new(),
        next,
    }
}

fn answered(status: u16) -> Ended {
    Ended::Answered { status, retry_after: None }
}

fn tried(newest: AttemptRecord) -> Option<Tried> {
    let delivered_at = matches!(newest.next, Next::Delivered).then_some(newest.started_at);
    Some(Tried { attempts: newest.number, delivered_at, newest })
}

fn backlog() -> Place {
    Place::Backlog { sequence: Sequence(7), space: Space(0), attempts: 1 }
}

fn line(ahead: u64, newest: Option<AttemptRecord>) -> Option<Line> {
    let first = (ahead > 0).then_some(First { message: FIRST, accepted_at: ago(900), newest });
    Some(Line { ahead, first })
}

fn outage() -> Option<LaneRecord> {
    let mode = LaneMode::Outage { since: ago(600), probes: 3, next_probe: within(120), proven: true };
    Some(LaneRecord { mode, exhausted: 3 })
}

fn dead(closed: Option<(Millis, Closing)>) -> Dead {
    Dead {
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 1,
        last: Some(LastAttempt::Status(400)),
        died_at: ago(300),
        closed,
        closed_reason: None,
        resent_as: None,
    }
}

fn recipient(own: Track) -> Recipient {
    Recipient { webhook: hook(), deleted_at: None, lane: None, own, resends: Vec::new() }
}

fn facts(accepted_at: Millis) -> EventFacts {
    EventFacts {
        event: EVENT,
        event_type: "messages".to_owned(),
        accepted_at,
        registry: Some(RegistryVersion(5)),
        size: Some(100),
        directed: false,
        recipients: Vec::new(),
    }
}

/// An event accepted a quarter of an hour ago, at a webhook of which this is known.
fn explained(recipient: &Recipient) -> Standing {
    event(&facts(ago(900)), recipient, NOW).0
}

#[track_caller]
fn says(standing: &Standing, code: Code, words: &[&str]) {
    assert_eq!(standing.code, code, "{standing:?}");
    for said in words {
        assert!(standing.sentence.contains(said), "{:?} does not say {said:?}", standing.sentence);
    }
    assert!(standing.sentence.ends_with('.') && !standing.sentence.contains("  "), "{:?}", standing.sentence);
}

#[test]
fn what_the_url_took_is_delivered_whatever_row_is_left_of_it() {
    for place in [Place::Nowhere, backlog()] {
        let newest = attempt(2, ago(60), answered(204), Next::Delivered);
        let standing = explained(&recipient(Track { place, tried: tried(newest), line: line(3, None) }));
        says(&standing, Code::Delivered, &["took it at 2026-01-02T03:03:05Z"]);
        assert_eq!((standing.since, standing.attempts, standing.ahead), (Some(ago(60)), 2, None));
    }
    // A repeat that failed, after a crash, takes nothing back.
    let mut own = tried(attempt(1, ago(50), answered(500), Next::Retry(within(1))));
    own.as_mut().expect("tried").delivered_at = Some(ago(60));
    let standing = explained(&recipient(Track { tried: own, ..Track::default() }));
    says(&standing, Code::Delivered, &[]);
    assert_eq!((standing.since, standing.last_attempt_at), (Some(ago(60)), Some(ago(50))));
}

#[test]
fn what_waits_says_behind_whom_and_what_the_first_does() {
    let first = attempt(3, ago(2), answered(503), Next::Retry(within(8)));
    let track = |newest| Track { place: backlog(), tried: None, line: line(12, newest) };
    let standing = explained(&recipient(track(Some(first))));
    let whole = format!(
        "Waits for its turn behind 12 others; the first of them, event {FIRST}, is retried at 2026-01-02T03:04:13Z \
         because the URL answered 503."
    );
    says(&standing, Code::Waiting, &[&whole]);
    assert_eq!((standing.ahead, standing.blocked_by, standing.next_at), (Some(12), Some(FIRST), None));
    says(&explained(&recipient(track(None))), Code::Waiting, &["is being sent"]);
    let undecided = attempt(3, ago(2), Ended::Failed(Failure::Timeout), Next::Undecided);
    let words = ["is tried again because the URL did not answer in time"];
    says(&explained(&recipient(track(Some(undecided)))), Code::Waiting, &words);
    let many = Track { place: backlog(), tried: None, line: line(Line::MOST, None) };
    says(&explained(&recipient(many)), Code::Waiting, &["behind 10000 others or more"]);
    let unknown = Track { place: backlog(), tried: None, line: None };
    says(&explained(&recipient(unknown)), Code::Waiting, &["Waits for its turn."]);
    let next = Track { place: backlog(), tried: None, line: line(0, None) };
    let standing = explained(&recipient(next));
    says(&standing, Code::Waiting, &["the first in line"]);
    assert_eq!((standing.ahead, standing.blocked_by), (Some(0), None));
}

#[test]
fn what_was_accepted_moments_ago_is_on_its_way() {
    let fresh = |own| event(&facts(ago(59)), &recipient(own), NOW).0;
    let standing = fresh(Track { line: line(0, None), ..Track::default() });
    says(&standing, Code::Waiting, &["on its way", "ask again"]);
    assert_eq!(standing.since, Some(ago(59)));
    // It comes behind what the backlog holds.
    says(&fresh(Track { line: line(2, None), ..Track::default() }), Code::Waiting, &["behind 2 others"]);
}

#[test]
fn a_failed_one_is_retried_when_the_log_says() {
    let newest = |next| attempt(2, ago(3), Ended::Failed(Failure::Connect), next);
    for place in [Place::Nowhere, backlog()] {
        let own = Track { place, tried: tried(newest(Next::Retry(within(7)))), line: line(0, None) };
        let standing = explained(&recipient(own));
        let words = ["Attempt 2 failed because no connection could be made", "retried at 2026-01-02T03:04:12Z"];
        says(&standing, Code::Retrying, &words);
        assert_eq!((standing.next_at, standing.attempts), (Some(within(7)), 2));
    }
    let due = Track { place: backlog(), tried: tried(newest(Next::Retry(ago(1)))), line: line(0, None) };
    says(&explained(&recipient(due)), Code::Retrying, &["retried now"]);
    let undecided = Track { place: Place::Nowhere, tried: tried(newest(Next::Undecided)), line: line(0, None) };
    says(&explained(&recipient(undecided)), Code::Retrying, &["retried soon"]);
}

#[test]
fn in_an_outage_the_first_says_when_it_is_tried_and_the_others_wait_for_it() {
    let newest = attempt(6, ago(30), answered(502), Next::Outage(within(120)));
    let own = Track { place: backlog(), tried: tried(newest.clone()), line: line(0, None) };
    let first = Recipient { lane: outage(), ..recipient(own) };
    let standing = explained(&first);
    let words =
        ["down since 2026-01-02T02:54:05Z", "the first to be tried again, at 2026-01-02T03:06:05Z", "502", "resume"];
    says(&standing, Code::Outage, &words);
    assert_eq!((standing.next_at, standing.since), (Some(within(120)), Some(ago(600))));
    let own = Track { place: backlog(), tried: None, line: line(4, Some(newest.clone())) };
    let standing = explained(&Recipient { lane: outage(), ..recipient(own) });
    says(
        &standing,
        Code::Outage,
        &["behind 4 others", "tried again at 2026-01-02T03:06:05Z because the URL answered 502"],
    );
    assert_eq!((standing.next_at, standing.blocked_by), (None, Some(FIRST)));
    // The record of the outage is still being written.
    let own = Track { place: Place::Nowhere, tried: tried(newest), line: line(0, None) };
    says(&explained(&recipient(own)), Code::Outage, &["2026-01-02T03:06:05Z"]);
}

#[test]
fn what_is_set_aside_waits_for_the_next_ones() {
    let place = Place::SetAside { attempts: 6, last: LastAttempt::Status(500), at: ago(20) };
    let standing = explained(&recipient(Track { place, ..Track::default() }));
    says(&standing, Code::SetAside, &["All 6 attempts failed", "the URL answered 500", "becomes a dead letter"]);
    assert_eq!((standing.since, standing.attempts), (Some(ago(20)), 6));
    let newest = attempt(6, ago(1), answered(500), Next::SetAside);
    says(&explained(&recipient(Track { tried: tried(newest), ..Track::default() })), Code::SetAside, &["All 6"]);
}

#[test]
fn a_dead_letter_says_why_and_what_to_do() {
    let died = |change: &dyn Fn(&mut Dead)| {
        let mut letter = dead(None);
        change(&mut letter);
        explained(&recipient(Track { place: Place::Dead(letter), ..Track::default() }))
    };
    let fatal = died(&|_| {});
    says(&fatal, Code::DeadLetter, &["given up at 2026-01-02T02:59:05Z because the URL answered 400", "resend it"]);
    assert_eq!((fatal.since, fatal.attempts), (Some(ago(300)), 1));
    let poison = died(&|letter| (letter.reason, letter.attempts) = (DeadReason::Poison, 6));
    says(&poison, Code::DeadLetter, &["all 6 attempts failed while a later event was delivered (in the end because"]);
    says(&died(&|letter| letter.reason = DeadReason::Expired), Code::DeadLetter, &["longer than backlogs are kept"]);
    says(&died(&|letter| letter.reason = DeadReason::Skipped), Code::DeadLetter, &["out of the way"]);
    let own = Track { place: Place::Dead(dead(None)), ..Track::default() };
    let deleted = Recipient { deleted_at: Some(ago(10)), ..recipient(own) };
    says(&explained(&deleted), Code::DeadLetter, &["The webhook is deleted since"]);
    let newest = attempt(1, ago(1), answered(410), Next::DeadLetter);
    let own = Track { tried: tried(newest), ..Track::default() };
    says(&explained(&recipient(own)), Code::DeadLetter, &["it becomes a dead letter"]);
}

#[test]
fn a_closed_dead_letter_says_how_it_was_closed() {
    let closed = |closing, change: &dyn Fn(&mut Dead)| {
        let mut letter = dead(Some((ago(30), closing)));
        change(&mut letter);
        explained(&recipient(Track { place: Place::Dead(letter), ..Track::default() }))
    };
    let resent = closed(Closing::Resent, &|letter| letter.resent_as = Some(FIRST));
    says(&resent, Code::Resent, &["sent again at 2026-01-02T03:03:35Z as", &FIRST.to_string()]);
    assert_eq!(resent.since, Some(ago(30)));
    let discarded = closed(Closing::Discarded, &|letter| letter.closed_reason = Some("a test".to_owned()));
    says(&discarded, Code::Discarded, &["discarded at 2026-01-02T03:03:35Z (a test)"]);
    says(&closed(Closing::Dropped, &|_| {}), Code::Dropped, &["dropped at 2026-01-02T03:03:35Z with all that waited."]);
}

#[test]
fn what_a_webhook_does_not_take_is_filtered_unless_it_got_it() {
    let mut some = recipient(Track::default());
    some.webhook.event_types = Some(vec!["a".to_owned(), "b".to_owned()]);
    says(&explained(&some), Code::Filtered, &["takes a, b only", "of the type messages"]);
    some.own.tried = tried(attempt(1, ago(60), answered(200), Next::Delivered));
    says(&explained(&some), Code::Delivered, &[]);
    // A test is for its webhook whatever that takes.
    some.own = Track { line: line(0, None), ..Track::default() };
    says(&event(&EventFacts { directed: true, ..facts(ago(1)) }, &some, NOW).0, Code::Waiting, &[]);
}

#[test]
fn a_webhook_gets_only_what_is_accepted_after_it_was_registered() {
    let mut late = recipient(Track::default());
    late.webhook.added = RegistryVersion(6);
    late.webhook.created_at = ago(5);
    let standing = explained(&late);
    says(&standing, Code::RegisteredLater, &["registered at 2026-01-02T03:04:00Z"]);
    assert_eq!(standing.since, Some(ago(5)));
    // Where the version is not known any more, the times tell.
    says(&event(&EventFacts { registry: None, ..facts(ago(9)) }, &late, NOW).0, Code::RegisteredLater, &[]);
    late.webhook.created_at = ago(10);
    says(&event(&EventFacts { registry: None, ..facts(ago(9)) }, &late, NOW).0, Code::Waiting, &[]);
}

#[test]
fn a_disabled_webhook_keeps_what_waits() {
    for (place, accepted_at) in [(backlog(), ago(900)), (Place::Nowhere, ago(1))] {
        let mut off = recipient(Track { place, tried: None, line: line(2, None) });
        off.webhook.disabled = Some((ago(60), DisabledReason::Gone));
        let standing = event(&facts(accepted_at), &off, NOW).0;
        let words =
            ["disabled since 2026-01-02T03:03:05Z because the URL answered 410", "behind 2 others", "enabled again"];
        says(&standing, Code::Disabled, &words);
        assert_eq!((standing.since, standing.ahead), (Some(ago(60)), Some(2)));
    }
}

#[test]
fn a_deleted_webhook_gets_no_more() {
    for place in [Place::Nowhere, backlog()] {
        let gone = Recipient { deleted_at: Some(ago(7)), ..recipient(Track { place, ..Track::default() }) };
        let standing = explained(&gone);
        says(&standing, Code::Deleted, &["deleted at 2026-01-02T03:03:58Z"]);
        assert_eq!(standing.since, Some(ago(7)));
    }
    let newest = attempt(1, ago(60), answered(200), Next::Delivered);
    let got = Track { tried: tried(newest), ..Track::default() };
    says(&explained(&Recipient { deleted_at: Some(ago(7)), ..recipient(got) }), Code::Delivered, &[]);
}

#[test]
fn what_left_no_trace_is_unknown_after_a_minute() {
    says(&explained(&recipient(Track { line: line(0, None), ..Track::default() })), Code::Unknown, &["Look for it"]);
    let old = attempt(1, ago(200), answered(500), Next::Retry(ago(190)));
    says(&explained(&recipient(Track { tried: tried(old), ..Track::default() })), Code::Unknown, &[]);
}

#[test]
fn each_resend_has_an_answer_of_its_own() {
    let fresh = EventId(Uuid::from_u128((NOW.0 as u128) << 80 | 0x7 << 76 | 0x8 << 60));
    let mut resent = recipient(Track { place: Place::Dead(dead(Some((ago(2), Closing::Resent)))), ..Track::default() });
    let again = Track { place: Place::Dead(dead(None)), ..Track::default() };
    resent.resends = vec![(FIRST, again), (fresh, Track { line: line(0, None), ..Track::default() })];
    // Resends go to a webhook whatever it takes by now.
    resent.webhook.event_types = Some(Vec::new());
    let (own, resends) = event(&facts(ago(900)), &resent, NOW);
    says(&own, Code::Resent, &[]);
    says(&resends[0].1, Code::DeadLetter, &[]);
    says(&resends[1].1, Code::Waiting, &["moments ago"]);
    assert_eq!((resends[0].0, resends[1].0), (FIRST, fresh));
}

#[test]
fn an_id_says_by_its_time_whether_to_ask_again() {
    let at = |millis: i64| EventId(Uuid::from_u128((millis as u128) << 80 | 0x7 << 76 | 0x8 << 60));
    assert!(absent(at(NOW.0 - 59_000), NOW).contains("accepted moments ago"));
    assert!(absent(at(NOW.0 - 61_000), NOW).contains("older than"));
    assert!(absent(EVENT, NOW).contains("older than"), "it is no UUIDv7");
}

fn known() -> WebhookFacts {
    WebhookFacts {
        webhook: hook(),
        lane: None,
        backlog: Line { ahead: 0, first: None },
        set_aside: 0,
        oldest_aside: None,
        dead_letters: 0,
        newest: None,
        last_success: None,
        last_failure: None,
    }
}

#[track_caller]
fn is(facts: &WebhookFacts, code: StateCode, words: &[&str]) -> State {
    let state = webhook(facts, NOW);
    assert_eq!(state.code, code, "{state:?}");
    for said in words {
        assert!(state.sentence.contains(said), "{:?} does not say {said:?}", state.sentence);
    }
    state
}

#[test]
fn a_webhook_is_idle_until_something_is_sent_to_it_and_healthy_while_nothing_speaks_against_it() {
    is(&known(), StateCode::Idle, &["Nothing waits"]);
    let newest = |ended, next| Some(attempt(1, ago(5), ended, next));
    let good = WebhookFacts { newest: newest(answered(200), Next::Delivered), ..known() };
    is(&good, StateCode::Healthy, &["took what was sent to it last, at 2026-01-02T03:04:00Z; nothing waits for it."]);
    let bad = newest(answered(503), Next::Retry(within(5)));
    is(&WebhookFacts { newest: bad, ..known() }, StateCode::Healthy, &["answered 503", "retried at"]);
    let refused = newest(answered(400), Next::DeadLetter);
    let refused = WebhookFacts { newest: refused, dead_letters: 1, ..known() };
    is(&refused, StateCode::Healthy, &["answered 400. 1 dead letter is open"]);
    let waiting = WebhookFacts { backlog: line(1, None).expect("a line"), ..known() };
    let state = is(&waiting, StateCode::Healthy, &["1 event waits for it"]);
    assert_eq!(state.oldest, Some(ago(900)));
}

#[test]
fn a_webhook_that_is_suspect_down_or_disabled_says_since_when_and_what_to_do() {
    let failing = WebhookFacts {
        last_failure: Some((ago(1), LastAttempt::Failed(Failure::Tls))),
        backlog: line(3, None).expect("a line"),
        ..known()
    };
    let aside = WebhookFacts { set_aside: 2, oldest_aside: Some((ago(40), ago(950))), ..failing.clone() };
    let state = is(&aside, StateCode::Suspect, &["All attempts of 2 events failed, the last because the TLS"]);
    assert_eq!((state.since, state.oldest, state.next_probe), (Some(ago(40)), Some(ago(950)), None));
    let down = WebhookFacts { lane: outage(), ..failing };
    let words = ["down since 2026-01-02T02:54:05Z because the TLS handshake failed", "3 events wait", "03:06:05Z"];
    let state = is(&down, StateCode::Outage, &words);
    assert_eq!((state.since, state.next_probe), (Some(ago(600)), Some(within(120))));
    let mut off = down;
    off.webhook.disabled = Some((ago(60), DisabledReason::Outage));
    let state = is(&off, StateCode::Disabled, &["because the URL was down for too long", "Enable it"]);
    assert_eq!((state.since, state.next_probe), (Some(ago(60)), None));
}
