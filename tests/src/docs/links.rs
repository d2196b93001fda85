//! Links between pages: a file that is linked to is there, and so is the heading. Links out of the repository
//! are not followed.

use std::path::{Component, Path, PathBuf};

use super::page::Page;
use super::verdict;

/// Every link of these pages leads somewhere, and no block of code is unclosed before it.
pub fn lead_somewhere(root: &Path, pages: &[Page]) -> Result<(), String> {
    let mut faults = Vec::new();
    for page in pages {
        for (line, target) in targets(page) {
            let is_outside = ["https://", "http://"].iter().any(|begin| target.starts_with(begin));
            if is_outside {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.path.clone(),
                path => normal(&page.path.parent().expect("a page lies in a folder").join(path)),
            };
            if !root.join(&path).exists() {
                faults.push(format!("{}: there is no {}", page.at(line), path.display()));
            } else if !anchor.is_empty() {
                let known = pages.iter().find(|known| known.path == path);
                let has =
                    known.is_some_and(|page| page.anchors().iter().any(|known| known == anchor));
                if !has {
                    let path = path.display();
                    faults.push(format!("{}: {path} has no heading #{anchor}", page.at(line)));
                }
            }
        }
    }
    verdict(faults)
}

/// Every page of `docs/` can be found from its index.
pub fn index_names_each(pages: &[Page]) -> Result<(), String> {
    let index = pages.iter().find(|page| page.path == Path::new("docs/README.md"));
    let index = index.ok_or("there is no docs/README.md")?;
    let linked: Vec<PathBuf> =
        targets(index).map(|(_, target)| normal(&Path::new("docs").join(target))).collect();
    let missing = pages.iter().filter(|page| {
        page.path.starts_with("docs") && page.path != index.path && !linked.contains(&page.path)
    });
    verdict(
        missing
            .map(|page| format!("docs/README.md has no link to {}", page.path.display()))
            .collect(),
    )
}

/// What the page's links lead to, with the number of their line.
fn targets(page: &Page) -> impl Iterator<Item = (usize, &str)> {
    page.prose.lines().enumerate().flat_map(|(number, line)| {
        let links = line.split("](").skip(1);
        links.filter_map(move |rest| Some((number + 1, rest.split_once(')')?.0)))
    })
}

/// Without `..` and `.`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}
