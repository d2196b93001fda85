//! Plain texts: a payload, or each of its lines, is one value, or a few with something between them.

use std::borrow::Cow;

use crate::charset;
use crate::failure::Failure;
use crate::json::reader::too_much;
use crate::json::{Json, Kind};
use crate::parser::Run;

use super::{lines, within};

/// How a text is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Each line is a record; empty ones are nothing.
    pub lines: bool,
    /// What stands between the values of a record, which is then a list of texts.
    pub split: Option<Box<str>>,
}

impl Text {
    pub(crate) fn read(&self, run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
        if !self.lines {
            within(run, bytes.len())?;
            let text = charset::utf8(bytes)?;
            // The line's end is not part of a value.
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let document = self.document(text, run.parser.limits.tree())?;
            return run.document(&document);
        }
        for (start, line) in lines(bytes).filter(|(_, line)| !line.is_empty()) {
            run.start = start;
            let read = within(run, line.len()).and_then(|()| charset::utf8(line));
            let tree = run.parser.limits.tree();
            let document = read.and_then(|text| self.document(text, tree));
            let done = document.and_then(|document| run.document(&document));
            if let Err(failure) = done {
                run.bad(failure).map_err(|failure| failure.behind(start))?;
            }
        }
        Ok(())
    }

    /// What a text is, in no more memory than a tree may take.
    fn document<'a>(&self, text: &'a str, tree: usize) -> Result<Json<'a>, Failure> {
        let value = |at: usize, text: &'a str| Json {
            at: at as u32,
            kind: Kind::Text(Cow::Borrowed(text)),
        };
        Ok(match self.split.as_deref() {
            None => value(0, text),
            Some(between) => {
                let count = text.matches(between).count() + 1;
                if count.saturating_mul(size_of::<Json<'_>>()) > tree {
                    return Err(too_much(tree).at(0));
                }
                let mut at = 0;
                let parts = text.split(between).map(|part| {
                    let here = at;
                    at += part.len() + between.len();
                    value(here, part)
                });
                let mut all = Vec::with_capacity(count);
                all.extend(parts);
                Json { at: 0, kind: Kind::List(all) }
            }
        })
    }
}
