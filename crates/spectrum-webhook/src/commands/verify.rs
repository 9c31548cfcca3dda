//! `verify`: checks a captured delivery, and says what is wrong with it.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use spectrum_webhook_receiver::{Headers, Key, TOLERANCE};

use super::say;
use crate::cli::Verify;

/// Captures larger than this are refused.
const LARGEST: u64 = 64 << 20;

/// Prints `genuine` and ends with 0, or prints every problem and ends with 1.
///
/// # Errors
/// When the secret is malformed, or the capture cannot be read as one.
pub(super) fn verify(arguments: &Verify) -> anyhow::Result<ExitCode> {
    let key = Key::of(&arguments.secret)?;
    let (headers, body) = captured(arguments)?;
    let now = arguments.at.map_or_else(SystemTime::now, |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let mut problems = match spectrum_webhook_receiver::verify(&key, &headers, &body, now, TOLERANCE) {
        Ok(()) => Vec::new(),
        Err(problems) => problems,
    };
    let about_age = problems.iter().any(spectrum_webhook_receiver::Problem::is_about_age);
    if arguments.ignore_age {
        problems.retain(|problem| !problem.is_about_age());
    }
    if problems.is_empty() {
        say("genuine");
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        say(problem);
    }
    for hint in hints(&headers, &body, about_age && !arguments.ignore_age) {
        say(format_args!("hint: {hint}"));
    }
    Ok(ExitCode::FAILURE)
}

/// What a capture itself tells about how it was made.
fn hints(headers: &Headers, body: &[u8], about_age: bool) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(length) = headers.get("content-length").and_then(|length| length.parse::<usize>().ok())
        && length != body.len()
    {
        hints.push(format!(
            "Content-Length is {length} and the body here has {} bytes: the capture is not what was sent (an editor \
             that added a line break?)",
            body.len()
        ));
    }
    if headers.get("transfer-encoding").is_some() {
        hints.push("the capture says Transfer-Encoding: capture the body after its chunks are put together".to_owned());
    }
    if about_age {
        hints.push("a capture is always old: --at SECONDS says when it came in, --ignore-age does not mind".to_owned());
    }
    hints
}

fn captured(arguments: &Verify) -> anyhow::Result<(Headers, Vec<u8>)> {
    match (&arguments.request, &arguments.headers, &arguments.body) {
        (Some(request), ..) => split(&read(request)?),
        (None, Some(headers), Some(body)) => Ok((parse(&read(headers)?)?, read(body)?)),
        // Clap has refused it already.
        _ => bail!("a captured request, or --headers and --body"),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let source: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{} is larger than 64 MiB", path.display());
    }
    Ok(bytes)
}

/// A request's headers, and its body to the byte.
fn split(request: &[u8]) -> anyhow::Result<(Headers, Vec<u8>)> {
    // Captures that went through an editor have bare line feeds. Whichever empty line comes first ends the head.
    let ends = [&b"\r\n\r\n"[..], &b"\n\n"[..]].into_iter();
    let (at, length) = ends
        .filter_map(|end| Some((request.windows(end.len()).position(|window| window == end)?, end.len())))
        .min()
        .context("the capture has no empty line between headers and body")?;
    Ok((parse(&request[..at])?, request[at + length..].to_vec()))
}

/// Header lines; a request line in front is passed over.
fn parse(head: &[u8]) -> anyhow::Result<Headers> {
    let mut headers = Vec::new();
    for (number, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || (number == 0 && line.split(u8::is_ascii_whitespace).count() == 3 && !is_header(line)) {
            continue;
        }
        // HTTP/2 captures have pseudo headers, `:path: /`.
        if line.starts_with(b":") {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').with_context(|| {
            format!("line {} of the head is no header: {}", number + 1, String::from_utf8_lossy(line).escape_debug())
        })?;
        let name = String::from_utf8_lossy(line[..colon].trim_ascii()).into_owned();
        headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
    Ok(Headers(headers))
}

/// Whether a first line is a header already, and not `POST /path HTTP/1.1`.
fn is_header(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_split_at_its_first_empty_line() {
        for (capture, body) in [
            (&b"POST /a:b HTTP/1.1\r\nA: 1\r\n\r\n{\n\n}\r\n"[..], &b"{\n\n}\r\n"[..]),
            (b"A: 1\n\n{\r\n\r\n}", b"{\r\n\r\n}"),
            (b":method: POST\nA: 1\n\n", b""),
        ] {
            let (headers, found) = split(capture).expect("a capture");
            assert_eq!((headers.get("a"), found.as_slice()), (Some("1"), body));
            assert_eq!(headers.0.len(), 1);
        }
        assert!(split(b"A: 1").is_err());
        assert!(split(b"A: 1\nnonsense\n\n").is_err());
    }
}
