//! The pages over a real store and the real API, without a browser: who is let in, what is shown, what is refused.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the test runner captures it, and shows it when a test fails")]

mod acting;
mod looking;
mod sessions;
mod world;
