//! The messages of a simulation and what has to hold of them: a device's records land in its order, nothing is
//! acknowledged that is not in the log, and nothing is final that may still land.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::v1;
use proto::v1::envelope::Payload;

use super::cluster::Sent;
use crate::outcome::Outcome;
use crate::record::{Record, RecordBuf};

/// What a message takes of its lane's share, in bytes.
pub const CHARGE: u64 = 100;
/// The header that says which message it is.
const NUMBER: &str = "number";

#[derive(Default)]
pub struct Messages {
    all: Vec<Message>,
    /// By topic and device, in the order in which they were submitted.
    lines: BTreeMap<(usize, u32), Line>,
    open: usize,
    /// A message in the log, and one of before that is not there. It has to be a dead letter, which its sender is not
    /// told before the round is over.
    overtaken: Vec<(u32, u32)>,
    faults: Vec<String>,
}

struct Message {
    topic: usize,
    device: u32,
    bytes: u32,
    is_poison: bool,
    submitted_ms: u64,
    /// When it was in the log for the first time.
    stored_ms: Option<u64>,
    outcome: Option<Outcome>,
}

#[derive(Default)]
struct Line {
    numbers: Vec<u32>,
    /// The first that is not in the log.
    next: usize,
}

impl Messages {
    /// Makes the next message of a device.
    pub fn write(
        &mut self,
        (topic, name): (usize, &str),
        device: u32,
        (now_ms, timestamp_ms): (u64, i64),
        (payload_bytes, is_poison): (usize, bool),
    ) -> RecordBuf {
        let number = self.all.len() as u32;
        let envelope = v1::Envelope {
            message_id: u128::from(number).to_be_bytes().to_vec(),
            payload: Some(Payload::Inline(vec![b'x'; payload_bytes].into())),
            ..v1::Envelope::default()
        };
        let mut record = RecordBuf::default();
        record.begin(name, timestamp_ms);
        let mark = (u64::from(is_poison) << 32) | u64::from(number);
        record.header(NUMBER, &mark.to_le_bytes());
        record.key(|out| out.extend_from_slice(format!("m-{device}").as_bytes()));
        record.value(|out| envelope.encode(out).expect("a vector has room"));
        let bytes = sent(record.as_record()).bytes;
        self.all.push(Message {
            topic,
            device,
            bytes,
            is_poison,
            submitted_ms: now_ms,
            stored_ms: None,
            outcome: None,
        });
        self.lines.entry((topic, device)).or_default().numbers.push(number);
        self.open += 1;
        record
    }

    /// Kafka wrote a record to a log where it was not.
    pub fn stored(&mut self, number: u32, now_ms: u64) {
        let Message { topic, device, ref mut stored_ms, .. } = self.all[number as usize];
        if stored_ms.is_some() {
            return;
        }
        *stored_ms = Some(now_ms);
        let Some(line) = self.lines.get_mut(&(topic, device)) else { return };
        let all = &self.all;
        let is_passed = |number: &u32| {
            let message = &all[*number as usize];
            message.stored_ms.is_some()
                || message.is_poison
                || matches!(message.outcome, Some(Outcome::DeadLettered(_)))
        };
        let mut missing = None;
        for at in line.next..line.numbers.len() {
            let other = line.numbers[at];
            if !is_passed(&other) {
                missing = (other < number).then_some(other);
                line.next = at;
                break;
            }
            line.next = at + 1;
        }
        self.overtaken.extend(missing.map(|missing| (number, missing)));
    }

    /// What its sender is told. `least_max_bytes` is the least that its topic ever took.
    pub fn told(&mut self, number: u32, outcome: Outcome, least_max_bytes: u32) {
        let message = &mut self.all[number as usize];
        let fault = match (message.outcome.replace(outcome), outcome) {
            (Some(before), _) => Some(format!("was told {before:?} and {outcome:?}")),
            (None, Outcome::Landed) => {
                message.stored_ms.is_none().then(|| "is acknowledged and nowhere".to_owned())
            }
            (None, Outcome::DeadLettered(_)) => {
                let can_land = !message.is_poison
                    && message.bytes + super::cluster::BATCH_HEAD <= least_max_bytes;
                can_land.then(|| "is a dead letter and could have landed".to_owned())
            }
            (None, Outcome::Failed) => Some("is forgotten".to_owned()),
        };
        self.open -= 1;
        if let Some(fault) = fault {
            self.fault(format!("{number} {fault}"));
        }
    }

    pub fn topic_of(&self, number: u32) -> usize {
        self.all[number as usize].topic
    }

    /// Of each message in the log, its device, when it was submitted and when it was there, in milliseconds.
    pub fn landings(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        self.all.iter().filter_map(|one| Some((one.device, one.submitted_ms, one.stored_ms?)))
    }

    pub fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Looks whether what was overtaken is a dead letter by now.
    pub fn look_at_order(&mut self) {
        for (number, missing) in std::mem::take(&mut self.overtaken) {
            let Message { device, outcome, .. } = self.all[missing as usize];
            if !matches!(outcome, Some(Outcome::DeadLettered(_))) {
                self.fault(format!("device {device}: {number} is in the log before {missing}"));
            }
        }
    }

    /// What was found first.
    pub fn first_fault(&self) -> Option<&str> {
        self.faults.first().map(String::as_str)
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Messages without an outcome.
    pub fn open(&self) -> usize {
        self.open
    }
}

/// What of a record is in a request.
pub fn sent(record: Record<'_>) -> Sent {
    const FRAMING: usize = 20;
    let mark = record.headers().find(|(name, _)| *name == NUMBER);
    let mark = mark.and_then(|(_, value)| value.try_into().ok()).map(u64::from_le_bytes);
    let mark = mark.expect("each record of a simulation says which it is");
    Sent {
        number: mark as u32,
        bytes: (record.len() + FRAMING) as u32,
        timestamp_ms: record.timestamp_ms(),
        is_poison: mark >> 32 != 0,
    }
}
