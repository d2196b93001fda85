//! CSV (RFC 4180, and what loggers make of it). Each row is an object by the header's names, with texts as
//! values. It is our own because it tells what a library does not: where a row and a cell begin, and that a
//! text in quotes never ends. Nothing remains from one message for the next.

use std::borrow::Cow;

use crate::charset;
use crate::failure::{Failure, Reason, shown};
use crate::json::{Entry, Json, Kind};
use crate::parser::Run;

use super::within;

/// How a table is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    pub delimiter: u8,
    pub quote: u8,
    /// The columns' names, where the payload has none.
    pub header: Option<Vec<Box<str>>>,
    /// Lines in front of the header, or of the first row.
    pub skip_lines: usize,
    /// Lines between the header and the first row, such as units.
    pub skip_after_header: usize,
    /// Lines that begin with this are nothing.
    pub comments: Option<Box<str>>,
    /// White space around values is nothing.
    pub trim: bool,
}

/// Columns of the widest table.
pub const COLUMNS_MAX: usize = 10_000;

#[derive(Debug, PartialEq)]
struct Cell<'a> {
    at: usize,
    text: Cow<'a, str>,
}

impl Csv {
    pub(crate) fn read(&self, run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
        let mut rows = Rows { csv: self, bytes, position: 0 };
        rows.skip_lines(self.skip_lines);
        let mut cells = Vec::new();
        let header: Vec<Cow<'_, str>> = match &self.header {
            Some(names) => names.iter().map(|name| Cow::Borrowed(name.as_ref())).collect(),
            None => {
                let Some(start) = rows.next(&mut cells).map_err(|failure| failure.1)? else {
                    return Ok(());
                };
                let names = names(std::mem::take(&mut cells));
                let names = names.map_err(|failure| failure.behind(start))?;
                rows.skip_lines(self.skip_after_header);
                names
            }
        };
        loop {
            let row = match rows.next(&mut cells) {
                Ok(None) => return Ok(()),
                Ok(Some(start)) => {
                    run.start = start;
                    let size = rows.position - start;
                    within(run, size).and_then(|()| row(run, &header, &mut cells))
                }
                Err((start, failure)) => {
                    run.start = start;
                    Err(Failure { at: failure.at.map(|at| at - start), ..failure })
                }
            };
            if let Err(failure) = row {
                let start = run.start;
                run.bad(failure).map_err(|failure| failure.behind(start))?;
            }
        }
    }
}

fn row<'a>(
    run: &mut Run<'_>,
    header: &'a [Cow<'_, str>],
    cells: &mut Vec<Cell<'a>>,
) -> Result<(), Failure> {
    if cells.len() != header.len() {
        let (has, wanted) = (cells.len(), header.len());
        let detail = format!("the row has {has} columns, and the header {wanted}");
        return Err(Failure::new(Reason::ColumnCount, detail).at(0));
    }
    let entry = |(name, cell): (&'a Cow<'_, str>, Cell<'a>)| {
        let at = cell.at as u32;
        let value = Json { at, kind: Kind::Text(cell.text) };
        Entry { key: Cow::Borrowed(name.as_ref()), at, value }
    };
    let entries = header.iter().zip(cells.drain(..)).map(entry).collect();
    run.document(&Json { at: 0, kind: Kind::Map(entries) })
}

