//! Each rule of the design that is there because of a fault is needed: without it the checker finds a violation.

mod common;

use common::first_violation;
use spectrum_webhook_sim::rule::Rule;
use spectrum_webhook_sim::{Options, Stage};

/// Seeds within which each rule's absence is noticed; most are within a hundred (docs/simulation.md).
const SEEDS: u64 = 10_000;

/// What no history has needed: a late mark is a true one. And what fewer than one in ten thousand needs, which has a test of
/// its own: `what_is_announced_late_after_redis_forgot_newer_versions_is_no_copy`.
const UNSEEN: [Rule; 2] = [Rule::SettleCompares, Rule::AnnounceNoCopy];

#[test]
#[expect(clippy::print_stdout, reason = "which seed found it is worth knowing")]
fn without_any_one_of_the_rules_a_violation_is_found() {
    let needed = Rule::ALL.iter().copied().filter(|rule| !UNSEEN.contains(rule));
    let unnoticed: Vec<&str> = needed
        .filter(|rule| {
            let options = Options { stage: Some(Stage::Cluster), without: Some(*rule), ..Options::default() };
            let found = first_violation(SEEDS, options);
            if let Some(report) = &found {
                let (code, violation) = (rule.code(), report.violation.as_deref().unwrap_or_default());
                println!("without {code}, seed {}: {violation}", report.seed);
            }
            found.is_none()
        })
        .map(Rule::code)
        .collect();
    assert!(unnoticed.is_empty(), "nobody noticed that these were missing: {unnoticed:?}");
}

#[test]
fn a_rule_is_found_by_its_word() {
    for rule in Rule::ALL {
        assert_eq!(rule.code().parse(), Ok(*rule));
    }
    assert!("nothing".parse::<Rule>().is_err());
}
