//! How the firmware of a device writes what a message says: the payloads of each generation, and what can be
//! wrong with them. Pure.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::Value as Json;

use super::{Content, Flaw, Form, Head, push_number, rfc3339};
use crate::reading::{Stream, Value, mixed, waveform};

/// What old firmware writes where a sensor does not answer, and what tables have there.
const OLD_NULL: &str = "-999";
const TABLE_NULL: &str = "---";
/// Bytes in front of a gzip's name, and the zero behind it.
const GZIP_AROUND_NAME: usize = 11;

impl Content {
    /// The payload. One with a size has as many readings as go into it, exactly, and counts them.
    pub fn write(&mut self, head: Head<'_>, size: Option<usize>) -> anyhow::Result<Vec<u8>> {
        let stream = self.stream()?;
        let mut out = Vec::with_capacity(size.unwrap_or(0));
        // Behind what says whose it is.
        let mut head_end = 0;
        match self.form {
            Form::Json => {
                out.push(b'{');
                push_head(&mut out, ["device", "boot", "seq"], head);
                head_end = out.len();
                let time = rfc3339(self.at_ms);
                write!(out, "\"ts\":\"{time}\",")?;
                self.push_reading(&mut out, &stream, head.sequence, 0);
                out.push(b'}');
            }
            Form::OldJson => {
                out.push(b'{');
                push_head(&mut out, ["id", "b", "n"], head);
                head_end = out.len();
                let (firmware, at) = (Json::from(head.firmware), self.at_ms / 1000);
                write!(out, "\"fw\":{firmware},\"t\":{at},\"s\":")?;
                self.push_site(&mut out);
                out.extend_from_slice(b",\"vals\":[");
                for index in 0..self.records {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.push_old_reading(&mut out, &stream, head.sequence, index);
                }
                out.extend_from_slice(b"]}");
            }
            Form::Csv => self.push_table(&mut out, &stream, head),
            Form::Ndjson | Form::NdjsonGzip => {
                head_end = self.push_lines(&mut out, &stream, head, size);
            }
        }
        if self.form == Form::NdjsonGzip {
            (out, head_end) = packed(&out, head)?;
        }
        if self.flaw == Some(Flaw::Cut) {
            self.cut(&mut out, head_end, head.sequence);
        }
        Ok(out)
    }

