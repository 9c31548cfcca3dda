//! Secrets, and the forms in which they could stand somewhere.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Secrets by what they are, each in all its forms.
#[derive(Clone, Default)]
pub(super) struct Needles(Vec<(String, String)>);

impl Needles {
    /// Adds a secret; `what` names it when it is found.
    pub(super) fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what} is too short to be told from other text");
        let mut forms = vec![secret.to_owned(), secret.bytes().map(|byte| format!("{byte:02x}")).collect()];
        // As a list of numbers, which is how `{:?}` shows bytes.
        forms.push(secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "));
        forms.push(secret.bytes().map(|byte| format!("%{byte:02X}")).collect());
        for shift in 0..3 {
            forms.push(inside(&STANDARD_NO_PAD.encode(shifted(secret, shift)), secret, shift));
            forms.push(inside(&URL_SAFE_NO_PAD.encode(shifted(secret, shift)), secret, shift));
        }
        forms.sort();
        forms.dedup();
        self.0.extend(forms.into_iter().map(|form| (what.to_owned(), form)));
    }

    /// Adds all of another.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Finds none in a text.
    #[track_caller]
    pub(super) fn none_in(&self, place: &str, text: &str) {
        for (what, form) in &self.0 {
            if let Some(at) = text.find(form.as_str()) {
                let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
                let line: String = text[start..].lines().next().unwrap_or_default().chars().take(2_000).collect();
                panic!("{what} is in {place}, as {form}:\n{line}");
            }
        }
    }

    /// Finds none in a folder's files, whatever they are.
    #[track_caller]
    pub(super) fn none_in_files(&self, place: &str, folder: &Path) {
        let mut grep = Command::new("grep")
            .args(["--recursive", "--text", "--fixed-strings", "--only-matching", "--file=-"])
            .arg(folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Files that a running service takes away meanwhile.
            .stderr(Stdio::null())
            .spawn()
            .expect("grep");
        let forms: Vec<&str> = self.0.iter().map(|(_, form)| form.as_str()).collect();
        grep.stdin.take().expect("its input").write_all(forms.join("\n").as_bytes()).expect("the forms");
        let found = grep.wait_with_output().expect("its end").stdout;
        let found = String::from_utf8_lossy(&found);
        let what: Vec<_> = self.0.iter().filter(|(_, form)| found.contains(form.as_str())).collect();
        assert!(what.is_empty(), "{what:?} in {place}:\n{found}");
    }
}

fn shifted(secret: &str, shift: usize) -> Vec<u8> {
    [&[0; 2][..shift], secret.as_bytes()].concat()
}

/// The characters of the base64 of something that holds the secret at this shift, which are of the secret alone.
fn inside(encoded: &str, secret: &str, shift: usize) -> String {
    let from = [0, 2, 3][shift];
    encoded[from..(shift + secret.len()) * 8 / 6].to_owned()
}

#[test]
fn a_secret_is_found_in_every_form() {
    let mut needles = Needles::default();
    needles.add("it", "hunter2hunter2hunter2");
    for text in [
        "xhunter2hunter2hunter2x".to_owned(),
        STANDARD_NO_PAD.encode("id:hunter2hunter2hunter2 and more"),
        STANDARD_NO_PAD.encode("i:hunter2hunter2hunter2 and more"),
        STANDARD_NO_PAD.encode("i :hunter2hunter2hunter2"),
        format!("{:?}", b"hunter2hunter2hunter2"),
    ] {
        assert!(std::panic::catch_unwind(|| needles.none_in("a text", &text)).is_err(), "{text}");
        let folder = tempfile::TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("file"), format!("\0{text}\0")).expect("a file");
        assert!(std::panic::catch_unwind(|| needles.none_in_files("a file", folder.path())).is_err(), "{text}");
    }
    needles.none_in("a text", "hunter2hunter2");
}
