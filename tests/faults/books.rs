//! The books of the fleet: text to which a line is appended for each thing that a device did or saw, so that
//! whoever judges a gateway afterwards needs to believe nobody. Written by the fleet before bytes leave, read
//! by it when it goes on after a kill, and by the judge.

mod line;
mod show;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

pub use line::{Line, Sha256};
pub use show::{Options, run};

/// The longest line that anybody wrote, in bytes: a topic, a hash, and words.
const LINE_MAX: usize = 4096;

/// What the books say, device by device.
#[derive(Debug, Default)]
pub struct Books {
    /// Processes of the fleet, in the order in which they began.
    pub runs: Vec<Run>,
    pub devices: BTreeMap<String, Device>,
    /// When a process of the fleet ended by itself, and how many messages it had open.
    pub ends: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub seed: u64,
    pub devices: usize,
    pub pid: u32,
    pub began_ms: u64,
}

#[derive(Debug, Default)]
pub struct Device {
    /// The first has the sequence number 1.
    pub messages: Vec<Message>,
    pub connects: Vec<Connect>,
    pub disconnects: Vec<Disconnect>,
    /// What a gateway must not send, and when it came.
    pub faults: Vec<(u64, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub qos: u8,
    pub size: usize,
    pub sha256: Sha256,
    pub topic: String,
    pub invoked_ms: u64,
    pub sent_again_ms: Vec<u64>,
    pub fate: Option<Fate>,
}

/// How a message with QoS 1 or 2 ended for its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged {
        at: u64,
        code: u8,
    },
    /// An answer with a code of 0x80 or more.
    Negative {
        at: u64,
        code: u8,
    },
    GivenUp {
        at: u64,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub at: u64,
    pub wait_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub at: u64,
    pub why: String,
}

impl Message {
    /// How often it was sent.
    pub fn sendings(&self) -> usize {
        1 + self.sent_again_ms.len()
    }

    /// Its device still waits for an answer.
    pub fn is_open(&self) -> bool {
        self.qos > 0 && self.fate.is_none()
    }
}

impl Books {
    pub fn read(path: &Path) -> Result<Books, String> {
        let mut books = Books::default();
        read(path, |line| books.add(line))?;
        Ok(books)
    }

    /// A message of a device.
    pub fn message(&self, device: &str, seq: u64) -> Option<&Message> {
        self.devices.get(device)?.messages.get(index(seq)?)
    }

    /// Takes a line up; one that contradicts those before it is an error.
    pub fn add(&mut self, line: Line<'_>) -> Result<(), String> {
        match line {
            Line::Run { run, seed, devices, pid, at } => {
                if run as usize != self.runs.len() + 1 {
                    return Err(format!("run {run} comes after {} others", self.runs.len()));
                }
                self.runs.push(Run { seed, devices, pid, began_ms: at });
            }
            Line::Connected { device, at, wait_ms } => {
                self.device(device).connects.push(Connect { at, wait_ms });
            }
            Line::Disconnected { device, at, why } => {
                self.device(device).disconnects.push(Disconnect { at, why: why.to_owned() });
            }
            Line::Invoked { device, seq, qos, size, sha256, topic, at } => {
                let messages = &mut self.device(device).messages;
                if seq != messages.len() as u64 + 1 {
                    return Err(format!("{device} sends {seq} after {}", messages.len()));
                }
                let (topic, sent_again_ms) = (topic.to_owned(), Vec::new());
                let invoked_ms = at;
                let fate = None;
                messages.push(Message {
                    qos,
                    size,
                    sha256,
                    topic,
                    invoked_ms,
                    sent_again_ms,
                    fate,
                });
            }
            Line::SentAgain { device, seq, at } => {
                self.open(device, seq)?.sent_again_ms.push(at);
            }
            Line::Acknowledged { device, seq, at, code } => {
                self.open(device, seq)?.fate = Some(Fate::Acknowledged { at, code });
            }
            Line::Negative { device, seq, at, code } => {
                self.open(device, seq)?.fate = Some(Fate::Negative { at, code });
            }
            Line::GivenUp { device, seq, at, why } => {
                self.open(device, seq)?.fate = Some(Fate::GivenUp { at, why: why.to_owned() });
            }
            Line::Fault { device, at, what } => {
                self.device(device).faults.push((at, what.to_owned()));
            }
            Line::Ended { at, open } => self.ends.push((at, open)),
        }
        Ok(())
    }

    fn device(&mut self, name: &str) -> &mut Device {
        if !self.devices.contains_key(name) {
            self.devices.insert(name.to_owned(), Device::default());
        }
        self.devices.get_mut(name).expect("it was put there if it was not")
    }

    /// A message that its device waits for.
    fn open(&mut self, device: &str, seq: u64) -> Result<&mut Message, String> {
        let at = index(seq);
        let message =
            self.devices.get_mut(device).zip(at).and_then(|(d, at)| d.messages.get_mut(at));
        match message {
            None => Err(format!("{device} never sent {seq}")),
            Some(message) if !message.is_open() => {
                Err(format!("{device} does not wait for {seq} any more"))
            }
            Some(message) => Ok(message),
        }
    }
}

fn index(seq: u64) -> Option<usize> {
    usize::try_from(seq.checked_sub(1)?).ok()
}

/// Hands every whole line over, and returns how many bytes those are: what follows them is a line that a
/// kill tore. An error names the line.
pub fn read(
    path: &Path,
    mut each: impl FnMut(Line<'_>) -> Result<(), String>,
) -> Result<u64, String> {
    let cannot = |error| format!("the books {} cannot be read: {error}", path.display());
    let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
    let (mut bytes, mut whole) = (Vec::new(), 0);
    for number in 1_u64.. {
        bytes.clear();
        let size = reader.read_until(b'\n', &mut bytes).map_err(cannot)?;
        if bytes.pop() != Some(b'\n') {
            break;
        }
        let wrong = |what: String| format!("the books {}, line {number}: {what}", path.display());
        if size > LINE_MAX {
            return Err(wrong(format!(
                "it has {size} bytes, and no line has more than {LINE_MAX}"
            )));
        }
        let text = str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
        Line::parse(text).and_then(&mut each).map_err(wrong)?;
        whole += size as u64;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