    /// Site and quantities, as firmware of today has them.
    fn push_reading(&self, out: &mut Vec<u8>, stream: &Stream, sequence: u64, index: u64) {
        out.extend_from_slice(b"\"site\":");
        self.push_site(out);
        for (quantity, value) in stream.at(self.seed, self.moment(sequence, index)) {
            push_name(out, quantity.today);
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
                Value::Word(word) => push_word(out, word),
                Value::Number(number) => push_number(out, number, quantity.sort.decimals(), b'.'),
            }
        }
    }

    fn push_waveform(&self, out: &mut Vec<u8>, sequence: u64, index: u64) {
        push_name(out, "wave");
        let mut mark = b'[';
        for sample in waveform(self.seed, self.moment(sequence, index)) {
            out.push(mark);
            push_number(out, sample, 0, b'.');
            mark = b',';
        }
        out.push(b']');
    }

    fn push_old_reading(&self, out: &mut Vec<u8>, stream: &Stream, sequence: u64, index: u64) {
        out.extend_from_slice(b"{\"dt\":");
        push_number(out, self.step_ms / 1000 * index as i64, 0, b'.');
        for (quantity, value) in stream.at(self.seed, self.moment(sequence, index)) {
            push_name(out, quantity.old);
            match value {
                Value::Null => out.extend_from_slice(OLD_NULL.as_bytes()),
                Value::Flag(flag) => out.push(b'0' + u8::from(flag)),
                Value::Word(word) => push_word(out, word),
                Value::Number(number) => {
                    push_number(out, number, quantity.sort.decimals() - quantity.shift, b'.');
                }
            }
        }
        out.push(b'}');
    }

    fn push_table(&self, out: &mut Vec<u8>, stream: &Stream, head: Head<'_>) {
        let Head { run, device, sequence, firmware } = head;
        out.extend_from_slice(format!("# {device} {run} {sequence} {firmware}\n").as_bytes());
        out.extend_from_slice(b"time;site");
        for quantity in stream.quantities {
            out.push(b';');
            out.extend_from_slice(quantity.today.as_bytes());
        }
        for index in 0..self.records {
            let time = rfc3339(self.at_ms + self.step_ms * index as i64);
            let (year, month, day) = (&time[..4], &time[5..7], &time[8..10]);
            out.extend_from_slice(format!("\n{day}.{month}.{year} {};", &time[11..19]).as_bytes());
            out.extend_from_slice(&self.site_bytes());
            for (quantity, value) in stream.at(self.seed, self.moment(sequence, index)) {
                out.push(b';');
                match value {
                    Value::Null => out.extend_from_slice(TABLE_NULL.as_bytes()),
                    Value::Flag(flag) => out.push(b'0' + u8::from(flag)),
                    Value::Word(word) => out.extend_from_slice(word.as_bytes()),
                    Value::Number(number) => {
                        push_number(out, number, quantity.sort.decimals(), b',');
                    }
                }
            }
        }
        out.push(b'\n');
    }

    /// Says where what says whose it is ends.
    fn push_lines(
        &mut self,
        out: &mut Vec<u8>,
        stream: &Stream,
        head: Head<'_>,
        size: Option<usize>,
    ) -> usize {
        let (mut index, mut head_end) = (0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            line.push(b'{');
            // The others of a log are of the same device.
            if index == 0 {
                push_head(&mut line, ["device", "boot", "seq"], head);
                head_end = line.len();
            }
            line.extend_from_slice(b"\"ts\":");
            push_number(&mut line, self.at_ms + self.step_ms * index as i64, 0, b'.');
            line.push(b',');
            self.push_reading(&mut line, stream, head.sequence, index);
            if self.form == Form::Ndjson {
                self.push_waveform(&mut line, head.sequence, index);
            }
            line.extend_from_slice(b"}\n");
            let is_full = match size {
                Some(size) => index > 0 && out.len() + line.len() > size,
                None => index == self.records,
            };
            if is_full {
                break;
            }
            out.extend_from_slice(&line);
            index += 1;
        }
        self.records = index;
        if let Some(size) = size {
            // White space in front of the last line's end brings it to the size.
            out.pop();
            out.resize(size.saturating_sub(1).max(out.len()), b' ');
            out.push(b'\n');
        }
        head_end
    }

    fn push_site(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.site_bytes());
        out.push(b'"');
    }

    /// The names of sites have nothing that JSON escapes, and nothing beyond Latin-1.
    fn site_bytes(&self) -> Vec<u8> {
        match self.flaw {
            Some(Flaw::Charset) => self.site.chars().map(|one| one as u32 as u8).collect(),
            _ => self.site.as_bytes().to_vec(),
        }
    }

    /// Ends it early, where it is known how that is found; never within what says whose it is.
    fn cut(&self, out: &mut Vec<u8>, head_end: usize, sequence: u64) {
        let end = if self.form == Form::Csv {
            // The last row is left with its first two columns.
            let row = out[..out.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            let columns = out[row..].iter().enumerate().filter(|(_, byte)| **byte == b';');
            row + columns.map(|(at, _)| at).nth(1).unwrap_or(0)
        } else {
            let rest = out.len() - head_end;
            head_end + 1 + mixed(self.seed, sequence) as usize % (rest - 1)
        };
        out.truncate(end);
    }
}

/// Packs lines behind the name of their file, which says whose they are; and where that name ends.
fn packed(lines: &[u8], head: Head<'_>) -> std::io::Result<(Vec<u8>, usize)> {
    let name = format!("{}_{}_{}.ndjson", head.device, head.run, head.sequence);
    let head_end = name.len() + GZIP_AROUND_NAME;
    let mut packed = GzBuilder::new().filename(name).write(Vec::new(), Compression::new(6));
    packed.write_all(lines)?;
    Ok((packed.finish()?, head_end))
}

/// Whose it is, under the names of a generation; a comma stands behind it.
fn push_head(out: &mut Vec<u8>, names: [&str; 3], head: Head<'_>) {
    let [device, boot, sequence] = names;
    let (id, run, number) = (Json::from(head.device), Json::from(head.run), head.sequence);
    let text = format!("\"{device}\":{id},\"{boot}\":{run},\"{sequence}\":{number},");
    out.extend_from_slice(text.as_bytes());
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Words of devices have nothing that JSON escapes.
fn push_word(out: &mut Vec<u8>, word: &str) {
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}
