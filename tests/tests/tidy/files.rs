//! What every file has and no file has, and what the pages say of the tree: a page that names what is not
//! there misleads whoever trusts it.

use std::collections::BTreeSet;

use crate::code::OWN;
use crate::tree::Tree;
use crate::{Edit, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "a file's first line says what it is",
        faults: heads,
        breaks: &[
            (Edit::New("bridge/src/stranger.rs", "use std::io;\n"), "bridge/src/stranger.rs:1:"),
            (Edit::New("bridge/src/stranger.rs", "//! Things.\n"), "bridge/src/stranger.rs:1:"),
            (
                Edit::New("tests/tools/stranger.sh", "#!/bin/sh\necho\n"),
                "tests/tools/stranger.sh:1:",
            ),
            (Edit::New("tests/tools/stranger.py", "import sys\n"), "tests/tools/stranger.py:1:"),
            (Edit::New("tests/tools/stranger/main.go", "package main\n"), "stranger/main.go:1:"),
            (Edit::New("tests/tools/Stranger.java", "class Stranger {}\n"), "Stranger.java:1:"),
        ],
    },
    Rule {
        says: "no secret and no path of somebody's machine is in the repository",
        faults: private,
        breaks: &[
            (Edit::New("notes.md", "see /home/somebody/landfall\n"), "notes.md:1: /home/"),
            (
                Edit::New("key.pem", "-----BEGIN RSA PRIVATE KEY-----\n"),
                "key.pem:1: PRIVATE KEY-----",
            ),
            (Edit::New("a.yaml", "access_key_id: AKIAABCDEFGHIJKLMNOP\n"), "a.yaml:1: AKIA"),
            (Edit::New("examples/.env", "S3_SECRET_KEY=1\n"), "examples/.env:1:"),
        ],
    },
    Rule {
        says: "nothing cites what is not in the repository",
        faults: citations,
        breaks: &[
            (
                Edit::New("bridge/src/stranger.rs", "//! A file, as DESIGN.md has it.\n"),
                "stranger.rs:1: DESIGN.md",
            ),
            (Edit::New("notes.md", "The `tests/tests/e2e/` of old.\n"), "notes.md:1: e2e"),
        ],
    },
    Rule {
        says: "what a page names in the code is there",
        faults: names,
        breaks: &[
            (
                Edit::New("docs/a.md", "In `bridge/src/nowhere.rs`.\n"),
                "docs/a.md:1: nothing is called bridge/src/nowhere.rs",
            ),
            (
                Edit::New("docs/a.md", "Kept by `no_test_of_that_name`.\n"),
                "docs/a.md:1: no_test_of_that_name",
            ),
            (
                Edit::New("docs/a.md", "It calls `Window::no_such_thing`.\n"),
                "docs/a.md:1: Window::no_such_thing",
            ),
        ],
    },
];

/// Letters that a first sentence has at least.
const HEAD_MIN: usize = 20;

fn heads(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.files() {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let (line, comment) = match path.rsplit('.').next() {
            Some("rs") => (first, "//! "),
            Some("go" | "java" | "js") => (first, "// "),
            Some("py") => (first, "\"\"\""),
            Some("sh") => (lines.next().unwrap_or_default(), "# "),
            _ => continue,
        };
        let says = line.strip_prefix(comment).unwrap_or_default();
        if says.len() < HEAD_MIN {
            faults.push(format!("{path}:1: it has to begin with {comment:?} and a sentence"));
        }
    }
    faults
}

/// Every line of every text that has one of these, but for the rules' own.
fn lines_with<'a>(
    tree: &'a Tree,
    word: &'a str,
) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    tree.files().filter(|(path, _)| !path.starts_with(OWN)).flat_map(move |(path, text)| {
        let lines = text.lines().enumerate().filter(move |(_, line)| line.contains(word));
        lines.map(move |(at, line)| (path, at + 1, line))
    })
}

fn private(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for word in ["/home/", "/root/", "/work/", "/Users/", "PRIVATE KEY-----", "AKIA"] {
        for (path, at, line) in lines_with(tree, word) {
            let behind = line.split(word).nth(1).unwrap_or_default();
            let is_key = behind
                .chars()
                .take_while(|one| one.is_ascii_uppercase() || one.is_ascii_digit())
                .count()
                >= 16;
            // The image is laid out below /out, and a URL may have such a path.
            let is_inside = line.split(word).next().is_some_and(|before| {
                before.ends_with(|one: char| one.is_alphanumeric() || one == '.')
            });
            if if word == "AKIA" { is_key } else { word.ends_with('-') || !is_inside } {
                faults.push(format!("{path}:{at}: {word}"));
            }
        }
    }
    let hidden = tree.files().map(|(path, _)| path).filter(|path| path.ends_with(".env"));
    faults.extend(hidden.map(|path| format!("{path}:1: such a file holds secrets")));
    faults
}

fn citations(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for word in
        ["DESIGN.md", "HOUSE.md", "FACTS.md", "STYLE.md", "MARKET.md", "the design document", "e2e"]
    {
        for (path, at, line) in lines_with(tree, word) {
            // Hashes have any letters.
            let is_hash = line.contains("checksum")
                || line.contains("integrity")
                || path.ends_with(".sum")
                || path.ends_with(".hex");
            if !is_hash {
                faults.push(format!("{path}:{at}: {word}"));
            }
        }
    }
    faults
}

/// A word of this many underscores is the name of something.
const UNDERSCORES: usize = 4;

fn names(tree: &Tree) -> Vec<String> {
    let is_name = |one: char| one.is_ascii_alphanumeric() || one == '_';
    let mut known = BTreeSet::new();
    let others = tree.files().filter(|(path, _)| !path.ends_with(".md") && !path.ends_with(".rs"));
    let code = tree.rust(&[""]).map(|(path, source)| (path, source.text.as_str()));
    for (_, text) in others.chain(code).filter(|(path, _)| !path.starts_with(OWN)) {
        known.extend(text.split(|one| !is_name(one)));
    }
    let mut faults = Vec::new();
    // What was is told in the changelog.
    for (path, text) in
        tree.files().filter(|(path, _)| path.ends_with(".md") && *path != "CHANGELOG.md")
    {
        let mut is_code = false;
        for (at, line) in text.lines().enumerate() {
            if line.starts_with("```") {
                is_code = !is_code;
            }
            if is_code {
                continue;
            }
            for word in line.split('`').skip(1).step_by(2) {
                let place = format!("{path}:{}", at + 1);
                if word.ends_with(".rs")
                    && !word.contains([' ', '*', '{'])
                    && !word.contains("NAME")
                {
                    let end = format!("/{word}");
                    if !tree.files().any(|(file, _)| file == word || file.ends_with(&end)) {
                        faults.push(format!("{place}: nothing is called {word}"));
                    }
                    continue;
                }
                let parts: Vec<&str> = word.split("::").collect();
                let is_path = parts.len() == 2
                    && parts.iter().all(|part| !part.is_empty() && part.chars().all(is_name));
                let is_long = word.chars().all(is_name) && word.matches('_').count() >= UNDERSCORES;
                let is_foreign = word.starts_with("LANDFALL");
                if (is_path || is_long)
                    && !is_foreign
                    && !parts.iter().all(|part| known.contains(*part))
                {
                    faults.push(format!("{place}: {word} is nowhere"));
                }
            }
        }
    }
    faults
}
