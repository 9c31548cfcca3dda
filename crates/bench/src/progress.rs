//! What is said while it runs, and in the end.

/// A line of the result.
#[expect(clippy::print_stdout, reason = "a command line program")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A line that is not part of the result.
#[expect(clippy::print_stderr, reason = "a command line program")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}

/// How far it is.
pub(crate) fn step(what: &str) {
    complain(&format!("{} {what}", jiff::Timestamp::now().strftime("%H:%M:%S")));
}
