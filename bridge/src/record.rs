//! A Kafka record as bytes in one buffer: topic, key, headers and value end to end, and their
//! lengths beside them, so that thousands of records share one allocation on their way to a sink.

/// What a message costs in memory beside its record, in bytes: librdkafka's own message, its headers,
/// the receipt and the lane's slot.
pub const RECORD_COST: u64 = 512;

/// The most that a record holds beside its payload, in bytes: topic, key, headers, and what the envelope
/// says. With the lane's `inline_size` it is what its Kafka topics have to take, and its producer takes.
pub const HEAD_MAX_BYTES: u32 = 96 * 1024;
/// Of [`HEAD_MAX_BYTES`], for what Kafka puts around a record and a batch.
const FRAMING_BYTES: u32 = 1024;
/// What is left for what we write.
pub(crate) const HEAD_ROOM_BYTES: u32 = HEAD_MAX_BYTES - FRAMING_BYTES;

/// Of [`HEAD_ROOM_BYTES`], for a reference to an object, of which the URI takes most.
pub(crate) const REFERENCE_MAX_BYTES: u32 = 4 * 1024;

/// The largest record of a lane with this `inline_size`, in bytes, as Kafka counts it.
pub fn max_bytes(inline_size: u32) -> u32 {
    inline_size.saturating_add(HEAD_MAX_BYTES)
}

/// Where the parts of one record end in their buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    topic: u16,
    headers: u16,
    key: u32,
    value: u32,
    timestamp_ms: i64,
}

impl Layout {
    fn total(&self) -> usize {
        usize::from(self.topic)
            + usize::from(self.headers)
            + self.key as usize
            + self.value as usize
    }
}

/// One record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> Record<'a> {
    /// The Kafka topic.
    pub fn topic(&self) -> &'a str {
        // The writer took a `&str`, so this cannot fail; an empty topic would be refused by any sink.
        std::str::from_utf8(&self.bytes[..usize::from(self.layout.topic)]).unwrap_or_default()
    }

    /// Name and value of each header.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let start = usize::from(self.layout.topic);
        let mut rest = &self.bytes[start..start + usize::from(self.layout.headers)];
        std::iter::from_fn(move || {
            let (&name, after) = rest.split_first()?;
            let (&value, after) = after.split_first()?;
            let (name, after) = after.split_at(usize::from(name));
            let (value, after) = after.split_at(usize::from(value));
            rest = after;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    pub fn key(&self) -> &'a [u8] {
        let start = usize::from(self.layout.topic) + usize::from(self.layout.headers);
        &self.bytes[start..start + self.layout.key as usize]
    }

    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.layout.total() - self.layout.value as usize..]
    }

    /// Milliseconds since 1970 UTC.
    pub fn timestamp_ms(&self) -> i64 {
        self.layout.timestamp_ms
    }

    /// Size of all parts, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn to_owned(&self) -> RecordBuf {
        RecordBuf { bytes: self.bytes.to_vec(), layout: self.layout }
    }
}

/// One record in a buffer of its own; cleared and written again and again on the hot path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordBuf {
    bytes: Vec<u8>,
    layout: Layout,
}

/// Longest name or value of a header, in bytes.
pub const HEADER_MAX_BYTES: usize = 255;

impl RecordBuf {
    /// Starts a record; the parts follow in this order: headers, key, value. `topic` is a Kafka
    /// topic name, which has at most 249 bytes.
    pub fn begin(&mut self, topic: &str, timestamp_ms: i64) {
        self.bytes.clear();
        self.bytes.extend_from_slice(topic.as_bytes());
        let topic = u16::try_from(topic.len()).expect("a Kafka topic name has at most 249 bytes");
        self.layout = Layout { topic, timestamp_ms, ..Layout::default() };
    }

    /// Adds a header; what is longer than [`HEADER_MAX_BYTES`] is cut.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        let name = &name.as_bytes()[..name.len().min(HEADER_MAX_BYTES)];
        let value = &value[..value.len().min(HEADER_MAX_BYTES)];
        let start = self.bytes.len();
        self.bytes.push(name.len() as u8);
        self.bytes.push(value.len() as u8);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.layout.headers += (self.bytes.len() - start) as u16;
    }

    /// Lets `write` append the key.
    pub fn key(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.layout.key = (self.bytes.len() - start) as u32;
    }

    /// Lets `write` append to the value, which ends the record.
    pub fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.layout.value += (self.bytes.len() - start) as u32;
    }

    pub fn set_timestamp_ms(&mut self, timestamp_ms: i64) {
        self.layout.timestamp_ms = timestamp_ms;
    }

    pub fn as_record(&self) -> Record<'_> {
        Record { bytes: &self.bytes, layout: self.layout }
    }

    /// Bytes that it takes.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Lets go of a buffer that one large record made, so that a thread keeps at most `bytes`.
    pub fn shrink_over(&mut self, bytes: usize) {
        if self.bytes.capacity() > bytes {
            self.bytes = Vec::new();
        }
    }
}

/// Records end to end, each with something that belongs to it.
pub struct RecordBatch<T> {
    bytes: Vec<u8>,
    entries: Vec<(Layout, T)>,
}

impl<T> Default for RecordBatch<T> {
    fn default() -> RecordBatch<T> {
        RecordBatch { bytes: Vec::new(), entries: Vec::new() }
    }
}

impl<T> RecordBatch<T> {
    pub fn push(&mut self, record: Record<'_>, companion: T) {
        self.bytes.extend_from_slice(record.bytes);
        self.entries.push((record.layout, companion));
    }

    /// Size of the records, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the records out in order and leaves the batch empty; buffers are kept up to
    /// `keep_bytes`.
    pub fn drain(&mut self, keep_bytes: usize, mut each: impl FnMut(Record<'_>, T)) {
        let mut start = 0;
        for (layout, companion) in self.entries.drain(..) {
            let end = start + layout.total();
            each(Record { bytes: &self.bytes[start..end], layout }, companion);
            start = end;
        }
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.entries.shrink_to(keep_bytes / 128);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut record = RecordBuf::default();
        let mut batch = RecordBatch::default();
        for i in 0..3_u8 {
            record.begin("landfall.fast", 42);
            record.header("content-type", b"application/protobuf");
            record.header("landfall-reason", &[b'x'; 300]);
            record.key(|out| out.extend_from_slice(&[i; 5]));
            record.value(|out| out.extend_from_slice(&[i; 1_000]));
            batch.push(record.as_record(), i);
        }
        let mut seen = 0;
        batch.drain(0, |record, i| {
            assert_eq!(i, seen);
            assert_eq!(record.topic(), "landfall.fast");
            let headers: Vec<_> = record.headers().collect();
            assert_eq!(headers[0], ("content-type", &b"application/protobuf"[..]));
            assert_eq!(headers[1].1.len(), HEADER_MAX_BYTES);
            assert_eq!(record.key(), [i; 5]);
            assert_eq!(record.value(), [i; 1_000]);
            assert_eq!(record.timestamp_ms(), 42);
            seen += 1;
        });
        assert_eq!(seen, 3);
        assert!(batch.is_empty());
    }
}
