//! The code map of ARCHITECTURE.md: the first sentence of every file of the product, which says what it is
//! and why, and of the programs and the harness that test it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sections::cell;

/// Where the map looks, each with how many folders deep.
const FOLDERS: [(&str, usize); 9] = [
    ("proto/src", 9),
    ("bridge/src", 9),
    ("bridge/parse/src", 9),
    ("gateway/src", 9),
    ("examples/device-sim/src", 9),
    ("tests/src", 0),
    ("tests/tests", 1),
    ("tests/faults", 1),
    ("tests/generate", 0),
];

/// A heading and a table for each folder.
pub fn of(root: &Path) -> Result<String, String> {
    let mut text = String::new();
    for (folder, depth) in FOLDERS {
        let mut files = BTreeMap::new();
        collect(root, Path::new(folder), depth, &mut files)?;
        if files.is_empty() {
            return Err(format!("there is no file in {folder}"));
        }
        text.push_str(&format!("**{folder}/**\n\n| file | what it is |\n|---|---|\n"));
        for (path, sentence) in files.into_values() {
            let path = path.strip_prefix(folder).expect("it was found there");
            text.push_str(&format!("| `{}` | {} |\n", path.display(), cell(&sentence)));
        }
        text.push('\n');
    }
    Ok(text)
}

/// The first sentence of each Rust file, by path; not of unit tests, which stand beside what they test.
fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<PathBuf, (PathBuf, String)>,
) -> Result<(), String> {
    let place = root.join(folder);
    let failed = |error| format!("{} cannot be read: {error}", place.display());
    for entry in fs::read_dir(&place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if entry.path().is_dir() {
            let is_unit_tests =
                folder.components().any(|part| part.as_os_str() == "src") && name == "tests";
            if depth > 0 && !is_unit_tests {
                collect(root, &path, depth - 1, files)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = crate::read(&root.join(&path))?;
            let sentence = first_sentence(&text)
                .ok_or_else(|| format!("{}: its first line says not what it is", path.display()))?;
            // By this, a file stands before those of its folder.
            files.insert(path.with_extension(""), (path, sentence));
        }
    }
    Ok(())
}

/// The first sentence of the comment that a file begins with, on one line.
fn first_sentence(text: &str) -> Option<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    let sentence = paragraph[..end].trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.replace("[`", "`").replace("`]", "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_at_its_full_stop_or_its_paragraph() {
        for (text, sentence) in [
            ("//! One. Two.\n", Some("One")),
            (
                "//! One goes\n//! on: `v5 4.7`, and ends\n//!\n//! Two.\n",
                Some("One goes on: `v5 4.7`, and ends"),
            ),
            ("//! See [`Window`].\nuse x;\n", Some("See `Window`")),
            ("use x;\n", None),
            ("//!\n", None),
        ] {
            assert_eq!(first_sentence(text).as_deref(), sentence, "{text}");
        }
    }
}
