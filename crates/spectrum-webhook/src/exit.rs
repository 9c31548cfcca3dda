//! The exit codes, for scripts. `docs/cli.md` has the table.

use crate::api_client::call::CallError;
use crate::config::Mistakes;

/// It could not be done: no server, a broken answer, anything else.
const FAILURE: u8 = 1;
/// What is wrong is the caller's: arguments, settings or a profile. (Clap uses it for arguments too.)
const USAGE: u8 = 2;
/// The server refused.
const REFUSED: u8 = 3;
/// There is no such thing.
const NOT_FOUND: u8 = 4;
/// The server does not take it for the moment.
const TRY_LATER: u8 = 5;

/// What is wrong is the caller's, and how to mend it. Its text has no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Mistakes>() || error.is::<Usage>() {
        return USAGE;
    }
    match error.downcast_ref::<CallError>() {
        Some(CallError::Refused { status: 404, .. }) => NOT_FOUND,
        Some(refused @ CallError::Refused { .. }) if refused.passes() => TRY_LATER,
        Some(CallError::Refused { status: 400..=499, .. }) => REFUSED,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn every_refusal_has_a_code_of_its_kind_also_behind_a_context() {
        let refused =
            |status| CallError::Refused { status, code: String::new(), message: String::new(), retry_after: None };
        for (status, expected) in [(401, 3), (404, 4), (409, 3), (422, 3), (429, 5), (500, 1), (502, 5), (503, 5)] {
            let error: Result<(), _> = Err(refused(status));
            assert_eq!(code(&error.context("a try").expect_err("an error")), expected, "{status}");
        }
        assert_eq!(code(&CallError::NoAnswer(String::new()).into()), 1);
        assert_eq!(code(&Usage(String::new()).into()), 2);
    }
}
