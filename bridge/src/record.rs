//! A Kafka record as bytes in one buffer: its topic and its sections (headers, key, value) end to end, and
//! their places beside them, so that thousands of records share one allocation on their way to a sink.

use std::ops::Range;

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

/// The most that is written in a record of a lane with this `inline_size`, in bytes: [`max_bytes`] less
/// what Kafka puts around it.
pub(crate) fn room_bytes(inline_size: u32) -> u64 {
    u64::from(inline_size) + u64::from(HEAD_ROOM_BYTES)
}

/// A record is longer than what its lane takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its record of {bytes} bytes is larger than the {limit} that its lane takes")]
pub struct TooLong {
    pub bytes: u64,
    pub limit: u64,
}

/// Where a section of a record lies in its buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Section {
    start: u32,
    len: u32,
}

impl Section {
    fn range(self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// Where everything of one record lies in its buffer: the topic first, then the sections in the order in
/// which they were written.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    topic: u16,
    headers: Section,
    key: Section,
    value: Section,
    timestamp_ms: i64,
}

impl Layout {
    fn total(&self) -> usize {
        let sections = [self.headers, self.key, self.value];
        usize::from(self.topic) + sections.iter().map(|section| section.len as usize).sum::<usize>()
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
        let mut rest: &'a [u8] = &self.bytes[self.layout.headers.range()];
        std::iter::from_fn(move || {
            let (name, after) = split_text(rest)?;
            let (value, after) = split_text(after)?;
            rest = after;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    pub fn key(&self) -> &'a [u8] {
        &self.bytes[self.layout.key.range()]
    }

    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.layout.value.range()]
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

    /// What it takes of a batch at most, in bytes, as librdkafka counts it.
    pub(crate) fn batch_bytes(&self) -> u32 {
        const RECORD: usize = 64;
        const HEADER: usize = 10;
        (self.len() + RECORD + HEADER * self.headers().count()) as u32
    }

    /// Whether it is no longer than `limit`, in bytes.
    pub(crate) fn within(&self, limit: u64) -> Result<(), TooLong> {
        let bytes = self.bytes.len() as u64;
        if bytes <= limit { Ok(()) } else { Err(TooLong { bytes, limit }) }
    }

    pub fn to_owned(&self) -> RecordBuf {
        RecordBuf { bytes: self.bytes.to_vec(), layout: self.layout }
    }
}

/// Records are the same when their parts are, in whatever order they were written.
impl PartialEq for Record<'_> {
    fn eq(&self, other: &Record<'_>) -> bool {
        (self.topic(), self.key(), self.value(), self.timestamp_ms())
            == (other.topic(), other.key(), other.value(), other.timestamp_ms())
            && self.headers().eq(other.headers())
    }
}

/// One record in a buffer of its own; cleared and written again and again on the hot path.
#[derive(Clone, Debug, Default)]
pub struct RecordBuf {
    bytes: Vec<u8>,
    layout: Layout,
}

impl PartialEq for RecordBuf {
    fn eq(&self, other: &RecordBuf) -> bool {
        self.as_record() == other.as_record()
    }
}

impl RecordBuf {
    /// With memory for a record of so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> RecordBuf {
        RecordBuf { bytes: Vec::with_capacity(bytes), layout: Layout::default() }
    }

    /// Starts a record; its sections follow in any order. `topic` is a Kafka topic name, which has at
    /// most 249 bytes.
    pub fn begin(&mut self, topic: &str, timestamp_ms: i64) {
        self.bytes.clear();
        self.bytes.extend_from_slice(topic.as_bytes());
        let topic = u16::try_from(topic.len()).expect("a Kafka topic name has at most 249 bytes");
        self.layout = Layout { topic, timestamp_ms, ..Layout::default() };
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.append(
            |layout| &mut layout.headers,
            |out| {
                for text in [name.as_bytes(), value] {
                    out.extend_from_slice(&place(text.len()).to_le_bytes());
                    out.extend_from_slice(text);
                }
            },
        );
    }

    /// Lets `write` append to the key.
    pub fn key(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.append(|layout| &mut layout.key, write);
    }

