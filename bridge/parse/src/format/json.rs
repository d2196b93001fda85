//! JSON in its three kinds: one document, documents in lines, and sequences of RFC 7464.

use crate::charset;
use crate::failure::{Failure, Reason};
use crate::json::reader;
use crate::parser::Run;

use super::{lines as lines_of, within};

/// Begins each document of a sequence (RFC 7464, 2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// The payload is one document.
pub fn one(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    within(run, bytes.len())?;
    let rules = run.rules();
    let text = whole(bytes, |text| reader::read(text, &rules).err())?;
    let document = reader::read(text, &rules)?;
    run.document(&document)
}

/// Each line has one document, or several; empty ones are nothing. A bad line ends at its end, so that the
/// next one is good again.
pub fn lines(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    for (start, line) in lines_of(bytes) {
        part(run, start, line)?;
    }
    Ok(())
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
    match documents(run, part) {
        Ok(()) => Ok(()),
        Err(failure) => run.bad(failure).map_err(|failure| failure.behind(start)),
    }
}

fn documents(run: &mut Run<'_>, part: &[u8]) -> Result<(), Failure> {
    within(run, part.len())?;
    let rules = run.rules();
    let mut at = 0;
    let text = whole(part, |text| {
        let mut at = 0;
        loop {
            match reader::read_next(text, at, &rules) {
                Ok(Some((_, end))) => at = end,
                Ok(None) => return None,
                Err(failure) => return Some(failure),
            }
        }
    })?;
    while let Some((document, end)) = reader::read_next(text, at, &rules)? {
        run.document(&document)?;
        at = end;
    }
    Ok(())
}

/// The text; where it is not UTF-8, a fault of JSON in front of that is told first.
fn whole(bytes: &[u8], first_fault: impl FnOnce(&str) -> Option<Failure>) -> Result<&str, Failure> {
    charset::utf8(bytes).map_err(|failure| {
        let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        first_fault(valid).filter(|fault| fault.reason != Reason::Truncated).unwrap_or(failure)
    })
}
