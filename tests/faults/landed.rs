//! What has landed in Kafka, as `tests/tools/kafka/Landed.java` sees it: a process of its own, with Kafka's own client
//! and protobuf's, whose lines are read here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tests::process::Process;
use tests::tools::{repository, tool};
use tests::wait;

use crate::books::Sha256;

/// Of its process, and of the files that it writes.
const NAME: &str = "landed";
/// Of what it says of Kafka, the end.
const LOG_BYTES: usize = 2000;
/// How long the reader tries to read what is there before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to begin or end beside that.
const SPARE: Duration = Duration::from_secs(15);
/// A line that is longer than this is none of the reader's.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// A record of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Counts up each time that its topic was made anew, from 0.
    pub generation: u32,
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// The gateway's clock, milliseconds since 1970; Kafka's where it is the time of the append.
    pub timestamp_ms: i64,
    /// The topic writes the time of each append, by which records of several partitions are in a row.
    pub is_append_time: bool,
    /// Of the envelope; None where the record is no envelope.
    pub message_id: Option<MessageId>,
    /// The gateway that wrote it.
    pub gateway: Option<Arc<str>>,
    /// The payload's first line, where the record holds the payload.
    pub head: Option<String>,
    /// The payload's, inline or not.
    pub size: u64,
    pub sha256: Option<Sha256>,
    /// Where the payload is, if not in the record.
    pub uri: Option<String>,
    /// Of a dead letter.
    pub reason: Option<String>,
}

/// The id that a gateway gives a message when it accepts it: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MessageId(pub u128);

impl Display for MessageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl FromStr for MessageId {
    type Err = String;