    /// Lets `write` append to the value.
    pub fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.append(|layout| &mut layout.value, write);
    }

    fn append(
        &mut self,
        section: impl Fn(&mut Layout) -> &mut Section,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let end = place(self.bytes.len());
        let own = section(&mut self.layout);
        if own.len == 0 {
            own.start = end;
        } else if own.start + own.len != end {
            // Something else was written meanwhile. No format has to do this with what is large.
            let Section { start, len } = *own;
            self.bytes[start as usize..].rotate_left(len as usize);
            let Layout { headers, key, value, .. } = &mut self.layout;
            for behind in [headers, key, value] {
                if (start + len..end).contains(&behind.start) {
                    behind.start -= len;
                }
            }
            section(&mut self.layout).start = end - len;
        }
        write(&mut self.bytes);
        let own = section(&mut self.layout);
        own.len = place(self.bytes.len()) - own.start;
    }

    pub fn set_timestamp_ms(&mut self, timestamp_ms: i64) {
        self.layout.timestamp_ms = timestamp_ms;
    }

    pub fn as_record(&self) -> Record<'_> {
        Record { bytes: &self.bytes, layout: self.layout }
    }

    /// Lets go of a buffer that one large record made, so that a thread keeps at most `bytes`.
    pub fn shrink_over(&mut self, bytes: usize) {
        if self.bytes.capacity() > bytes {
            self.bytes = Vec::new();
        }
    }
}

/// The first text of a section of headers, and what follows it.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// A place in a record's buffer, or a length in it.
fn place(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an MQTT packet has at most 256 MiB, a record of Kafka 2 GiB")
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

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What belongs to the first record.
    pub fn first(&self) -> Option<&T> {
        self.entries.first().map(|(_, companion)| companion)
    }

    /// Forgets all records.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A step of whoever writes a record.
    #[derive(Clone, Debug)]
    enum Step {
        Header(String, Vec<u8>),
        Key(Vec<u8>),
        Value(Vec<u8>),
    }

    /// Texts on both sides of every length that one or two bytes could say.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => vec(any::<u8>(), 0..40),
            1 => (250..260_usize).prop_map(|length| std::vec![b'x'; length]),
            1 => (65_530..65_540_usize).prop_map(|length| std::vec![b'y'; length]),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = prop_oneof![4 => ".{0,12}", 1 => "[a-z]{250,260}"];
        prop_oneof![
            (name, bytes()).prop_map(|(name, value)| Step::Header(name, value)),
            bytes().prop_map(Step::Key),
            bytes().prop_map(Step::Value),
        ]
    }

    fn written(topic: &str, timestamp_ms: i64, steps: &[Step]) -> RecordBuf {
        let mut record = RecordBuf::default();
        record.begin(topic, timestamp_ms);
        for step in steps {
            match step {
                Step::Header(name, value) => record.header(name, value),
                Step::Key(bytes) => record.key(|out| out.extend_from_slice(bytes)),
                Step::Value(bytes) => record.value(|out| out.extend_from_slice(bytes)),
            }
        }
        record
    }

    proptest! {
        /// Sections may be written in any order, in pieces and mixed with each other, and nothing of
        /// them is cut.
        #[test]
        fn what_is_written_is_read_back_in_whatever_order(
            records in vec((".{0,20}", any::<i64>(), vec(step(), 0..8)), 1..4),
        ) {
            let mut batch = RecordBatch::default();
            for (index, (topic, timestamp_ms, steps)) in records.iter().enumerate() {
                let record = written(topic, *timestamp_ms, steps);
                let mut by_section = steps.clone();
                by_section.sort_by_key(|step| match step {
                    Step::Header(..) => 0,
                    Step::Key(_) => 1,
                    Step::Value(_) => 2,
                });
                prop_assert_eq!(&record, &written(topic, *timestamp_ms, &by_section));
                batch.push(record.as_record(), index);
            }
            let mut drained = 0;
            batch.drain(0, |record, index| {
                let (topic, timestamp_ms, steps) = &records[index];
                let mut headers = Vec::new();
                let (mut key, mut value) = (Vec::new(), Vec::new());
                for step in steps {
                    match step {
                        Step::Header(name, value) => headers.push((&**name, &**value)),
                        Step::Key(bytes) => key.extend_from_slice(bytes),
                        Step::Value(bytes) => value.extend_from_slice(bytes),
                    }
                }
                assert_eq!((record.topic(), record.timestamp_ms()), (&**topic, *timestamp_ms));
                assert_eq!(record.headers().collect::<Vec<_>>(), headers);
                assert!(record.key() == key && record.value() == value);
                assert_eq!(record.to_owned().as_record(), record);
                assert_eq!(index, drained);
                drained += 1;
            });
            prop_assert_eq!(drained, records.len());
            prop_assert!(batch.is_empty());
        }
    }

    #[test]
    fn a_record_knows_whether_it_is_too_long() {
        let record = written("t", 0, &[Step::Value(std::vec![0; 9])]);
        assert_eq!(record.as_record().within(10), Ok(()));
        let error = TooLong { bytes: 10, limit: 9 };
        assert_eq!(record.as_record().within(9), Err(error));
        let told = "its record of 10 bytes is larger than the 9 that its lane takes";
        assert_eq!(error.to_string(), told);
    }
}
