//! A sound history is clean, and each planted defect is seen.

use std::sync::Arc;

use super::*;
use crate::history::*;

const KEY: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
const ORIGIN: u64 = 1_790_000_000_000_000;

fn call(millis: u64) -> Call {
    Call { begun: At::millis(millis), answered: Some(At::millis(millis + 1)) }
}

fn event(number: u32) -> EventId {
    EventId(format!("event-{number}").into())
}

fn body(number: u32) -> Arc<[u8]> {
    format!(r#"{{"event":"messages",  "n":{number}}}"#).into_bytes().into()
}

fn signed(arrival: &mut Arrival, key: &str) {
    let signed = (ORIGIN + arrival.begun.0) / 1_000_000;
    let stamp = signed.to_string();
    let bytes = arrival.body.clone().unwrap_or_else(|| Arc::from(&b""[..]));
    arrival.signed = Some(signed);
    arrival.signature = spectrum_signature(key, &stamp, &bytes).into();
    let standard = standard_signature(key, &arrival.event.0, &stamp, &bytes);
    arrival.standard = [arrival.event.0.as_ref().into(), stamp.into(), standard.into()];
}

fn arrival(number: u32, millis: u64, status: u16) -> Arrival {
    let mut arrival = Arrival {
        webhook: WebhookId("hook".into()),
        event: event(number),
        path: "/p0/0".into(),
        resend: false,
        begun: At::millis(millis),
        body: Some(body(number)),
        signed: None,
        signature: "".into(),
        standard: ["".into(), "".into(), "".into()],
        sequence: Some(u64::from(number) + 7),
        reply: Reply::Status(status),
        replied: Some(At::millis(millis + 2)),
    };
    signed(&mut arrival, KEY);
    arrival
}

/// Five events, each posted at its second and taken a moment later.
fn sound() -> History {
    let posts = (0..5).map(|number| Post {
        project: ProjectNo(0),
        number,
        body: body(number),
        begun: At::millis(1_000 * u64::from(number) + 1_000),
        answered: Some(At::millis(1_000 * u64::from(number) + 1_010)),
        id: Some(event(number)),
        repeats: 0,
    });
    History {
        origin: ORIGIN,
        posts: posts.collect(),
        webhooks: vec![Webhook {
            id: WebhookId("hook".into()),
            project: ProjectNo(0),
            path: "/p0/0".into(),
            moves: Vec::new(),
            registered: call(1),
            secrets: vec![Secret { text: Some(KEY.to_owned()), made: call(1), overlap: 0 }],
            deleted: None,
            pauses: Vec::new(),
            revived: Vec::new(),
        }],
        arrivals: (0..5).map(|number| arrival(number, 1_000 * u64::from(number) + 1_020, 200)).collect(),
        books: vec![Books { process: "d".into(), fanned_out: 5, delivered: 5, ..Books::default() }],
        ..History::default()
    }
}

fn fault(begun: u64, ended: u64) -> Fault {
    let (begun, ended) = (At::millis(begun), At::millis(ended));
    Fault { kind: "kill".into(), target: "d".into(), begun, ended, freezes: false, clean: false }
}

fn letter(number: u32, reason: &str, last: &str) -> Letter {
    Letter {
        webhook: WebhookId("hook".into()),
        event: event(number),
        resend: false,
        reason: reason.into(),
        last: last.into(),
    }
}

fn judged(history: &History) -> Judgement {
    judge(history, &Bounds::default())
}

/// The kinds of what is wrong.
fn wrong(history: &History) -> Vec<&'static str> {
    judged(history).violations.iter().map(Violation::kind).collect()
}

