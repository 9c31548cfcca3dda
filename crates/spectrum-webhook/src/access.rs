//! Which server a client command talks to and as whom: flags go before the environment, and that before a profile.

use url::Url;
use uuid::Uuid;

use crate::api_client::Credentials;
use crate::cli::access::Access;
use crate::exit::Usage;
use crate::profiles::{self, Profile};

/// The server, when nothing names one.
const LOCAL: &str = "http://127.0.0.1:8080";
/// The profile that is used when none is named.
const DEFAULT: &str = "default";

/// A server, a project of it, and who asks.
pub(crate) struct Server {
    /// The API.
    pub(crate) url: Url,
    /// The project.
    pub(crate) project: Uuid,
    /// Who asks.
    pub(crate) credentials: Credentials,
}

/// Puts together what the flags, the environment and a profile say. The profile file is read only when something is
/// missing or a profile is named.
///
/// # Errors
/// When something is missing or malformed.
pub(crate) fn resolve(access: &Access, environment: &dyn Fn(&str) -> Option<String>) -> Result<Server, Usage> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let url = access.url.clone().map_or_else(|| parsed(&variable, "SPECTRUM_URL", "a URL"), |url| Ok(Some(url)))?;
    let project = access
        .project
        .map_or_else(|| parsed(&variable, "SPECTRUM_PROJECT_ID", "an id (a UUID)"), |project| Ok(Some(project)))?;
    // A server's environment may have the operator's token too: whoever sets a project's secret means that.
    let credentials = access
        .secret
        .clone()
        .map(Credentials::Project)
        .or_else(|| access.operator_token.clone().map(Credentials::Operator))
        .or_else(|| variable("SPECTRUM_PROJECT_SECRET").map(Credentials::Project))
        .or_else(|| variable("SPECTRUM_OPERATOR_TOKEN").map(Credentials::Operator));
    let named = access.profile.clone().or_else(|| variable("SPECTRUM_PROFILE"));
    let complete = url.is_some() && project.is_some() && credentials.is_some();
    let profile = if complete && named.is_none() { Profile::default() } else { profile(named, &variable)? };
    let missing = |what: &str, flag: &str, name: &str| {
        Usage(format!("{what} is not known: give {flag}, set {name}, or write a profile"))
    };
    let local = || LOCAL.parse().map_err(|_| Usage(format!("{LOCAL} is no URL")));
    Ok(Server {
        url: url.or(profile.url).map_or_else(local, Ok)?,
        project: project
            .or(profile.project)
            .ok_or_else(|| missing("the project", "--project", "SPECTRUM_PROJECT_ID"))?,
        credentials: credentials
            .or(profile.credentials)
            .ok_or_else(|| missing("the project's secret", "--secret", "SPECTRUM_PROJECT_SECRET"))?,
    })
}

/// A variable's value, if it is set.
fn parsed<T: std::str::FromStr>(
    variable: &dyn Fn(&str) -> Option<String>,
    name: &str,
    what: &str,
) -> Result<Option<T>, Usage> {
    variable(name).map(|value| value.parse().map_err(|_| Usage(format!("{name} is not {what}")))).transpose()
}

