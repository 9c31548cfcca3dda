//! The profile file: servers and credentials by name, for people with several of them.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use url::Url;
use uuid::Uuid;

use crate::api_client::Credentials;
use crate::exit::Usage;

/// Larger files are mistakes.
const LARGEST: u64 = 1 << 20;

/// One table of the file; what it does not have is `None`.
#[derive(Default)]
pub(crate) struct Profile {
    /// The server's API.
    pub(crate) url: Option<Url>,
    /// The project.
    pub(crate) project: Option<Uuid>,
    /// `secret` or `operator_token`.
    pub(crate) credentials: Option<Credentials>,
}

/// Where the file is: below `$XDG_CONFIG_HOME`, else below `~/.config`. `None` where neither is known.
pub(crate) fn path(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // A relative XDG path counts as none, by its standard.
    let configured = environment("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = configured.or_else(|| Some(Path::new(&environment("HOME")?).join(".config")))?;
    Some(folder.join("spectrum-webhook").join("profiles.toml"))
}

/// The profile of that name; `None` when there is no file, or no such profile in it.
///
/// # Errors
/// When the file cannot be read, others may read or write it, or it is malformed. No message has anything of its text
/// but names of profiles and keys.
pub(crate) fn find(path: &Path, name: &str) -> Result<Option<Profile>, Usage> {
    let Some(text) = read(path)? else { return Ok(None) };
    let at = |span: usize| text[..span.min(text.len())].matches('\n').count() + 1;
    let wrong = |line: usize, what: String| Usage(format!("{}, line {line}: {what}", path.display()));
    let document = DeTable::parse(&text).map_err(|error| {
        // The parser's own words could quote a secret.
        let line = at(error.span().map_or(0, |span| span.start));
        wrong(line, "this is no TOML: write tables like [default], and each text in quotes".to_owned())
    })?;
    let Some((_, entry)) = document.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == name) else {
        return Ok(None);
    };
    let DeValue::Table(table) = entry.get_ref() else {
        return Err(wrong(at(entry.span().start), format!("`{name}` is no table: write [{name}]")));
    };
    let mut profile = Profile::default();
    for (key, value) in table {
        let line = at(key.span().start);
        let key = key.get_ref().as_ref();
        let DeValue::String(value) = value.get_ref() else {
            return Err(wrong(line, format!("`{key}` must be a text in quotes")));
        };
        let credentials = match key {
            "url" => {
                profile.url = Some(value.parse().map_err(|_| wrong(line, "`url` is no URL".to_owned()))?);
                continue;
            }
            "project" => {
                let id = value.parse().map_err(|_| wrong(line, "`project` is no id (a UUID)".to_owned()))?;
                profile.project = Some(id);
                continue;
            }
            "secret" => Credentials::Project(value.clone().into_owned()),
            "operator_token" => Credentials::Operator(value.clone().into_owned()),
            _ => {
                let known = "a profile has `url`, `project` and `secret` or `operator_token`";
                return Err(wrong(line, format!("`{key}` is unknown: {known}")));
            }
        };
        if profile.credentials.replace(credentials).is_some() {
            return Err(wrong(line, "a profile has `secret` or `operator_token`, not both".to_owned()));
        }
    }
    Ok(Some(profile))
}

/// The file's text, if there is one that is its owner's alone.
fn read(path: &Path) -> Result<Option<String>, Usage> {
    let failed = |error: std::io::Error| Usage(format!("{} cannot be read: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        let mode = mode & 0o777;
        return Err(Usage(format!("{path} holds secrets and others may use it (mode {mode:o}): chmod 600 '{path}'")));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        return Err(Usage(format!("{} is larger than 1 MiB: it is no profile file", path.display())));
    }
    Ok(Some(text))
}
