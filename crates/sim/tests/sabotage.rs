//! The checker cries when a promise is broken: a judge who never does would prove nothing.

use spectrum_webhook_sim::sabotage::Sabotage;
use spectrum_webhook_sim::{Options, Stage, run};

/// What the checker says of the first of some seeds in which the sabotage can be noticed.
fn cry(sabotage: Sabotage) -> String {
    let options = Options { sabotage: Some(sabotage), stage: Some(Stage::Embedded), ..Options::default() };
    let violation = |seed| match run(seed, options) {
        Ok(report) => report.violation,
        Err(error) => panic!("the simulation does not run: {error}"),
    };
    (1..=150).find_map(violation).unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"))
}

#[track_caller]
fn cries(sabotage: Sabotage, words: &str) {
    let violation = cry(sabotage);
    assert!(violation.contains(words), "{sabotage:?}: {violation}");
}

#[test]
fn an_accepted_event_that_is_dropped_is_noticed() {
    cries(Sabotage::DropAccepted, "never came to webhook");
}

#[test]
fn two_events_that_are_swapped_are_noticed() {
    cries(Sabotage::SwapTwo, "arrives first at");
}

#[test]
fn an_acknowledgement_before_the_rows_are_committed_is_noticed() {
    cries(Sabotage::AcknowledgeEarly, "never came to webhook");
}

#[test]
fn a_body_that_is_rebuilt_is_noticed() {
    cries(Sabotage::RebuildBody, "is not the one that was posted");
}

#[test]
fn an_attempt_after_a_confirmed_deletion_is_noticed() {
    cries(Sabotage::AttemptAfterDelete, "confirmed");
}

#[test]
fn two_attempts_at_a_time_are_noticed() {
    cries(Sabotage::AttemptTwice, "beside one that it waits for");
}

#[test]
fn a_read_that_misses_a_row_is_noticed() {
    cries(Sabotage::MissRow, "arrives first at");
}
