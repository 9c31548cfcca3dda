//! What this program was built from, for `--version`. The build's environment says so, and nothing else: the clock and
//! the repository would make each build another one.

use std::sync::LazyLock;

use jiff::Timestamp;

/// The commit, from `BUILD_COMMIT`.
const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");
/// When the source was last changed, in UNIX seconds, from `SOURCE_DATE_EPOCH`.
const CHANGED: Option<i64> = match option_env!("SOURCE_DATE_EPOCH") {
    None => None,
    Some(text) if text.is_empty() => None,
    Some(text) => match i64::from_str_radix(text, 10) {
        Ok(seconds) if seconds >= 0 && seconds <= crate::cli::LATEST.cast_signed() => Some(seconds),
        _ => panic!("SOURCE_DATE_EPOCH is not a number of seconds since 1970: `git log -1 --format=%ct` prints one"),
    },
};

static VERSION: LazyLock<String> = LazyLock::new(|| describe(env!("CARGO_PKG_VERSION"), COMMIT, CHANGED));

/// The version, and in parentheses what is known of the commit and its date.
pub(crate) fn version() -> &'static str {
    &VERSION
}

fn describe(version: &str, commit: Option<&str>, changed: Option<i64>) -> String {
    let commit = commit.filter(|commit| !commit.is_empty()).map(str::to_owned);
    let date = changed.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let date = date.map(|date| date.strftime("%Y-%m-%d").to_string());
    let known: Vec<String> = commit.into_iter().chain(date).collect();
    if known.is_empty() { version.to_owned() } else { format!("{version} ({})", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(describe("1.2.3", Some("0a1b2c3"), Some(1_700_000_000)), "1.2.3 (0a1b2c3, 2023-11-14)");
        assert_eq!(describe("1.2.3", Some("0a1b2c3"), None), "1.2.3 (0a1b2c3)");
        assert_eq!(describe("1.2.3", None, Some(0)), "1.2.3 (1970-01-01)");
        for commit in [None, Some("")] {
            assert_eq!(describe("1.2.3", commit, None), "1.2.3");
        }
    }
}