    fn from_str(text: &str) -> Result<MessageId, String> {
        let digits: String = text.split('-').collect();
        let is_whole = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = u128::from_str_radix(&digits, 16).ok().filter(|_| is_whole);
        id.map(MessageId).ok_or_else(|| format!("{text:?} is no id of a message"))
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for MessageId {
    type Error = String;

    fn try_from(text: String) -> Result<MessageId, String> {
        text.parse()
    }
}

/// How many partitions a topic had, by its name and generation.
pub type Sizes = BTreeMap<(Arc<str>, u32), BTreeSet<u32>>;

/// Everything that the reader has printed.
#[derive(Debug, Default)]
pub struct Lines {
    pub landed: Vec<Landed>,
    pub sizes: Sizes,
    /// How many partitions each topic has now.
    partitions: BTreeMap<Arc<str>, u32>,
    /// The last question whether everything that was there is read.
    reached: u64,
    is_finished: bool,
    /// Names that come again and again.
    names: BTreeSet<Arc<str>>,
}

impl Lines {
    /// What a reader wrote, up to a line that is torn.
    pub fn read(path: &Path) -> Result<Lines, String> {
        let cannot = |error| format!("{} cannot be read: {error}", path.display());
        let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
        let (mut lines, mut line) = (Lines::default(), String::new());
        while reader.read_line(&mut line).map_err(cannot)? > 0 {
            if let Some(whole) = line.strip_suffix('\n') {
                lines.take(whole)?;
            }
            line.clear();
        }
        Ok(lines)
    }

    /// Takes a line, without its end.
    pub fn take(&mut self, line: &str) -> Result<(), String> {
        self.parse(line).ok_or_else(|| format!("no line of the reader's: {line:?}"))
    }

    fn parse(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            [
                "l",
                generation,
                topic,
                partition,
                offset,
                timestamp,
                appended @ ("0" | "1"),
                _key,
                id,
                _lane,
                gateway,
                "0" | "1",
                head,
                size,
                hash,
                uri,
                reason,
            ] => {
                let landed = Landed {
                    generation: generation.parse().ok()?,
                    topic: self.name(topic),
                    partition: partition.parse().ok()?,
                    offset: offset.parse().ok()?,
                    timestamp_ms: timestamp.parse().ok()?,
                    is_append_time: appended == "1",
                    message_id: optional(id, |id| id.parse().ok())?,
                    gateway: optional(gateway, unescaped)?.map(|name| self.name(&name)),
                    head: optional(head, unescaped)?,
                    size: size.parse().ok()?,
                    sha256: optional(hash, |hash| hash.parse().ok())?,
                    uri: optional(uri, unescaped)?,
                    reason: optional(reason, unescaped)?,
                };
                self.landed.push(landed);
            }
            ["p", topic, generation, partitions] => {
                let (topic, partitions) = (self.name(topic), partitions.parse().ok()?);
                if partitions > 0 {
                    let generation = (Arc::clone(&topic), generation.parse().ok()?);
                    self.sizes.entry(generation).or_default().insert(partitions);
                }
                self.partitions.insert(topic, partitions);
            }
            ["a", number] => self.reached = number.parse().ok()?,
            ["e"] => self.is_finished = true,
            _ => return None,
        }
        Some(())
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

/// `-` stands for what is not there; None where the word cannot be read.
fn optional<T>(word: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match word {
        "-" => Some(None),
        word => read(word).map(Some),
    }
}

/// What a word's escapes stand for. Bytes that are no text stay visible as such.
pub fn unescaped(word: &str) -> Option<String> {
    let mut parts = word.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The reader's process; it ends with this.
pub struct Reader(Mutex<Running>);

struct Running {
    process: Process,
    commands: PipeWriter,
    output: File,
    log: PathBuf,
    /// The beginning of a line whose end is not written yet.
    torn: Vec<u8>,
    lines: Lines,
    /// How many times it was asked whether everything is read.
    asked: u64,
}

impl Reader {
    /// Follows topics that are there or will be; `servers` are separated by commas. The lines stay in `landed.out` of
    /// the folder.
    #[track_caller]
    pub fn start(servers: &str, topics: &[impl AsRef<str>], folder: &Path) -> Reader {
        Reader::start_with(servers, topics, folder, PATIENCE)
    }

    #[track_caller]
    fn start_with(
        servers: &str,
        topics: &[impl AsRef<str>],
        folder: &Path,
        patience: Duration,
    ) -> Reader {
        let classes = tool("consume-java/classes");
        let mut paths = vec![classes];
        paths.push(tool("consume-java/dependency").join("*"));
        let class_path = std::env::join_paths(paths).expect("the tools' folder has no colon in it");
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-cp"])
            .arg(class_path)
            .arg(repository().join("tests/tools/kafka/Landed.java"))
            .arg(servers)
            .arg(patience.as_secs().to_string())
            .args(topics.iter().map(AsRef::as_ref));
        let (input, commands) = std::io::pipe().expect("a pipe can be made");
        let process = Process::start_with_input(NAME, command, input, folder);
        let output = File::open(folder.join(format!("{NAME}.out"))).expect("it was just made");
        let log = folder.join(format!("{NAME}.log"));
        let (torn, lines) = (Vec::new(), Lines::default());
        Reader(Mutex::new(Running { process, commands, output, log, torn, lines, asked: 0 }))
    }

    /// A topic was made anew: it sees by itself, but now at once.
    #[track_caller]
    pub fn begin(&self, topic: &str) {
        self.running().order(&format!("begin {topic}"));
    }

    /// Waits until it has read everything that is in Kafka now.
    #[track_caller]
    pub fn catch_up(&self, deadline: Duration) {
        let number = {
            let mut running = self.running();
            running.asked += 1;
            let number = running.asked;
            running.order(&format!("reach {number}"));
            number
        };
        wait::until_true("the reader has read what is there", deadline, || {
            let mut running = self.running();
            running.look();
            running.is_alive();
            running.lines.reached >= number
        });
    }

    /// How many partitions it knows of a topic; 0 where the topic is not there.
    #[cfg(test)]
    #[track_caller]
    pub fn partitions(&self, topic: &str) -> u32 {
        let mut running = self.running();
        running.look();
        running.lines.partitions.get(topic).copied().unwrap_or_default()
    }

    /// How many records it has read so far.
    #[cfg(test)]
    #[track_caller]
    pub fn count(&self) -> usize {
        let mut running = self.running();
        running.look();
        running.lines.landed.len()
    }

    /// Has it read the rest, and end; what it has read, or why it cannot read everything.
    #[track_caller]
    pub fn finish(&self) -> Result<Lines, String> {
        let mut running = self.running();
        // One that has ended takes no command: its status tells.
        let _ = writeln!(running.commands, "finish");
        let status = running.process.wait(PATIENCE + SPARE);
        running.look();
        if !status.success() || !running.lines.is_finished {
            return Err(format!("the reader ({status}): {}", running.said()));
        }
        Ok(std::mem::take(&mut running.lines))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Whoever panicked under the lock has told why; the others may go on.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Running {
    #[track_caller]
    fn order(&mut self, line: &str) {
        if let Err(error) = writeln!(self.commands, "{line}") {
            panic!("the reader takes no command: {error}: {}", self.said());
        }
    }

    #[track_caller]
    fn is_alive(&mut self) {
        if let Some(status) = self.process.ended() {
            panic!("the reader has ended ({status}): {}", self.said());
        }
    }

    /// The end of what it said beside its lines.
    fn said(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES)..]).into_owned()
    }

    /// Takes the lines that came since.
    #[track_caller]
    fn look(&mut self) {
        self.output.read_to_end(&mut self.torn).expect("the test's folder can be read");
        let end = self.torn.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in self.torn[..end].split_inclusive(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&line[..line.len() - 1]);
            self.lines.take(&line).unwrap_or_else(|error| panic!("{error}"));
        }
        self.torn.drain(..end);
        assert!(self.torn.len() < LINE_MAX_BYTES, "the reader writes a line without an end");
    }
}

#[cfg(test)]
mod on_kafka;
