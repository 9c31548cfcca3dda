//! `webhook`: registering, changing and steering webhooks.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::access::Common;
use super::paging::Paging;
use super::wait;

/// `webhook`.
#[derive(Subcommand)]
pub(crate) enum Webhook {
    /// Register a URL; prints its signing secret, this one time.
    Add {
        /// The URL, `https` as a rule.
        #[arg(value_name = "URL")]
        webhook_url: String,
        /// Make one request to it at once, and print how each step went; it is registered whatever comes of that.
        #[arg(long)]
        check: bool,
        /// What it takes and how it is called.
        #[command(flatten)]
        options: Options,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Print all webhooks of the project.
    List(Common),
    /// Print one webhook, and how it does.
    Show(One),
    /// Change a webhook; what is not named stays.
    Set {
        /// The webhook.
        #[arg(value_name = "ID")]
        webhook: Uuid,
        /// Another URL.
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
        /// Take events of all types again.
        #[arg(long, conflicts_with = "event_types")]
        all_event_types: bool,
        /// Send no headers of its own any more.
        #[arg(long, conflicts_with = "headers")]
        no_headers: bool,
        /// Have no rate limit any more.
        #[arg(long, conflicts_with = "rate_limit")]
        no_rate_limit: bool,
        /// Have the server's time-out again.
        #[arg(long, conflicts_with = "attempt_timeout")]
        default_attempt_timeout: bool,
        /// What it takes and how it is called.
        #[command(flatten)]
        options: Options,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Delete a webhook.
    Remove(One),
    /// Replace a webhook's signing secret; prints the new one, this one time.
    Rotate {
        /// The webhook.
        #[arg(value_name = "ID")]
        webhook: Uuid,
        /// How long the old secret goes on signing beside the new one, a week at most; a day if not given.
        #[arg(long, value_name = "TIME", value_parser = wait)]
        overlap: Option<Duration>,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
    /// Deliver again, beginning with what was missed.
    Enable(One),
    /// Deliver nothing until it is enabled again; its events wait.
    Disable(One),
    /// Make one request to this webhook now, and print how each step went; ends with 0 when it was taken.
    Check(One),
    /// Send a test event to this webhook alone.
    Test(One),
    /// End an outage now: what waits is tried at once.
    Resume(Steer),
    /// Give up what is in front: it becomes a dead letter, and the next one is tried.
    Skip {
        /// This event instead of the one in front.
        #[arg(long, value_name = "ID")]
        event: Option<Uuid>,
        /// The webhook and why.
        #[command(flatten)]
        steer: Steer,
    },
    /// Drop everything that waits.
    Drop(Steer),
    /// Print what people did to this webhook, newest first.
    Steerings {
        /// The webhook.
        #[arg(value_name = "ID")]
        webhook: Uuid,
        /// How many.
        #[command(flatten)]
        paging: Paging,
        /// The server, and how the answer is printed.
        #[command(flatten)]
        common: Common,
    },
}

/// A command about one webhook.
#[derive(Args)]
pub(crate) struct One {
    /// The webhook.
    #[arg(value_name = "ID")]
    pub(crate) webhook: Uuid,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// A command to one webhook's deliveries.
#[derive(Args)]
pub(crate) struct Steer {
    /// The webhook.
    #[arg(value_name = "ID")]
    pub(crate) webhook: Uuid,
    /// Why, for those who look later.
    #[arg(long)]
    pub(crate) reason: String,
    /// The server, and how the answer is printed.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What a webhook takes and how it is called.
#[derive(Args)]
pub(crate) struct Options {
    /// Take events of this type only; several may be named.
    #[arg(long = "event-type", value_name = "TYPE")]
    pub(crate) event_types: Vec<String>,
    /// Send this header with every delivery; several may be named.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Send so many deliveries a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate_limit: Option<u32>,
    /// How long one attempt may take, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt_timeout: Option<u32>,
    /// Which events wait for one another: all of the project, those of each space, or none.
    #[arg(long, value_name = "ORDER", value_parser = ["project", "space", "none"])]
    pub(crate) ordering: Option<String>,
}

/// A header as HTTP has it, without the white space around its value.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value, like `X-Team: billing`")?;
    let (name, value) = (name.trim(), value.trim());
    // What is wrong with a value is not quoted: it may be a secret.
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the name before the colon is no header's".to_owned())?;
    HeaderValue::from_str(value).map_err(|_| "the value behind the colon has characters that no header has")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let read = header("X-Team:  billing: eu ").expect("a header");
        assert_eq!(read, ("X-Team".to_owned(), "billing: eu".to_owned()));
        for text in ["X-Team", "X Team: a", ": a", "X-Team: a\nb"] {
            assert!(header(text).is_err(), "{text}");
        }
    }
}