/// The columns' names out of the payload's own header.
fn names(cells: Vec<Cell<'_>>) -> Result<Vec<Cow<'_, str>>, Failure> {
    let mut seen = std::collections::HashSet::new();
    let double = cells.iter().find(|cell| !seen.insert(cell.text.trim()));
    if let Some(Cell { at, text }) = double {
        let detail = format!("the column {} is there twice", shown(text.trim()));
        return Err(Failure::new(Reason::DuplicateKey, detail).at(*at));
    }
    drop(seen);
    Ok(cells.into_iter().map(|cell| trimmed(cell.text)).collect())
}

struct Rows<'a, 'c> {
    csv: &'c Csv,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Rows<'a, '_> {
    fn skip_lines(&mut self, count: usize) {
        for _ in 0..count {
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(is_line_end).unwrap_or(rest.len());
        self.position += length + line_end(&rest[length..]);
    }

    /// Reads the next row into `cells`, and says where it begins; places in it are counted from there. A
    /// failure comes with the row's beginning, and reading goes on behind that row.
    fn next(&mut self, cells: &mut Vec<Cell<'a>>) -> Result<Option<usize>, (usize, Failure)> {
        cells.clear();
        loop {
            let rest = &self.bytes[self.position..];
            match rest {
                [] => return Ok(None),
                [b'\n' | b'\r', ..] => self.position += 1,
                _ if self.is_comment(rest) => self.skip_line(),
                _ => break,
            }
        }
        let start = self.position;
        match self.row(start, cells) {
            Ok(()) => Ok(Some(start)),
            Err(failure) => {
                // What is wrong with a row within a line ends with the line.
                if self.position < self.bytes.len() && !self.is_at_line_start() {
                    self.skip_line();
                }
                Err((start, failure))
            }
        }
    }

    fn is_comment(&self, rest: &[u8]) -> bool {
        self.csv.comments.as_ref().is_some_and(|mark| rest.starts_with(mark.as_bytes()))
    }

    fn is_at_line_start(&self) -> bool {
        self.position > 0 && is_line_end(&self.bytes[self.position - 1])
    }

    fn row(&mut self, start: usize, cells: &mut Vec<Cell<'a>>) -> Result<(), Failure> {
        loop {
            if self.csv.trim {
                let rest = &self.bytes[self.position..];
                self.position += rest.iter().take_while(|byte| **byte == b' ').count();
            }
            let at = self.position - start;
            let (text, is_last) = match self.bytes.get(self.position) {
                Some(byte) if *byte == self.csv.quote => self.quoted()?,
                _ => self.plain()?,
            };
            let text = if self.csv.trim { trimmed(text) } else { text };
            if cells.len() == COLUMNS_MAX {
                let detail = format!("the row has more than {COLUMNS_MAX} columns");
                return Err(Failure::new(Reason::ColumnCount, detail).at(start + at));
            }
            cells.push(Cell { at, text });
            if is_last {
                return Ok(());
            }
        }
    }

    /// A value without quotes, and whether it ends its row.
    fn plain(&mut self) -> Result<(Cow<'a, str>, bool), Failure> {
        let rest = &self.bytes[self.position..];
        let is_end = |byte: &u8| *byte == self.csv.delimiter || is_line_end(byte);
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        let (value, behind) = rest.split_at(length);
        let is_last = behind.first() != Some(&self.csv.delimiter);
        let at = self.position;
        self.position += length + if is_last { line_end(behind) } else { 1 };
        let text = charset::utf8(value).map_err(|failure| failure.behind(at))?;
        Ok((Cow::Borrowed(text), is_last))
    }

    /// A value in quotes, in which two stand for one.
    fn quoted(&mut self) -> Result<(Cow<'a, str>, bool), Failure> {
        let quote = self.csv.quote;
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        self.position += 1;
        loop {
            let rest = &self.bytes[self.position..];
            let Some(length) = rest.iter().position(|byte| *byte == quote) else {
                self.position = self.bytes.len();
                let detail = "a text in quotes does not end";
                return Err(Failure::new(Reason::Truncated, detail).at(self.bytes.len()));
            };
            let part = charset::utf8(&rest[..length]);
            let part = part.map_err(|failure| failure.behind(self.position))?;
            match &mut text {
                Cow::Borrowed("") => text = Cow::Borrowed(part),
                text => text.to_mut().push_str(part),
            }
            self.position += length + 1;
            if self.bytes.get(self.position) != Some(&quote) {
                break;
            }
            text.to_mut().push(char::from(quote));
            self.position += 1;
        }
        // What stands behind the quotes belongs to the value, as spreadsheets read it.
        let (behind, is_last) = self.plain()?;
        if !behind.is_empty() {
            text.to_mut().push_str(&behind);
        }
        Ok((text, is_last))
    }
}

/// LF, CRLF, and CR alone end a line: the first is what most write, the last what has a serial line.
fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Bytes of the line's end that is there, if one is.
fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
