//! Which server and project a command is for, who asks, and how the answer is printed.

use clap::Args;
use url::Url;
use uuid::Uuid;

/// What every client command takes.
#[derive(Args)]
pub(crate) struct Common {
    /// Print JSON for scripts: what the API answers.
    #[arg(long)]
    pub(crate) json: bool,
    /// The server and who asks.
    #[command(flatten)]
    pub(crate) access: Access,
}

/// The server and who asks; what is not given comes from the environment, then from a profile.
///
/// The variables are not clap's: it would not tell a flag from a variable, and flags go first as a whole.
#[derive(Args, Default)]
#[command(next_help_heading = "Server and credentials")]
pub(crate) struct Access {
    /// The server's API [env: SPECTRUM_URL] [default: http://127.0.0.1:8080].
    #[arg(long)]
    pub(crate) url: Option<Url>,
    /// The project's id [env: SPECTRUM_PROJECT_ID].
    #[arg(long)]
    pub(crate) project: Option<Uuid>,
    /// The project's secret [env: SPECTRUM_PROJECT_SECRET].
    #[arg(long)]
    pub(crate) secret: Option<String>,
    /// An operator's token instead of the secret [env: SPECTRUM_OPERATOR_TOKEN].
    #[arg(long, value_name = "TOKEN", conflicts_with = "secret")]
    pub(crate) operator_token: Option<String>,
    /// A profile of `spectrum-webhook/profiles.toml` in `$XDG_CONFIG_HOME` or `~/.config` [env: SPECTRUM_PROFILE]
    /// [default: `default`, if there is one].
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}
