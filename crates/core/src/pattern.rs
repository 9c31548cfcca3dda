//! Patterns of event types: `*` stands for any run of characters, also none.

use crate::event::is_event_type;

/// The most stars that a pattern may have.
pub const MAX_STARS: usize = 8;

/// Whether this can be a pattern: an event's name in which at most [`MAX_STARS`] characters may be stars.
pub fn is_pattern(pattern: &[u8]) -> bool {
    is_event_type(pattern) && pattern.iter().filter(|byte| **byte == b'*').count() <= MAX_STARS
}

/// Whether a name fits a pattern. Without a star they are the same; letters of another case differ. It takes time in
/// proportion to both lengths together, whatever the pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, behind)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let (middle, tail) = behind.rsplit_once('*').unwrap_or(("", behind));
    // A part between two stars may stand anywhere. The first place where it does leaves the most for those behind it,
    // so that no other place needs to be tried.
    for part in middle.split('*') {
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, fits) in [
            ("messages", "messages", true),
            ("messages", "messages.v2", false),
            ("messages", "Messages", false),
            ("*", "anything", true),
            ("***", "x", true),
            ("message.*", "message.created", true),
            ("message.*", "message.", true),
            ("message.*", "message", false),
            ("*.created", "message.created", true),
            ("*.created", ".created", true),
            ("*.created", "message.created.v2", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*bc*bc", "abc", false),
            ("*ab*ab*", "aab.b", false),
            ("*ab*ab*", "aabab", true),
            ("a*b", "a*b", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_is_an_event_type_with_eight_stars_at_most() {
        for (pattern, good) in [("*", true), ("a.*", true), ("********", true), ("*********", false), ("a *", false)] {
            assert_eq!(is_pattern(pattern.as_bytes()), good, "{pattern}");
        }
        assert!(is_pattern(&[b'*'; 1]) && !is_pattern(b"") && is_pattern(&[b'a'; 64]) && !is_pattern(&[b'a'; 65]));
    }

    /// Tries every run that a star can stand for.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|run| naive(rest, &name[run..])),
            Some((first, rest)) => name.split_first().is_some_and(|(had, name)| had == first && naive(rest, name)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn it_finds_what_trying_every_run_finds(pattern in "[ab*]{0,9}", name in "[ab*]{0,12}") {
            prop_assert_eq!(matches(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
