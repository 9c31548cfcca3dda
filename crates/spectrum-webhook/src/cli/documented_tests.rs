//! What the documents and what is under `deploy` say can be typed: every command line is one, every setting exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

/// What stands for an id in a command line that is tried.
const SAMPLE: &str = "0198c0de-0000-7000-8000-000000000000";
/// Words that stand for something else.
const PLACEHOLDERS: [&str; 3] = ["ID", "WEBHOOK", "EVENT"];
/// What may stand before the program in a document.
const BEFORE: [&str; 2] = ["exec", "sudo"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// The texts that people read or take over, with their names.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("deploy"), root().join("release")];
    let mut files: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        // Pictures are no text.
        if let Ok(text) = std::fs::read_to_string(&file) {
            found.push((file.strip_prefix(root()).expect("within").display().to_string(), text));
        }
    }
    assert!(found.len() > 10, "{} texts", found.len());
    found
}

/// The lines of a Markdown text that stand in code, and the spans of code in its prose.
fn code(markdown: &str) -> Vec<String> {
    let (mut inside, mut found) = (false, Vec::new());
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words of each command in a line of a shell, for the part of its language that documents use.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (vec![], vec![], None::<String>);
    let mut quote = None;
    let mut marks = line.chars().peekable();
    while let Some(mark) = marks.next() {
        match (quote, mark) {
            (Some(open), mark) if open == mark => quote = None,
            (None, '\'' | '"') => {
                quote = Some(mark);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(marks.next()),
            (None, '#') if word.is_none() => break,
            (None, '>' | '<') => {
                // A number before it is no word, and the file behind it no argument.
                let _ = word.take_if(|word| word.chars().all(|digit| digit.is_ascii_digit()));
                words.extend(word.take());
                let file = |mark: &char| *mark != '|' && *mark != ';';
                while marks.next_if(file).is_some() {}
            }
            (None, '|' | ';' | '&' | '(' | ')') => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (_, mark) => word.get_or_insert_default().push(mark),
        }
    }
    words.extend(word.take());
    commands.push(words);
    commands
}

/// The arguments of the program, if a command runs it.
fn arguments(command: &[String]) -> Option<Vec<String>> {
    // `kubectl exec POD -- PROGRAM …` runs it too.
    let behind = command.iter().position(|word| word == "--").map_or(0, |at| at + 1);
    let assigns = |word: &&String| word.contains('=') || BEFORE.contains(&word.as_str());
    let program = |word: &String| word.rsplit('/').next() == Some("spectrum-webhook");
    let mut words = [0, behind].into_iter().find_map(|start| {
        let mut words = command[start..].iter().skip_while(assigns);
        words.next().filter(|word| program(word))?;
        Some(words)
    })?;
    let stands_in = |word: &String| word.starts_with('$') || PLACEHOLDERS.contains(&word.trim_end_matches('…'));
    Some(words.by_ref().map(|word| if stands_in(word) { SAMPLE.to_owned() } else { word.clone() }).collect())
}

/// Whether it is the program or one of its commands alone, as a text names them.
fn is_name(arguments: &[String]) -> bool {
    let program = Cli::command();
    arguments.iter().try_fold(&program, |command, word| command.find_subcommand(word)).is_some()
}

#[test]
fn every_command_line_in_the_documents_is_one() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, text) in texts().into_iter().filter(|(name, _)| name.ends_with(".md")) {
        // A line that goes on behind its end is one.
        for line in code(&text.replace("\\\n", " ")) {
            for arguments in commands(&line).iter().filter_map(|command| arguments(command)) {
                if is_name(&arguments) {
                    continue;
                }
                tried += 1;
                let error = Cli::try_parse_from(std::iter::once("spectrum-webhook".to_owned()).chain(arguments)).err();
                // What asks for help is no mistake.
                let mistake = error.filter(clap::Error::use_stderr);
                wrong.extend(mistake.map(|error| format!("{name}: {line}\n{error}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 30, "{tried} command lines: are they still found?");
}

#[test]
fn every_setting_that_is_named_anywhere_exists() {
    let known = variables(&mut Cli::command());
    let mut unknown = BTreeSet::new();
    for (name, text) in texts() {
        for (at, _) in text.match_indices("SPECTRUM_") {
            let length = text[at..].bytes().take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count();
            let variable = text[at..at + length].trim_end_matches('_');
            if variable != "SPECTRUM" && !known.contains(variable) {
                unknown.insert(format!("{name}: {variable}"));
            }
        }
    }
    assert!(unknown.is_empty(), "no such settings: {unknown:#?}");
}

/// The variables that the help of a command and of those below it names.
fn variables(command: &mut clap::Command) -> BTreeSet<String> {
    let help = command.render_long_help().to_string();
    let mut found: BTreeSet<String> = help
        .split("SPECTRUM_")
        .skip(1)
        .map(|rest| rest.bytes().take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count())
        .zip(help.match_indices("SPECTRUM_"))
        .map(|(length, (at, name))| help[at..at + name.len() + length].to_owned())
        .collect();
    for command in command.get_subcommands_mut() {
        found.extend(variables(command));
    }
    found
}

#[test]
fn a_command_line_that_is_none_is_found() {
    let of = |line: &str| commands(line).iter().filter_map(|command| arguments(command)).collect::<Vec<_>>();
    let sample = [["webhook", "show", SAMPLE].map(str::to_owned).to_vec()];
    assert_eq!(of("echo '{\"a\": 1}' | A=b /usr/bin/spectrum-webhook webhook show $WEBHOOK > out # why"), sample);
    assert_eq!(of("(set -a; spectrum-webhook webhook show ID 2> errors) &"), sample);
    assert_eq!(of("kubectl exec deploy/ingest -- spectrum-webhook webhook show ID"), sample);
    assert_eq!(of("journalctl -u spectrum-webhook"), Vec::<Vec<String>>::new());
    assert_eq!(of("spectrum-webhook listen --secret 'a b'"), [["listen", "--secret", "a b"].map(str::to_owned)]);
    let wrong = of("spectrum-webhook webhook shwo ID").remove(0);
    assert!(Cli::try_parse_from(std::iter::once("spectrum-webhook".to_owned()).chain(wrong)).is_err());
}
