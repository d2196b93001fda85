//! The formats: how the text of a payload becomes documents.

use std::borrow::Cow;

use crate::failure::{Failure, Reason};
use crate::format::csv::Csv;
use crate::format::text::Text;
use crate::json::{Json, Kind};
use crate::parser::Run;

pub mod csv;
pub mod json;
pub mod text;

/// A format, with what is declared of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// One document.
    Json,
    /// Documents in lines, or one behind the other within a line.
    NdJson,
    /// Documents behind record separators (RFC 7464).
    JsonSeq,
    Csv(Csv),
    Text(Text),
    /// Bytes as they are.
    Raw,
}

/// Reads all documents of a text. Places in failures are places in the text.
pub fn read(run: &mut Run<'_>, bytes: &[u8]) -> Result<(), Failure> {
    match &run.parser.format {
        Format::Json => json::one(run, bytes),
        Format::NdJson => json::lines(run, bytes),
        Format::JsonSeq => json::sequence(run, bytes),
        Format::Csv(csv) => csv.read(run, bytes),
        Format::Text(text) => text.read(run, bytes),
        Format::Raw => run.document(&Json { at: 0, kind: Kind::Bytes(Cow::Borrowed(bytes)) }),
    }
}

/// Asks before a part of a text is held as a document.
fn within(run: &Run<'_>, size: usize) -> Result<(), Failure> {
    let limit = run.parser.limits.document_size;
    if size > limit {
        let detail = format!("a document has {size} bytes, and one may have {limit}");
        return Err(Failure::new(Reason::TooLarge, detail).at(0));
    }
    Ok(())
}

/// The lines of a text, without what ends them, and where each begins. LF ends one, and CRLF, and CR alone,
/// as what has a serial line writes it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        let at = start;
        start += length + if rest[length..].starts_with(b"\r\n") { 2 } else { 1 };
        Some((at, &rest[..length]))
    })
}
