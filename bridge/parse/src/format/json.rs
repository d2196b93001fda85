//! JSON in its three kinds: one document, documents in lines, and sequences of RFC 7464.

use crate::charset;
use crate::failure::{Failure, Reason};
use crate::json::{Json, reader, stream};
use crate::parser::Run;

use super::within;

/// Begins each document of a sequence (RFC 7464, 2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// Bytes of a document from which on it is read as a stream, where that can be: its tree would take more.
const STREAMED_FROM: usize = 256 * 1024;

/// The payload is one document. A large one is read as a stream, where nothing but the records of one list is
/// asked of it.
pub fn one(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let size = run.parser.limits.document_size;
    if bytes.len() > size.min(STREAMED_FROM)
        && let Some(keys) = run.parser.streams_by()
    {
        let rules = run.rules();
        let text = whole(bytes, |_| None)?;
        let visitor = &mut |index, element: &Json<'_>| run.element(index, element);
        return stream::elements(text, &keys, &rules, size, visitor);
    }
    within(run, bytes.len())?;
    let rules = run.rules();
    let text = whole(bytes, |text| reader::read(text, &rules).err())?;
    let document = reader::read(text, &rules)?;
    run.document(&document)
}

/// Bytes of the largest document that goes on over lines.
const OVER_LINES_MAX: usize = 64 * 1024;

/// So often the lines behind one that is cut are tried without finding its rest: a stranger could write a
/// payload in which every line asks for it.
const OVER_LINES_TRIES: u32 = 1000;

/// Each line has one document, or several; empty ones are nothing. A bad line ends at its end, so that the
/// next one is good again. A document that goes on over lines is one too: what is cut in its line is only
/// bad where the next lines do not complete it.
pub fn lines(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let (mut start, mut tries) = (0, OVER_LINES_TRIES);
    while start < bytes.len() {
        let rest = &bytes[start..];
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        run.start = start;
        match documents(run, line) {
            Ok(()) => start += length + 1,
            Err(Stop { at, failure }) => {
                let is_cut = failure.reason == Reason::Truncated && failure.record.is_none();
                let over_lines = match is_cut && tries > 0 {
                    true => over_lines(run, &rest[at..], line.len() - at),
                    false => None,
                };
                if let Some((document, end)) = over_lines {
                    run.start = start + at;
                    run.document(&document).or_else(|failure| bad(run, failure))?;
                    start += at + end;
                } else {
                    tries = tries.saturating_sub(u32::from(is_cut));
                    bad(run, failure)?;
                    start += length + 1;
                }
            }
        }
    }
    Ok(())
}

/// A document that is cut in its line, and whole with the next ones; and where it ends.
fn over_lines<'a>(run: &Run<'_>, bytes: &'a [u8], in_line: usize) -> Option<(Json<'a>, usize)> {
    let size = run.parser.limits.document_size.min(OVER_LINES_MAX);
    let part = &bytes[..bytes.len().min(size)];
    let text = part.utf8_chunks().next()?.valid();
    let read = reader::read_next(text, 0, &run.rules()).ok().flatten();
    read.filter(|(_, end)| *end > in_line)
}

/// Each document stands behind a separator, and may have lines within.
pub fn sequence(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let mut start = 0;
    for (at, piece) in bytes.split(|byte| *byte == RECORD_SEPARATOR).enumerate() {
        let is_empty = piece.iter().all(u8::is_ascii_whitespace);
        if at == 0 && !is_empty {
            let detail = "a sequence begins with the separator 0x1e";
            return Err(Failure::new(Reason::NotJson, detail).at(0));
        }
        part(run, start, piece)?;
        start += piece.len() + 1;
    }
    Ok(())
}

/// A part of a payload that can be bad without the others.
fn part(run: &mut Run<'_>, start: usize, part: &[u8]) -> Result<(), Failure> {
    run.start = start;
    documents(run, part).or_else(|stop| bad(run, stop.failure))
}

fn bad(run: &mut Run<'_>, failure: Failure) -> Result<(), Failure> {
    let start = run.start;
    run.bad(failure).map_err(|failure| failure.behind(start))
}

/// Where reading stopped within a part, and why; the failure's place is one in the part.
struct Stop {
    /// Behind the last document that was taken.
    at: usize,
    failure: Failure,
}

fn documents(run: &mut Run<'_>, part: &[u8]) -> Result<(), Stop> {
    let rules = run.rules();
    let text = within(run, part.len()).and_then(|()| {
        whole(part, |text| {
            let mut at = 0;
            loop {
                match reader::read_next(text, at, &rules) {
                    Ok(Some((_, end))) => at = end,
                    Ok(None) => return None,
                    Err(failure) => return Some(failure),
                }
            }
        })
    });
    let mut at = 0;
    let text = text.map_err(|failure| Stop { at, failure })?;
    loop {
        let read = reader::read_next(text, at, &rules);
        let Some((document, end)) = read.map_err(|failure| Stop { at, failure })? else {
            return Ok(());
        };
        run.document(&document).map_err(|failure| Stop { at, failure })?;
        at = end;
    }
}

/// The text; where it is not UTF-8, a fault of JSON in front of that is told first.
fn whole(bytes: &[u8], first_fault: impl FnOnce(&str) -> Option<Failure>) -> Result<&str, Failure> {
    charset::utf8(bytes).map_err(|failure| {
        let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        first_fault(valid).filter(|fault| fault.reason != Reason::Truncated).unwrap_or(failure)
    })
}
