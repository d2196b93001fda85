//! A page of Markdown, as far as the checks need it: its blocks of code, its headings, and its prose.
//!
//! What is to be done with a block is said by its language, or by a comment on the line above it:
//! `<!-- block: not run, REASON -->`.

use std::path::PathBuf;

/// How the comment above a block begins.
const COMMENT: &str = "<!-- block: ";

pub struct Page {
    /// In the repository.
    pub path: PathBuf,
    pub text: String,
    pub blocks: Vec<Block>,
    /// Everything but the blocks, with empty lines in their places.
    pub prose: String,
}

pub struct Block {
    /// The number of the line that opens it, from 1.
    pub line: usize,
    pub language: String,
    /// What the comment above it says.
    pub comment: Option<String>,
    pub text: String,
}

impl Page {
    pub fn of(path: PathBuf, text: String) -> Page {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut open: Option<Block> = None;
        let mut above = "";
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    let comment = above.strip_prefix(COMMENT);
                    let comment = comment.and_then(|rest| rest.strip_suffix(" -->"));
                    open = Some(Block {
                        line: number + 1,
                        language: language.trim().to_owned(),
                        comment: comment.map(str::to_owned),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => prose.push_str(line),
            }
            prose.push('\n');
            above = line.trim();
        }
        blocks.extend(open);
        Page { path, text, blocks, prose }
    }

    /// The anchors of its headings, as GitHub makes them; the second heading of a name gets a number.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in self.prose.lines().filter(|line| line.starts_with('#')) {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.collect::<String>().replace(' ', "-");
            let same = anchors.iter().filter(|known| **known == anchor).count();
            anchors.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
        }
        anchors
    }

    /// What stands between single backticks, with the number of its line.
    pub fn quoted(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.prose.lines().enumerate();
        lines.flat_map(|(number, line)| {
            line.split('`').skip(1).step_by(2).map(move |quoted| (number + 1, quoted))
        })
    }

    /// A place in it, for people.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_blocks_headings_and_prose() {
        let text = "# A Page's `name`\n\n## One\n<!-- block: not run, why -->\n```sh\n# no heading\n```\n## One\n`a.b` and `c`\n";
        let page = Page::of("a.md".into(), text.to_owned());
        let [block] = &page.blocks[..] else { panic!("there is one block") };
        assert_eq!((block.line, block.language.as_str()), (5, "sh"));
        assert_eq!(block.comment.as_deref(), Some("not run, why"));
        assert_eq!(block.text, "# no heading\n");
        assert_eq!(page.anchors(), ["a-pages-name", "one", "one-1"]);
        assert_eq!(page.quoted().collect::<Vec<_>>(), [(1, "name"), (9, "a.b"), (9, "c")]);
    }
}
