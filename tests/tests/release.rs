//! `release/check.sh` on a copy of the repository: it holds for one that can be released, and says what is wrong with one
//! that cannot. What takes long (the build, twice; the SBOM) is left to `make release-check`.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use spectrum_webhook_testkit::process::binary;

/// What is looked at here.
const CHECKS: [&str; 8] =
    ["tree", "version_of_crates", "version_elsewhere", "changelog", "tag", "lock", "says", "openapi"];

/// What this is, and what it becomes when everything is broken.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const NEXT: &str = "999.0.0";

/// A repository of one commit, with what the last commit of this one has.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { folder: tempfile::tempdir().expect("a folder") };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let archive = Command::new("git").args(["archive", "--format=tar", "HEAD"]).current_dir(root).output();
        let archive = archive.expect("git").stdout;
        let file = copy.path("archive.tar");
        std::fs::write(&file, archive).expect("a file");
        copy.run("tar", &["--extract", "--file", "archive.tar"]);
        std::fs::remove_file(file).expect("a file");
        copy.edit("CHANGELOG.md", " - Unreleased", " - 2026-01-02");
        copy.run("git", &["init", "--quiet", "--initial-branch=main"]);
        copy.commit();
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program that has to succeed.
    fn run(&self, program: &str, words: &[&str]) {
        let done = Command::new(program).args(words).current_dir(self.folder.path()).output().expect(program);
        assert!(done.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self) {
        self.run("git", &["add", "--all"]);
        let who = ["-c", "user.name=someone", "-c", "user.email=someone@example.com"];
        self.run("git", &[&who[..], &["commit", "--quiet", "--message=all", "--no-gpg-sign"]].concat());
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect(name);
        std::fs::write(self.path(name), text.replacen(from, to, 1)).expect(name);
    }

    /// Whether it can be released, and what was said.
    fn check(&self) -> (bool, String) {
        let mut check = Command::new(self.path("release/check.sh"));
        check.args(CHECKS).env("PROGRAM", binary()).env("SKIP", "").env_remove("CARGO_TARGET_DIR");
        let done = check.output().expect("the script");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// The checks of which the table says this.
fn rows<'a>(said: &'a str, outcome: &str) -> Vec<&'a str> {
    let rows = said.lines().filter_map(|line| line.strip_prefix(outcome)?.strip_prefix(' '));
    rows.filter_map(|row| row.split_whitespace().next()).collect()
}

#[test]
fn a_release_is_checked_and_a_broken_tree_is_told_what_is_wrong_with_it() {
    let copy = Copy::new();
    let (good, said) = copy.check();
    assert!(good, "{said}");
    assert_eq!(rows(&said, "ok"), CHECKS, "{said}");

    std::fs::write(copy.path("left-over"), "").expect("a file");
    copy.run("git", &["tag", &format!("v{NEXT}")]);
    copy.edit("Cargo.toml", &format!("version = \"{VERSION}\""), &format!("version = \"{NEXT}\""));
    copy.edit("crates/core/Cargo.toml", "version.workspace = true", "version = \"998.0.0\"");
    copy.edit("docs/openapi.json", "openapi", "open-api");
    copy.commit();
    std::fs::write(copy.path("another"), "").expect("a file");
    let (good, said) = copy.check();
    assert!(!good, "{said}");
    assert_eq!(rows(&said, "FAILED"), CHECKS, "{said}");
    for told in [
        "?? another",
        "spectrum-webhook-core: 998.0.0",
        &format!("CHANGELOG.md begins with `## [{VERSION}] - "),
        "in deploy or docs/kubernetes.md stands",
        "raise the version",
        "bring Cargo.toml's lock file up to date",
        "--version says",
        "spectrum-webhook openapi > docs/openapi.json",
        &format!("{NEXT} cannot be released: 8 of 8 failed"),
    ] {
        assert!(said.contains(told), "not `{told}`:\n{said}");
    }
}
