//! The ledger: what was sent and acknowledged, one JSON object a line, appended as it happens. Its first lines
//! say what the others are.
//!
//! An attempt is written before the message is handed to the network, an acknowledgement after it
//! came; so a ledger that was cut off claims too little, never too much.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::payload::Content;
use crate::progress::{Unit, Work};

/// Lines on their way to the file.
const QUEUE_LINES: usize = 10_000;
/// How long a line may wait in memory.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Line {
    /// The first lines: what a kind of line says, for who finds a ledger.
    About {
        line: String,
        says: String,
    },
    /// The first line behind those.
    Run {
        run: String,
        seed: u64,
        devices: u32,
        gateway: String,
        started_ms: i64,
    },
    Connected {
        device: String,
        at_ms: i64,
    },
    Disconnected {
        device: String,
        at_ms: i64,
    },
    /// The gateway did not let it in: a device of the fleet, or a hostile one with its profile.
    TurnedAway {
        device: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        why: String,
        at_ms: i64,
    },
    /// A hostile device got in, under the id of a device.
    GotIn {
        device: String,
        profile: String,
        at_ms: i64,
    },
    Sent {
        device: String,
        sequence: u64,
        topic: String,
        qos: u8,
        size: u64,
        sha256: String,
        attempt: u32,
        /// What its payload says; none in ledgers of before there was anything in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Box<Content>>,
        at_ms: i64,
    },
    /// PUBACK or PUBREC came; `code` is MQTT 5's.
    Acknowledged {
        device: String,
        sequence: u64,
        code: u8,
        at_ms: i64,
    },
}

/// What the kinds of lines say.
const ABOUT: [(&str, &str); 7] = [
    ("run", "what run of device-sim this is, of which seed, with how many devices"),
    ("connected", "a device's connection was accepted; `disconnected`: it is gone"),
    ("turned_away", "a connection was refused, with what the gateway said"),
    ("got_in", "a device that does not belong was let in"),
    (
        "sent",
        "a message is handed to the network for the attempt-th time: a device's sequence-th, with the size and \
         SHA-256 of its payload. `content` is what the payload says, and enough to know its events: how it is \
         written (form), whose quantities (kind, stream), where (site), what the values are made of (seed, and \
         the sequence), the time of the first reading (at_ms), from each to the next (step_ms), and how many \
         (records): each reading is an event, and its index its place from 0. With a flaw nothing of it is an \
         event, and it belongs into quarantine. `device-sim show` writes such messages with their events",
    ),
    ("acknowledged", "PUBACK or PUBREC came for it, with that code of MQTT 5"),
    ("at_ms", "by the clock of device-sim, in milliseconds since 1970 UTC"),
];

fn about() -> impl Iterator<Item = Line> {
    ABOUT.iter().map(|(line, says)| Line::About { line: (*line).into(), says: (*says).into() })
}

/// Writes lines from many devices.
#[derive(Clone)]
pub struct Ledger(mpsc::Sender<Line>);

/// The task that writes; it ends when all [`Ledger`]s are gone.
pub struct Writer(tokio::task::JoinHandle<std::io::Result<()>>);

impl Ledger {
    /// Starts a new file.
    pub fn create(path: &Path, first: Line) -> anyhow::Result<(Ledger, Writer)> {
        let file = File::create(path).with_context(|| {
            format!("the ledger {} cannot be written: name another with --ledger", path.display())
        })?;
        let (lines, queue) = mpsc::channel(QUEUE_LINES);
        let writer = tokio::task::spawn_blocking(move || write(file, &first, queue));
        Ok((Ledger(lines), Writer(writer)))
    }

    /// Waits for its place in the queue; false when the file cannot be written any more.
    pub async fn write(&self, line: Line) -> bool {
        self.0.send(line).await.is_ok()
    }
}

impl Writer {
    /// Waits until everything is in the file.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.0
            .await
            .context("the ledger's writer had a panic")?
            .context("the ledger cannot be written")
    }
}