#[test]
fn the_contracts_vector_is_signed_as_it_says() {
    let expected = "v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db";
    assert_eq!(spectrum_signature(KEY, "1747242392", br#"{"event":"messages"}"#), expected);
}

#[test]
fn a_sound_history_is_clean() {
    let judgement = judged(&sound());
    assert_eq!(judgement.violations, []);
    let counts = Counts { events: 5, due: 5, taken: 5, requests: 5, verified: 5, ordered: 5, ..Counts::default() };
    assert_eq!(judgement.counts, counts);
}

#[test]
fn an_event_that_was_lost_is_seen() {
    let mut history = sound();
    history.arrivals.remove(2);
    assert_eq!(wrong(&history), ["lost"]);
}

#[test]
fn an_event_that_was_sent_and_never_taken_is_lost() {
    let mut history = sound();
    history.arrivals[4].reply = Reply::Nothing;
    assert_eq!(wrong(&history), ["lost"]);
}

#[test]
fn two_that_were_swapped_are_seen() {
    let mut history = sound();
    history.arrivals[1].begun = At::millis(3_100);
    history.arrivals.swap(1, 2);
    assert_eq!(wrong(&history), ["swapped", "unnumbered"]);
}

#[test]
fn the_first_arrival_counts_also_if_it_was_not_taken() {
    let mut history = sound();
    history.arrivals.insert(1, Arrival { reply: Reply::Status(500), ..arrival(1, 2_015, 500) });
    history.arrivals.push(arrival(1, 6_000, 500));
    assert!(!wrong(&history).contains(&"swapped"));
}

#[test]
fn a_number_that_does_not_grow_is_seen() {
    let mut history = sound();
    history.arrivals[3].sequence = Some(8);
    assert_eq!(wrong(&history), ["unnumbered"]);
}

#[test]
fn a_body_that_was_rebuilt_is_seen_though_it_is_signed() {
    let mut history = sound();
    history.arrivals[2].body = Some(br#"{"event":"messages","n":2}"#.to_vec().into());
    signed(&mut history.arrivals[2], KEY);
    assert_eq!(wrong(&history), ["rebuilt"]);
}

#[test]
fn a_time_stamp_of_an_earlier_attempt_is_seen() {
    let mut history = sound();
    let old = Arrival { begun: At(0), ..arrival(3, 0, 200) };
    history.arrivals[3] = Arrival { begun: At::millis(44_020), ..old };
    history.arrivals.truncate(4);
    history.posts.truncate(4);
    assert_eq!(wrong(&history), ["stale"]);
}

#[test]
fn a_key_that_had_ended_is_seen_in_both_signatures() {
    let (mut history, new) = (sound(), "5c".repeat(32));
    history.webhooks[0].secrets.push(Secret { text: Some(new.clone()), made: call(2_500), overlap: 1_000_000 });
    for (at, millis) in [(3, 14_000), (4, 15_000)] {
        history.arrivals[at].begun = At::millis(millis);
        signed(&mut history.arrivals[at], KEY);
    }
    assert_eq!(wrong(&history), ["signature"; 4]);
    signed(&mut history.arrivals[3], &new);
    assert_eq!(wrong(&history), ["signature"; 2]);
}

#[test]
fn during_a_rotation_the_old_key_signs_alone_and_both_sign_together() {
    let (mut history, new) = (sound(), "5c".repeat(32));
    history.webhooks[0].secrets.push(Secret { text: Some(new.clone()), made: call(2_500), overlap: 60_000_000 });
    let both = |arrival: &mut Arrival| {
        let [id, stamp, old] = arrival.standard.clone();
        let second = standard_signature(&new, &id, &stamp, arrival.body.as_ref().expect("a body"));
        arrival.standard[2] = format!("{second} {old}").into();
    };
    history.arrivals[3..].iter_mut().for_each(both);
    assert_eq!(wrong(&history), [""; 0]);
    // The verifiers of the older header read one value: it keeps the old key until the overlap ends.
    let last = &mut history.arrivals[4];
    last.signature = spectrum_signature(&new, &last.standard[1].clone(), last.body.as_ref().expect("a body")).into();
    assert_eq!(wrong(&history), ["signature"]);
}

#[test]
fn a_secret_whose_answer_was_lost_is_not_judged_and_the_next_one_is() {
    let mut history = sound();
    let lost = Call { begun: At::millis(2_500), answered: None };
    history.webhooks[0].secrets.push(Secret { text: None, made: lost, overlap: 0 });
    signed(&mut history.arrivals[3], "somebody's");
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn an_attempt_after_a_deletion_was_answered_is_seen() {
    let mut history = sound();
    history.webhooks[0].deleted = Some(call(4_000));
    assert_eq!(wrong(&history), ["after-stop"], "the last came at 5.02 s");
}

#[test]
fn what_was_on_its_way_at_a_deletion_may_end_and_what_did_not_come_need_not() {
    let mut history = sound();
    history.webhooks[0].deleted = Some(call(4_000));
    history.arrivals.truncate(3);
    history.arrivals.push(arrival(3, 4_300, 200));
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn a_process_that_thaws_may_end_what_it_had_signed_before() {
    let mut history = sound();
    history.webhooks[0].deleted = Some(call(4_000));
    history.arrivals[4].signed = Some((ORIGIN + 3_000_000) / 1_000_000);
    let mut frozen = fault(3_500, 4_900);
    frozen.freezes = true;
    history.faults.push(frozen);
    assert!(!wrong(&history).contains(&"after-stop"));
    history.arrivals[4].signed = Some((ORIGIN + 5_000_000) / 1_000_000);
    assert!(wrong(&history).contains(&"after-stop"));
}

#[test]
fn an_attempt_while_disabled_is_seen_and_one_after_enabling_is_not() {
    let mut history = sound();
    history.webhooks[0].pauses.push(Pause { disabled: call(3_100), enabled: Some(call(4_900)) });
    assert_eq!(wrong(&history), ["after-stop"]);
    history.arrivals[3] = arrival(3, 4_950, 200);
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn an_attempt_at_the_old_url_after_a_move_is_seen_and_one_at_the_new_url_is_not() {
    let mut history = sound();
    history.webhooks[0].moves.push(Move { made: call(4_000), path: "/p0/m".into() });
    assert_eq!(wrong(&history), ["after-stop"]);
    history.arrivals[4].path = "/p0/m".into();
    assert_eq!(wrong(&history), [""; 0]);
    history.arrivals[4].path = "/p0/elsewhere".into();
    assert_eq!(wrong(&history), ["not-due"]);
}

#[test]
fn an_attempt_after_gone_is_seen_until_someone_enables_the_webhook() {
    let mut history = sound();
    history.arrivals[2] = arrival(2, 3_020, 410);
    history.letters.push(letter(2, "fatal", "status_410"));
    assert_eq!(wrong(&history), ["after-stop", "after-stop"]);
    history.webhooks[0].revived.push(call(3_900));
    assert_eq!(wrong(&history), [""; 0]);
    // A process that was killed may not have heard it.
    history.webhooks[0].revived.clear();
    history.faults.push(fault(3_000, 3_500));
    assert!(!wrong(&history).contains(&"after-stop"));
}

#[test]
fn a_dead_letter_stands_for_its_event_when_its_reason_is_true() {
    let mut history = sound();
    history.arrivals[1] = arrival(1, 2_020, 422);
    history.letters.push(letter(1, "fatal", "status_422"));
    let judgement = judged(&history);
    assert_eq!(judgement.violations, []);
    assert_eq!((judgement.counts.taken, judgement.counts.letters), (4, 1));
}

#[test]
fn a_dead_letter_with_an_untrue_reason_is_seen() {
    for (status, reason, last) in [
        // It answered otherwise, with what is worth a repetition.
        (503, "fatal", "status_422"),
        (503, "fatal", "status_503"),
        (503, "fatal", "timeout"),
        // It took it.
        (200, "poison", "status_500"),
        // Nobody did that.
        (500, "skipped", "status_500"),
        (500, "expired", "status_500"),
    ] {
        let mut history = sound();
        history.arrivals[1] = arrival(1, 2_020, status);
        history.letters.push(letter(1, reason, last));
        assert_eq!(wrong(&history), ["untrue-letter"], "{status} {reason} {last}");
    }
}

#[test]
fn poison_is_what_was_sent_and_passed_by_a_later_one() {
    let mut history = sound();
    history.arrivals[1] = arrival(1, 2_020, 500);
    history.letters.push(letter(1, "poison", "status_500"));
    assert_eq!(wrong(&history), [""; 0]);
    // Never sent.
    let without = history.arrivals.remove(1);
    assert_eq!(wrong(&history), ["untrue-letter"]);
    // Nothing later was taken.
    history.arrivals.truncate(1);
    history.posts.truncate(2);
    history.arrivals.push(without);
    assert_eq!(wrong(&history), ["untrue-letter"]);
}

#[test]
fn a_repeat_without_a_fault_is_one_too_many() {
    let mut history = sound();
    history.arrivals.push(arrival(2, 6_000, 200));
    assert_eq!(wrong(&history), ["repeated"]);
    assert_eq!(judged(&history).counts.duplicates, 1);
}

#[test]
fn a_fault_explains_one_repeat_of_what_was_in_flight_and_no_more() {
    let mut history = sound();
    history.faults.push(fault(3_200, 3_400));
    history.arrivals.push(arrival(2, 6_000, 200));
    assert_eq!(wrong(&history), [""; 0]);
    history.arrivals.push(arrival(2, 7_000, 200));
    assert_eq!(wrong(&history), ["repeated"]);
    history.faults.push(fault(6_500, 6_600));
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn a_restart_of_rabbitmq_explains_a_repeat_for_each_node_that_stops_and_no_more() {
    let mut history = sound();
    history.faults.push(Fault { kind: "restart-broker".into(), target: "all nodes".into(), ..fault(3_200, 9_000) });
    for at in [4_000, 6_000, 9_500] {
        history.arrivals.push(arrival(2, at, 200));
        assert_eq!(wrong(&history), [""; 0]);
    }
    history.arrivals.push(arrival(2, 9_600, 200));
    assert_eq!(wrong(&history), ["repeated"]);
}

#[test]
fn an_orderly_stop_explains_no_repeat() {
    let mut history = sound();
    history.faults.push(Fault { clean: true, ..fault(3_200, 3_400) });
    history.arrivals.push(arrival(2, 6_000, 200));
    assert_eq!(wrong(&history), ["repeated"]);
}

/// Whether a repeat of what was taken at 3.020 s is explained by a fault.
fn explains(kind: &str, target: &str, begun: u64, ended: u64) -> bool {
    let mut history = sound();
    history.faults.push(Fault { kind: kind.into(), target: target.into(), ..fault(begun, ended) });
    history.arrivals.push(arrival(2, 60_000, 200));
    wrong(&history).is_empty()
}

#[test]
fn a_fault_explains_repeats_of_what_was_taken_while_owners_could_end_by_it() {
    // A killed one ends at once, whenever it is started again.
    assert!(explains("kill-dispatcher", "dispatcher-0", 4_000, 30_000));
    assert!(!explains("kill-dispatcher", "dispatcher-0", 500, 30_000));
    // A frozen one learns it when it thaws.
    assert!(explains("freeze-dispatcher", "dispatcher-0", 500, 2_000));
    assert!(!explains("freeze-dispatcher", "dispatcher-0", 100, 900));
    // Nobody holds a lease for longer than it lasts.
    assert!(explains("half-open-redis", "dispatcher-0", 0, 30_000));
    assert!(!explains("half-open-redis", "dispatcher-0", 6_500, 30_000));
    assert!(explains("flush-redis", "server 0", 100, 200));
    // It forgets what it was told before.
    assert!(explains("flush-redis", "server 0", 9_000, 9_001));
    assert!(!explains("close-channels", "node 0", 9_000, 9_001));
    assert!(explains("kill-broker-node", "node 0", 100, 2_000));
    assert!(!explains("kill-broker-node", "node 0", 100, 900));
    // By these no owner ends.
    for (kind, target) in [("kill-ingest", "ingest-0"), ("cut-redis", "ingest-0"), ("stop-postgres", "postgres")] {
        assert!(!explains(kind, target, 2_500, 4_000), "{kind}");
    }
}

#[test]
fn rows_that_cannot_be_written_let_a_later_fault_reach_back() {
    let mut history = sound();
    let of = |kind: &str, begun, ended| Fault { kind: kind.into(), ..fault(begun, ended) };
    history.faults.push(of("kill-dispatcher", 15_000, 16_000));
    history.arrivals.push(arrival(2, 20_000, 200));
    assert_eq!(wrong(&history), ["repeated"]);
    history.faults.push(of("stop-postgres", 3_500, 14_000));
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn a_post_that_was_repeated_may_be_two_messages_when_redis_forgot() {
    let mut history = sound();
    history.posts[2].repeats = 1;
    history.arrivals.push(arrival(2, 9_000, 200));
    assert_eq!(wrong(&history), ["repeated"]);
    history.faults.push(Fault { kind: "cut-redis".into(), target: "ingest-0".into(), ..fault(2_000, 2_500) });
    assert_eq!(wrong(&history), ["repeated"]);
    history.faults.push(Fault { kind: "flush-redis".into(), ..fault(8_000, 8_001) });
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn a_fault_long_after_it_was_taken_explains_no_repeat() {
    let mut history = sound();
    history.faults.push(fault(9_000, 9_100));
    history.arrivals.push(arrival(1, 9_200, 200));
    assert_eq!(wrong(&history), ["repeated"]);
}

#[test]
fn an_answer_that_came_late_may_have_been_missed() {
    let mut history = sound();
    history.arrivals[4].replied = Some(At::millis(6_500));
    history.arrivals.push(arrival(4, 6_600, 200));
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn a_copy_of_a_post_whose_answer_was_lost_is_no_strange_event() {
    let mut history = sound();
    let mut copy = arrival(2, 3_019, 200);
    copy.event = EventId("another".into());
    signed(&mut copy, KEY);
    history.arrivals.insert(2, copy);
    assert_eq!(wrong(&history), ["unknown-event"]);
    history.posts[2].repeats = 1;
    assert_eq!(wrong(&history), [""; 0]);
    // It stands for itself alone: the event that was answered with 202 has to come too.
    history.arrivals.remove(3);
    assert_eq!(wrong(&history), ["lost"]);
}

#[test]
fn an_event_from_before_the_registration_or_of_another_path_is_not_due() {
    let mut history = sound();
    history.webhooks[0].registered = call(1_500);
    assert_eq!(wrong(&history), ["not-due"]);
    history.arrivals[0].resend = true;
    assert_eq!(wrong(&history), [""; 0]);
    history.arrivals[3].path = "/elsewhere".into();
    assert_eq!(wrong(&history), ["not-due"]);
}

#[test]
fn a_webhook_that_nobody_registered_is_seen_unless_the_answer_was_lost() {
    let mut history = sound();
    history.arrivals.push(Arrival { webhook: WebhookId("who".into()), ..arrival(4, 6_000, 200) });
    assert_eq!(wrong(&history), ["unknown-webhook"]);
    history.uncertain.push("/p0/0".into());
    assert_eq!(wrong(&history), [""; 0]);
}

#[test]
fn books_that_do_not_add_up_and_what_is_left_pending_are_seen() {
    let mut history = sound();
    history.books[0].delivered = 4;
    assert_eq!(wrong(&history), ["books"]);
    history.books[0].pending = 1;
    assert_eq!(wrong(&history), ["pending"]);
}
