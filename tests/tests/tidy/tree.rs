//! The files of the repository, as text in memory: those that git knows or would take.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use tests::tools::repository;

use crate::Edit;
use crate::source::Source;

#[derive(Clone)]
pub struct Tree {
    files: BTreeMap<String, Arc<File>>,
}

/// A file, taken apart when somebody asks. Copies of the tree share it.
#[derive(Default)]
struct File {
    text: String,
    source: OnceLock<Source>,
    product: OnceLock<Source>,
}

impl File {
    fn new(text: String) -> Arc<File> {
        Arc::new(File { text, ..File::default() })
    }

    fn source(&self) -> &Source {
        self.source.get_or_init(|| Source::of(&self.text))
    }

    fn product(&self) -> &Source {
        self.product.get_or_init(|| self.source().without_tests())
    }
}

impl Tree {
    pub fn of_repository() -> Tree {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = git.current_dir(repository()).output().expect("git can be started");
        assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
        let files = names.split_terminator('\0').filter_map(|name| {
            // What was removed and not committed yet is listed too.
            let bytes = std::fs::read(repository().join(name)).ok()?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Some((name.to_owned(), File::new(text)))
        });
        Tree { files: files.collect() }
    }

    /// Every file: its path and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.text.as_str()))
    }

    pub fn text(&self, path: &str) -> &str {
        &self.files.get(path).unwrap_or_else(|| panic!("there is no {path}")).text
    }

    /// All Rust files below these folders.
    pub fn rust<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a Source)> {
        self.rust_files(folders).map(|(path, file)| (path, file.source()))
    }

    /// What is shipped of the Rust code below these folders: no tests.
    pub fn product<'a>(
        &'a self,
        folders: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a Source)> {
        let test_files = self.test_files();
        self.rust_files(folders).filter_map(move |(path, file)| {
            let is_test = test_files.iter().any(|test| {
                path.strip_prefix(&**test)
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            (!is_test).then(|| (path, file.product()))
        })
    }

    fn rust_files<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a File)> {
        let below = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.files.iter().map(|(path, file)| (path.as_str(), &**file));
        files.filter(move |(path, _)| path.ends_with(".rs") && below(path))
    }

    /// The modules that are compiled for tests only, as paths without `.rs`.
    fn test_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, source) in self.rust(&[""]) {
            let folder = match path.rsplit_once('/') {
                Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder.to_owned(),
                _ => path.trim_end_matches(".rs").to_owned(),
            };
            found.extend(source.test_modules().map(|name| format!("{folder}/{name}")));
        }
        found
    }

    /// Changes a file; returns its path.
    pub fn edit(&mut self, edit: &Edit) -> &'static str {
        let (path, text) = match *edit {
            Edit::New(path, text) => {
                assert!(!self.files.contains_key(path), "{path} is there");
                (path, text.to_owned())
            }
            Edit::Instead(path, from, to) => {
                let text = self.text(path);
                assert!(text.contains(from), "{path} has no {from:?}");
                (path, text.replacen(from, to, 1))
            }
        };
        self.files.insert(path.to_owned(), File::new(text));
        path
    }
}