/// The named profile, which must be there, or the default one, which need not.
fn profile(named: Option<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Profile, Usage> {
    let Some(path) = profiles::path(variable) else {
        return match named {
            Some(_) => Err(Usage("neither XDG_CONFIG_HOME nor HOME says where the profile file is".to_owned())),
            None => Ok(Profile::default()),
        };
    };
    match profiles::find(&path, named.as_deref().unwrap_or(DEFAULT))? {
        Some(profile) => Ok(profile),
        None => match named {
            Some(name) => Err(Usage(format!("there is no profile `{name}` in {}: add [{name}] to it", path.display()))),
            None => Ok(Profile::default()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    const FILE: &str = "[default]\nurl = 'https://one.example'\nproject = '018f0000-0000-7000-8000-000000000001'\n\
                        secret = 'hunter2'\n\n[ops]\nurl = \"https://two.example/api\"\noperator_token = \"letmein\"\n";

    /// A configuration folder with that file.
    fn folder(text: &str, mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("spectrum-webhook");
        std::fs::create_dir(&below).expect("a folder");
        let file = below.join("profiles.toml");
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
        folder
    }

    fn resolved(access: &Access, folder: &Path, set: &[(&str, &str)]) -> Result<(String, u128, String), String> {
        let mut variables: HashMap<String, String> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.insert("XDG_CONFIG_HOME".to_owned(), folder.to_str().expect("a path").to_owned());
        let server = resolve(access, &|name| variables.get(name).cloned()).map_err(|error| error.to_string())?;
        let credentials = match server.credentials {
            Credentials::Project(secret) => format!("secret {secret}"),
            Credentials::Operator(token) => format!("token {token}"),
        };
        Ok((server.url.to_string(), server.project.as_u128() & 0xf, credentials))
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_a_profile() {
        let folder = folder(FILE, 0o600);
        let ask = |access: &Access, set: &[(&str, &str)]| resolved(access, folder.path(), set).expect("a server");
        let of = |url: &str, project, credentials: &str| (url.to_owned(), project, credentials.to_owned());
        let none = Access::default();
        assert_eq!(ask(&none, &[]), of("https://one.example/", 1, "secret hunter2"));
        let second = ("SPECTRUM_PROJECT_ID", "018f0000-0000-7000-8000-000000000002");
        assert_eq!(ask(&none, &[second]), of("https://one.example/", 2, "secret hunter2"));
        let ops = ("SPECTRUM_PROFILE", "ops");
        assert_eq!(ask(&none, &[second, ops]), of("https://two.example/api", 2, "token letmein"));
        let token = ("SPECTRUM_OPERATOR_TOKEN", "t");
        assert_eq!(ask(&none, &[token]), of("https://one.example/", 1, "token t"));
        assert_eq!(ask(&none, &[token, ("SPECTRUM_PROJECT_SECRET", "s")]).2, "secret s");
        let flags = Access { secret: Some("f".to_owned()), url: "http://f".parse().ok(), ..Access::default() };
        assert_eq!(ask(&flags, &[token, second, ("SPECTRUM_URL", "http://e")]), of("http://f/", 2, "secret f"));
        let profile = Access { profile: Some("ops".to_owned()), project: Some(Uuid::nil()), ..Access::default() };
        assert_eq!(
            ask(&profile, &[("SPECTRUM_PROFILE", "default")]),
            of("https://two.example/api", 0, "token letmein")
        );
    }

    #[test]
    fn without_a_profile_the_server_is_this_machine_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let ask = |set: &[(&str, &str)]| resolved(&Access::default(), folder.path(), set);
        let project = ("SPECTRUM_PROJECT_ID", "018f0000-0000-7000-8000-000000000002");
        assert_eq!(ask(&[project, ("SPECTRUM_PROJECT_SECRET", "s")]).expect("a server").0, "http://127.0.0.1:8080/");
        assert!(ask(&[project]).expect_err("no secret").contains("SPECTRUM_PROJECT_SECRET"));
        assert!(ask(&[project, ("SPECTRUM_PROJECT_SECRET", "")]).expect_err("no secret").contains("--secret"));
        assert!(ask(&[]).expect_err("no project").contains("SPECTRUM_PROJECT_ID"));
        assert!(ask(&[("SPECTRUM_PROFILE", "x")]).expect_err("no file").contains("there is no profile `x` in /"));
        assert!(ask(&[("SPECTRUM_PROJECT_ID", "x")]).expect_err("no id").contains("SPECTRUM_PROJECT_ID is not an id"));
    }

    #[test]
    fn a_file_that_others_may_use_is_refused_with_what_to_do() {
        for mode in [0o640, 0o604, 0o622] {
            let folder = folder(FILE, mode);
            let said = resolved(&Access::default(), folder.path(), &[]).expect_err("an open file");
            assert!(said.contains(&format!("mode {mode:o}")) && said.contains("chmod 600"), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_by_line_and_no_secret_with_it() {
        for (text, expected) in [
            ("[default]\nsecret = hunter2\n", "line 2: this is no TOML"),
            ("[default]\nsecret = 'hunter2\n", "line 2: this is no TOML"),
            ("[default]\n\nsecret = 1234567\n", "line 3: `secret` must be a text"),
            ("default = 'hunter2'\n", "line 1: `default` is no table"),
            ("[default]\nurl = 'hunter2'\n", "line 2: `url` is no URL"),
            ("[default]\nproject = 'hunter2'\n", "line 2: `project` is no id"),
            ("[default]\npassword = 'hunter2'\n", "line 2: `password` is unknown"),
            ("[default]\nsecret = 'hunter2'\noperator_token = 'hunter2'\n", "not both"),
        ] {
            let folder = folder(text, 0o600);
            let said = resolved(&Access::default(), folder.path(), &[]).expect_err(text);
            assert!(said.contains(expected), "{text}: {said}");
            assert!(!said.contains("hunter2") && !said.contains("1234567"), "{said}");
        }
    }
}
