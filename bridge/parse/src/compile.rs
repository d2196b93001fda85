//! What is written of a parser becomes the parser, or everything that is wrong with it: where, and what to
//! write instead. Pure.

use crate::charset::Charset;
use crate::compile::faults::{Fault, Faults};
use crate::condition::Condition;
use crate::conversion::{Conversion, NotFinite, Target};
use crate::decimal::Notation;
use crate::fields::FieldPlan;
use crate::format::Format;
use crate::format::csv::Csv;
use crate::format::text::Text;
use crate::jq::{Allowance, Program};
use crate::json::reader::Duplicates;
use crate::limits::Limits;
use crate::parser::{Declared, Way};
use crate::path::Path;
use crate::records::Records;
use crate::unpack::Packing;
use crate::word::Words;
use crate::written;

pub mod faults;
mod field;
mod time;

pub use field::NAME_MAX;

/// Fields of a parser.
pub const FIELDS_MAX: usize = 1000;

/// What all fields of a parser share.
struct Common {
    nulls: Vec<String>,
    notation: Notation,
    not_finite: NotFinite,
}

impl Common {
    fn undeclared(&self) -> Conversion {
        Conversion::undeclared(Words::new(&self.nulls), self.not_finite)
    }
}

/// Makes the parser; the faults name their places from within the parser's section.
pub fn compile(written: &written::Parser, limits: Limits) -> Result<Declared, Vec<Fault>> {
    let faults = &mut Faults::default();
    let common = Common {
        nulls: written.nulls.0.clone(),
        notation: if written.decimal_comma { Notation::Comma } else { Notation::Point },
        not_finite: faults.choice(
            "nan",
            written.nan.as_deref(),
            NotFinite::Fail,
            &[("fail", NotFinite::Fail), ("null", NotFinite::Null), ("keep", NotFinite::Keep)],
        ),
    };
    let format = format(written, faults);
    let packing = packing(written, &format, faults);
    let duplicates = faults.choice(
        "duplicates",
        written.duplicates.as_deref(),
        Duplicates::Fail,
        &[("fail", Duplicates::Fail), ("first", Duplicates::First), ("last", Duplicates::Last)],
    );
    let charset = written.charset.as_deref().map_or(Ok(Charset::Utf8), Charset::parse);
    let charset = faults.take("charset", charset).unwrap_or(Charset::Utf8);
    let way = way(written, &format, limits, faults);
    let select = written.select.0.iter().enumerate().filter_map(|(at, condition)| {
        let place = if written.select.0.len() == 1 { String::new() } else { format!("[{at}]") };
        faults.within(&format!("select{place}"), |faults| condition_of(condition, faults))
    });
    let select: Vec<Condition> = select.collect();
    let device_id = written.device_id.as_ref().and_then(|short| {
        faults.within("device_id", |faults| device_id(&short.0, &common, faults))
    });
    let time = written
        .time
        .as_ref()
        .and_then(|short| faults.within("time", |faults| time::plan(&short.0, &common, faults)));
    let fields = fields(written, &common, device_id.as_ref(), time.as_ref(), faults);
    let skips_bad_records = faults.choice(
        "on_bad_record",
        written.on_bad_record.as_deref(),
        false,
        &[("fail", false), ("skip", true)],
    );
    if written.revision == Some(0) {
        faults.add("revision", "a revision is at least 1");
    }
    let way = match (way, faults.is_empty()) {
        (Some(way), true) => way,
        _ => return Err(faults.all()),
    };
    Ok(Declared {
        packing,
        charset,
        format,
        duplicates,
        not_finite: common.not_finite != NotFinite::Fail,
        ignore: written.ignore.0.iter().map(|word| word.trim().into()).collect(),
        way,
        select,
        device_id,
        time,
        fields,
        skips_bad_records,
        limits,
    })
}

fn format(written: &written::Parser, faults: &mut Faults) -> Format {
    if written.csv.is_some() && written.format.as_deref() != Some("csv") {
        faults.add("csv", "it is for format: csv");
    }
    if written.text.is_some() && written.format.as_deref() != Some("text") {
        faults.add("text", "it is for format: text");
    }
    match written.format.as_deref() {
        Some("json") => Format::Json,
        Some("ndjson") => Format::NdJson,
        Some("json-seq") => Format::JsonSeq,
        Some("csv") => {
            let default = written::Csv::default();
            let csv = written.csv.as_ref().unwrap_or(&default);
            Format::Csv(faults.within("csv", |faults| csv_of(csv, faults)))
        }
        Some("text") => {
            let text = written.text.as_ref();
            let split = text.and_then(|text| text.split.clone());
            if split.as_deref() == Some("") {
                faults.add(
                    "text.split",
                    "it is empty: write what stands between values, such as \";\"",
                );
            }
            Format::Text(Text {
                lines: text.is_some_and(|text| text.lines),
                split: split.map(String::into_boxed_str),
            })
        }
        Some("raw") => Format::Raw,
        other => {
            let known = "write json, ndjson, json-seq, csv, text or raw";
            match other {
                None => faults.add("format", &format!("it is missing: {known}")),
                Some(other) => faults.add("format", &format!("{other:?} is no format: {known}")),
            }
            Format::Raw
        }
    }
}

