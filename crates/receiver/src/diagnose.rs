//! Finds the mistake behind a signature that does not fit, by making the known mistakes and looking which one fits.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::verify::{Diagnosis, Key, authenticates};

/// The mistake that explains `tag`, which should be the code of `scheme` and the body. `other` is the scheme with
/// another time stamp of the request and that header's name; `prefixes` are what else one might put before a body.
pub(crate) fn diagnose(
    key: &Key,
    tag: &[u8],
    body: &[u8],
    scheme: &str,
    other: Option<(&'static str, String)>,
    prefixes: &[String],
) -> Diagnosis {
    let right = [scheme.as_bytes(), body];
    if hex::decode(&key.characters).is_ok_and(|decoded| authenticates(&decoded, tag, &right)) {
        return Diagnosis::KeyDecodedFromHex;
    }
    let whole = format!("whsec_{}", STANDARD.encode(&key.characters));
    if authenticates(whole.as_bytes(), tag, &right) {
        return Diagnosis::KeyIsWholeStandardSecret;
    }
    if key.signed(tag, &[body]) {
        return Diagnosis::BodyOnly;
    }
    if let Some((name, other)) = other
        && other != scheme
        && key.signed(tag, &[other.as_bytes(), body])
    {
        return Diagnosis::OtherTimestamp(name.to_owned());
    }
    if let Some(prefix) = prefixes.iter().find(|prefix| key.signed(tag, &[prefix.as_bytes(), body])) {
        return Diagnosis::OtherPrefix(prefix.clone());
    }
    match changes(body).find(|(_, changed)| key.signed(tag, &[scheme.as_bytes(), changed])) {
        Some((how, _)) => Diagnosis::BodyChanged(how),
        None => Diagnosis::WrongSecretOrBody,
    }
}

/// What a body may have been before something on the way, or the receiver's framework, changed it.
fn changes(body: &[u8]) -> impl Iterator<Item = (&'static str, Cow<'_, [u8]>)> {
    let compact = respaced(body, b":", b",");
    let trimmed = body.trim_ascii();
    let candidates: Vec<(&'static str, Cow<'_, [u8]>)> = vec![
        ("the body without the white space around it", Cow::Borrowed(trimmed)),
        ("the body with a line break at its end", Cow::Owned([body, b"\n"].concat())),
        ("the body with LF instead of CRLF", Cow::Owned(without_cr(body))),
        ("the body written compactly, so it was indented or spaced later", Cow::Owned(compact.clone())),
        ("the body with a space behind `:` and `,`", Cow::Owned(respaced(body, b": ", b", "))),
        ("the compact body with `\\u` escapes for what is not ASCII", Cow::Owned(escaped(&compact, true))),
        ("the spaced body with `\\u` escapes for what is not ASCII", {
            Cow::Owned(escaped(&respaced(body, b": ", b", "), true))
        }),
        ("the compact body with `\\/` for `/`", Cow::Owned(escaped(&compact, false))),
        ("the compact body with characters instead of their `\\u` escapes", Cow::Owned(unescaped(&compact))),
    ];
    candidates.into_iter().filter(move |(_, changed)| changed.as_ref() != body)
}

fn without_cr(body: &[u8]) -> Vec<u8> {
    body.iter()
        .enumerate()
        .filter(|(at, byte)| **byte != b'\r' || body.get(at + 1) != Some(&b'\n'))
        .map(|(_, b)| *b)
        .collect()
}

/// The same JSON with other white space: none but what follows colons and commas.
fn respaced(body: &[u8], colon: &[u8], comma: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut in_string = false;
    let mut escape = false;
    for byte in body {
        match byte {
            _ if in_string => {
                out.push(*byte);
                in_string = escape || *byte != b'"';
                escape = !escape && *byte == b'\\';
            }
            b'"' => {
                in_string = true;
                out.push(*byte);
            }
            b':' => out.extend_from_slice(colon),
            b',' => out.extend_from_slice(comma),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => out.push(*byte),
        }
    }
    out
}

/// With `\u` escapes for what is not ASCII, or with `\/` for every slash.
fn escaped(body: &[u8], ascii: bool) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else { return body.to_vec() };
    if !ascii {
        return text.replace('/', "\\/").into_bytes();
    }
    let mut out = String::with_capacity(body.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out.into_bytes()
}

/// With characters instead of `\u` escapes, `/` instead of `\/`; what must be escaped stays.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'\\' {
            out.push(*byte);
            rest = after;
            continue;
        }
        match after.first() {
            Some(b'/') => {
                out.push(b'/');
                rest = &after[1..];
            }
            Some(b'u') => {
                let (taken, character) = escape_of(rest);
                match character.filter(|character| !character.is_control() && !matches!(character, '"' | '\\')) {
                    Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => out.extend_from_slice(&rest[..taken]),
                }
                rest = &rest[taken..];
            }
            _ => {
                let taken = rest.len().min(2);
                out.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
            }
        }
    }
    out
}

/// The character of the escape, or pair of them, that `text` begins with, and how many bytes that takes.
fn escape_of(text: &[u8]) -> (usize, Option<char>) {
    let unit = |at: usize| -> Option<u16> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(first) = unit(0) else { return (text.len().min(2), None) };
    if let Some(Ok(character)) = char::decode_utf16([first]).next() {
        return (6, Some(character));
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    if pair.is_some() { (12, pair) } else { (6, None) }
}
