//! Rules that the compiler does not know: what ARCHITECTURE and CONTRIBUTING say is always so, read from the
//! files of the repository. A rule that matters is a test, and a test that matters was seen to fail: each
//! rule has ways to break it, which are tried on a copy in memory.

// The repository's files, to be read and to be broken.
mod tree;
// Rust's code without its comments, texts and tests.
mod source;
// Who may name which crate, and which way dependencies point.
mod crates;
// What code may not do where it stands.
mod code;
// What may leave the process: labels and logs.
mod telemetry;
// What every file has and no file has, and what pages say of the tree.
mod files;

use tree::Tree;

/// Something that is always so.
struct Rule {
    says: &'static str,
    /// Where it is not so: `PATH:LINE: what is wrong and what to do`.
    faults: fn(&Tree) -> Vec<String>,
    /// Ways to break it, and what each fault has to name.
    breaks: &'static [(Edit, &'static str)],
}

/// A change to one file.
enum Edit {
    /// A new file.
    New(&'static str, &'static str),
    /// A text in the place of another, which is there.
    Instead(&'static str, &'static str, &'static str),
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    [crates::RULES, code::RULES, telemetry::RULES, files::RULES].into_iter().flatten()
}

#[test]
fn every_rule_holds() {
    let tree = Tree::of_repository();
    let mut faults = Vec::new();
    for rule in rules() {
        let found = (rule.faults)(&tree);
        if !found.is_empty() {
            faults.push(format!("{}:\n    {}", rule.says, found.join("\n    ")));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n\n"));
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let tree = Tree::of_repository();
    for rule in rules() {
        assert!(!rule.breaks.is_empty(), "{}: nothing shows that this can fail", rule.says);
        for (edit, expected) in rule.breaks {
            let mut broken = tree.clone();
            let path = broken.edit(edit);
            let found = (rule.faults)(&broken);
            let named = found.iter().any(|fault| fault.contains(expected));
            assert!(named, "{}: {path} is broken, {expected:?} not found in {found:?}", rule.says);
        }
    }
}
