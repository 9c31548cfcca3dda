//! The documents point at what is there: files, headings, tests, events of the log.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "docs/log.rs"]
mod log;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// What stands at the root, and everything under `docs`.
fn documents() -> Vec<PathBuf> {
    let mut documents = files(&root().join("docs"), "md");
    let named = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name));
    documents.extend(named.into_iter().filter(|document| document.exists()));
    assert!(!documents.is_empty());
    documents
}

#[test]
fn every_relative_link_leads_to_a_file_and_every_fragment_to_a_heading() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for target in links(&prose(&text)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) =
                target.split_once('#').map_or((target.as_str(), None), |(path, it)| (path, Some(it)));
            let file = if path.is_empty() { document.clone() } else { document.with_file_name("").join(path) };
            let there = file.exists()
                && fragment.is_none_or(|fragment| {
                    file.extension().is_some_and(|it| it == "md") && headings(&read(&file)).contains(fragment)
                });
            if !there {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

/// What looks like the name of a test, in the document that says what shows each promise, is one.
#[test]
fn every_test_that_the_guarantees_name_exists() {
    let sources: String = ["crates", "tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .map(|file| read(&file))
        .collect();
    let text = prose(&read(&root().join("docs/guarantees.md")));
    let missing: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() >= 3 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        })
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// A document without its code blocks.
fn prose(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !fence && !inside
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The targets of inline links.
fn links(prose: &str) -> Vec<String> {
    let behind = prose.split("](").skip(1);
    behind.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The fragments of a document's headings, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let fragment = |heading: &str| {
        heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect()
    };
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| fragment(line.trim_start_matches('#')))
        .collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text file")
}