fn write(file: File, first: &Line, mut queue: mpsc::Receiver<Line>) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    for line in about() {
        put(&mut file, &line)?;
    }
    put(&mut file, first)?;
    file.flush()?;
    let mut flushed = Instant::now();
    while let Some(line) = queue.blocking_recv() {
        put(&mut file, &line)?;
        if queue.is_empty() || flushed.elapsed() >= FLUSH_AFTER {
            file.flush()?;
            flushed = Instant::now();
        }
    }
    file.flush()?;
    file.get_ref().sync_all()
}

fn put(file: &mut BufWriter<File>, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

/// A ledger as it is read back.
pub struct Read {
    pub lines: Vec<Line>,
    /// The last line was cut off: the simulator was killed.
    pub torn: bool,
}

/// Reads a ledger.
pub fn read(path: &Path) -> anyhow::Result<Read> {
    let file = File::open(path).with_context(|| {
        format!("the ledger {} cannot be read: name it with --ledger", path.display())
    })?;
    // A pipe has no length, and reading it no end that is known.
    let bytes = file.metadata().map_or(0, |about| about.len());
    let mut work = Work::begin("reads the ledger", Unit::Bytes, bytes);
    let mut done = 0;
    let texts = BufReader::new(file).split(b'\n').inspect(|text| {
        done += text.as_ref().map_or(0, |text| text.len() as u64 + 1);
        work.reach(done);
    });
    parse(texts).with_context(|| format!("the ledger {}", path.display()))
}

fn parse(texts: impl Iterator<Item = std::io::Result<Vec<u8>>>) -> anyhow::Result<Read> {
    let mut lines = Vec::new();
    let mut fault: Option<(usize, serde_json::Error)> = None;
    for (number, text) in texts.enumerate() {
        if let Some((number, error)) = fault {
            anyhow::bail!("line {} is broken: {error}", number + 1);
        }
        match serde_json::from_slice(&text?) {
            Ok(Line::About { .. }) => {}
            Ok(line) => lines.push(line),
            // Only the last line may be broken.
            Err(error) => fault = Some((number, error)),
        }
    }
    anyhow::ensure!(
        matches!(lines.first(), Some(Line::Run { .. })),
        "does not begin with a line about its run: it is no ledger of device-sim"
    );
    Ok(Read { lines, torn: fault.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> anyhow::Result<Read> {
        parse(lines.iter().map(|line| Ok(line.as_bytes().to_vec())))
    }

    #[test]
    fn a_torn_end_is_known_and_a_broken_middle_refused() {
        const RUN: &str =
            r#"{"what":"run","run":"r","seed":1,"devices":1,"gateway":"g","started_ms":1}"#;
        const ACKNOWLEDGED: &str =
            r#"{"what":"acknowledged","device":"d","sequence":1,"code":0,"at_ms":1}"#;
        let whole = texts(&[RUN, ACKNOWLEDGED]).unwrap();
        assert_eq!((whole.lines.len(), whole.torn), (2, false));
        let torn = texts(&[RUN, ACKNOWLEDGED, &ACKNOWLEDGED[..30]]).unwrap();
        assert_eq!((torn.lines.len(), torn.torn), (2, true));
        assert!(texts(&[RUN, "{", ACKNOWLEDGED]).is_err());
        assert!(texts(&[ACKNOWLEDGED]).is_err());
        assert!(texts(&[]).is_err());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        let first = Line::Run {
            run: "r".to_owned(),
            seed: 1,
            devices: 1,
            gateway: "g".to_owned(),
            started_ms: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let second = Line::Connected { device: "d".to_owned(), at_ms: 5 };
        runtime.block_on(async {
            let (ledger, writer) = Ledger::create(&path, first.clone()).unwrap();
            assert!(ledger.write(second.clone()).await);
            drop(ledger);
            writer.finish().await.unwrap();
        });
        let read = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.lines, [first, second], "what lines say is for people");
    }
}
