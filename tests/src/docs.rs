//! The documentation, as its readers use it: what a page shows is run, what it links to and names has to be
//! there. A check returns what is wrong, a line for each fault, so that the same one looks at copies that
//! were broken on purpose.

pub mod links;
pub mod names;
pub mod page;
pub mod show;

use std::path::{Path, PathBuf};

use page::Page;

/// Pages beside those of `docs/`.
const PAGES: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "charts/landfall/README.md",
    "charts/landfall/RUNBOOK.md",
    "examples/device-sim/README.md",
];

/// Every page of the repository, by its path in it.
pub fn pages(root: &Path) -> Vec<Page> {
    let mut paths: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    for entry in std::fs::read_dir(root.join("docs")).expect("there is documentation") {
        let name = entry.expect("the folder can be read").file_name();
        let path = Path::new("docs").join(name);
        // Pictures lie beside them.
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root.join(&path));
        Page::of(path, text.expect("a page can be read"))
    };
    paths.into_iter().map(read).collect()
}

/// Faults as one text; none is well.
fn verdict(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
