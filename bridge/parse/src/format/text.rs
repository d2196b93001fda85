//! Plain texts: a payload, or each of its lines, is one value, or a few with something between them.

use std::borrow::Cow;

use crate::charset;
use crate::failure::Failure;
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
            return run.document(&self.document(text.strip_suffix('\r').unwrap_or(text)));
        }
        for (start, line) in lines(bytes).filter(|(_, line)| !line.is_empty()) {
            run.start = start;
            let read = within(run, line.len()).and_then(|()| charset::utf8(line));
            let done = match read {
                Ok(text) => run.document(&self.document(text)),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                run.bad(failure).map_err(|failure| failure.behind(start))?;
            }
        }
        Ok(())
    }

    fn document<'a>(&self, text: &'a str) -> Json<'a> {
        let value = |at: usize, text: &'a str| Json {
            at: at as u32,
            kind: Kind::Text(Cow::Borrowed(text)),
        };
        match self.split.as_deref() {
            None => value(0, text),
            Some(between) => {
                let mut at = 0;
                let parts = text.split(between).map(|part| {
                    let here = at;
                    at += part.len() + between.len();
                    value(here, part)
                });
                Json { at: 0, kind: Kind::List(parts.collect()) }
            }
        }
    }
}