fn csv_of(written: &written::Csv, faults: &mut Faults) -> Csv {
    let mut byte = |place: &str, text: Option<&str>, default: u8| match text {
        None => default,
        Some("tab" | "\t") => b'\t',
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !b"\r\n\0".contains(byte) => *byte,
            _ => {
                faults.add(place, &format!("{text:?}: write one character of ASCII, or tab"));
                default
            }
        },
    };
    let delimiter = byte("delimiter", written.delimiter.as_deref(), b',');
    let quote = byte("quote", written.quote.as_deref(), b'"');
    if delimiter == quote {
        faults.add("quote", "delimiter and quote are the same character");
    }
    let names: std::collections::HashSet<&String> = written.header.iter().collect();
    if names.len() < written.header.len() {
        faults.add("header", "a column's name is there twice");
    }
    let header: Vec<Box<str>> = written.header.iter().map(|name| name.as_str().into()).collect();
    if !header.is_empty() && written.skip_after_header > 0 {
        faults
            .add("skip_after_header", "payloads have no header, as header says: write skip_lines");
    }
    if written.comments.as_deref() == Some("") {
        faults.add("comments", "it is empty: write what comments begin with, such as \"#\"");
    }
    Csv {
        delimiter,
        quote,
        header: (!header.is_empty()).then_some(header),
        skip_lines: written.skip_lines as usize,
        skip_after_header: written.skip_after_header as usize,
        comments: written.comments.as_deref().map(Into::into),
        trim: written.trim,
    }
}

fn packing(written: &written::Parser, format: &Format, faults: &mut Faults) -> Packing {
    let is_json = matches!(format, Format::Json | Format::NdJson | Format::JsonSeq);
    let auto = Packing::Auto { zlib: is_json };
    let default = if *format == Format::Raw { Packing::None } else { auto };
    faults.choice(
        "compression",
        written.compression.as_deref(),
        default,
        &[
            ("auto", auto),
            ("none", Packing::None),
            ("gzip", Packing::Gzip),
            ("zstd", Packing::Zstd),
            ("zlib", Packing::Zlib),
        ],
    )
}

fn way(
    written: &written::Parser,
    format: &Format,
    limits: Limits,
    faults: &mut Faults,
) -> Option<Way> {
    if written.jq.is_some() && written.records.is_some() {
        faults.add("records", "a jq program leads to the records itself: leave one of both out");
    }
    let is_json = matches!(format, Format::Json | Format::NdJson | Format::JsonSeq);
    if written.records.is_some() && !is_json {
        faults.add("records", "only JSON has records within: each row or line is one");
    }
    if let Some(program) = &written.jq {
        let allowance =
            Allowance { steps: limits.jq_steps, size: limits.document_size, depth: limits.depth };
        return faults.take("jq", Program::compile(program, allowance)).map(Way::Program);
    }
    let records = Records::parse(written.records.as_deref().unwrap_or("."));
    faults.take("records", records).map(Way::Path)
}

fn condition_of(written: &written::Condition, faults: &mut Faults) -> Option<Condition> {
    let path = path("path", written.path.as_deref(), faults);
    if written.equals.is_none() && written.not.is_none() && written.exists.is_none() {
        faults.add("", "it says nothing of the value: write equals, not or exists");
    }
    let words =
        |texts: &Option<written::short::Texts>| texts.as_ref().map(|texts| Words::new(&texts.0));
    Some(Condition {
        path: path?,
        equals: words(&written.equals),
        unlike: words(&written.not),
        exists: written.exists,
    })
}

fn path(place: &str, written: Option<&str>, faults: &mut Faults) -> Option<Path> {
    match written {
        Some(text) => faults.take(place, Path::parse(text)),
        None => {
            faults.add(place, "it is missing: write the path to the value");
            None
        }
    }
}

fn device_id(
    written: &written::DeviceId,
    common: &Common,
    faults: &mut Faults,
) -> Option<(Path, Conversion)> {
    let path = path("path", written.path.as_deref(), faults)?;
    if path.is_many() {
        faults.add("path", "it leads to many values, and a record has one device");
    }
    let conversion = Conversion {
        target: Target::Text,
        before: written.before.as_deref().map(Into::into),
        after: written.after.as_deref().map(Into::into),
        ..common.undeclared()
    };
    Some((path, conversion))
}

fn fields(
    written: &written::Parser,
    common: &Common,
    device_id: Option<&(Path, Conversion)>,
    time: Option<&crate::time::TimePlan>,
    faults: &mut Faults,
) -> FieldPlan {
    if written.fields.len() > FIELDS_MAX {
        faults.add("fields", &format!("a parser has at most {FIELDS_MAX} fields"));
    }
    let fields = written.fields.iter().filter_map(|(name, short)| {
        let place = faults::join("fields", name);
        faults.within(&place, |faults| field::field(name, &short.0, common, faults))
    });
    let fields: Vec<_> = fields.collect();
    let keeps =
        faults.choice("rest", written.rest.as_deref(), true, &[("keep", true), ("drop", false)]);
    let rest = keeps.then(|| common.undeclared());
    let others = device_id.map(|(path, _)| path).into_iter();
    let others = others.chain(
        time.iter()
            .flat_map(|time| time.fields.iter().chain(time.offset.iter().map(|(path, _)| path))),
    );
    FieldPlan::new(fields, others, rest)
}

#[cfg(test)]
mod tests;
