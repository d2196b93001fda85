//! A case: the messages of the books and the records that landed, each record with the message that it is of.

use std::collections::{HashMap, HashSet};

use super::object::Object;
use super::verdict::{Findings, Kind, Numbers, Verdict};
use super::{Evidence, content, doubles, lost, order, times};
use crate::books::{Books, Fate, Message};
use crate::landed::{Landed, Lines, Sizes};

pub struct Case<'a> {
    pub(super) messages: Vec<Sent<'a>>,
    /// Where the messages of a device begin.
    first: HashMap<&'a str, usize>,
    /// By topic, generation, partition and offset.
    pub(super) records: Vec<Record<'a>>,
    /// How many partitions each topic had.
    pub(super) sizes: &'a Sizes,
    /// What is wrong whatever else is known.
    found: Findings,
}

/// A message of the books.
pub(super) struct Sent<'a> {
    pub device: &'a str,
    pub seq: u64,
    pub message: &'a Message,
}

/// A record, and the index of its message; None for what nobody sent.
pub(super) struct Record<'a> {
    pub landed: &'a Landed,
    pub message: Option<usize>,
}

impl<'a> Case<'a> {
    /// `open` reads an object by its URI, or says why it cannot.
    pub fn of(
        books: &'a Books,
        lines: &'a Lines,
        open: &dyn Fn(&str) -> Result<Object, String>,
    ) -> Case<'a> {
        let (mut messages, mut first, mut found) =
            (Vec::new(), HashMap::new(), Findings::default());
        for (name, device) in &books.devices {
            first.insert(name.as_str(), messages.len());
            let sent = (1..).zip(&device.messages);
            messages.extend(sent.map(|(seq, message)| Sent { device: name, seq, message }));
            for (at_ms, what) in &device.faults {
                found.add(Kind::Protocol, || format!("{name} was sent at {at_ms}: {what}"));
            }
        }
        let records: Vec<Record<'_>> = once(&lines.landed)
            .into_iter()
            .map(|landed| Record { landed, message: None })
            .collect();
        let mut case = Case { messages, first, records, sizes: &lines.sizes, found };
        content::identify(&mut case, open);
        case
    }

    /// A message that a payload's first line names.
    pub(super) fn find(&self, device: &str, seq: u64) -> Option<usize> {
        let (name, first) = self.first.get_key_value(device)?;
        let index = first.checked_add(usize::try_from(seq.checked_sub(1)?).ok()?)?;
        self.messages.get(index).filter(|sent| sent.device == *name).map(|_| index)
    }

    pub(super) fn finds(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        self.found.add(kind, example);
    }

    /// The records of each message, by its index.
    pub(super) fn by_message(&self) -> Vec<Vec<&'a Landed>> {
        let mut all = vec![Vec::new(); self.messages.len()];
        for record in &self.records {
            if let Some(index) = record.message {
                all[index].push(record.landed);
            }
        }
        all
    }

    /// Judges it.
    pub fn verdict(&self, evidence: &Evidence) -> Verdict {
        let mut findings = self.found.clone();
        let by_message = self.by_message();
        let (lost, deleted) = lost::find(self, &by_message, evidence, &mut findings);
        order::find(self, &mut findings);
        let doubles = doubles::find(self, &by_message, evidence, &mut findings);
        let recovery = evidence.healed_ms.map(|at| times::recovery(self, at, &mut findings));
        let numbers = Numbers { lost, deleted, ..self.numbers() };
        Verdict { numbers, doubles, recovery, findings }
    }

    fn numbers(&self) -> Numbers {
        let messages = || self.messages.iter().map(|sent| sent.message);
        let fated = |is: fn(&Fate) -> bool| {
            messages().filter(|message| message.fate.as_ref().is_some_and(is)).count()
        };
        let landed = || self.records.iter().map(|record| record.landed);
        Numbers {
            messages: self.messages.len(),
            sendings: messages().map(Message::sendings).sum(),
            acknowledged: fated(|fate| matches!(fate, Fate::Acknowledged { .. })),
            refused: fated(|fate| matches!(fate, Fate::Negative { .. })),
            landed: self.records.len(),
            references: landed().filter(|landed| landed.uri.is_some()).count(),
            dead_letters: landed().filter(|landed| landed.reason.is_some()).count(),
            ..Numbers::default()
        }
    }
}

/// The records by their places. Whoever reads a topic that is made anew meanwhile may see a record twice, before and
/// after it hears of that: it counts where it really is, in the later generation.
fn once(landed: &[Landed]) -> Vec<&Landed> {
    let mut records: Vec<&Landed> = landed.iter().collect();
    let place = |landed: &Landed| (landed.generation, landed.partition, landed.offset);
    records.sort_by(|one, other| {
        one.topic.cmp(&other.topic).then_with(|| place(one).cmp(&place(other)))
    });
    let mut seen = HashSet::new();
    let mut kept: Vec<&Landed> = Vec::with_capacity(records.len());
    for landed in records.into_iter().rev() {
        if seen.insert((
            &landed.topic,
            landed.partition,
            landed.offset,
            landed.message_id,
            landed.sha256,
        )) {
            kept.push(landed);
        }
    }
    kept.reverse();
    kept
}

impl Sent<'_> {
    /// Everything that the books say of it.
    pub fn tell(&self) -> String {
        let Message { qos, size, topic, invoked_ms, sent_again_ms, fate, .. } = self.message;
        let again = match &sent_again_ms[..] {
            [] => String::new(),
            times => format!(", again at {times:?}"),
        };
        let fate = match fate {
            Some(Fate::Acknowledged { at, code }) => {
                format!("acknowledged at {at} with {code:#04x}")
            }
            Some(Fate::Negative { at, code }) => format!("refused at {at} with {code:#04x}"),
            Some(Fate::GivenUp { at, why }) => format!("given up at {at}: {why}"),
            None if *qos == 0 => "never to be acknowledged".to_owned(),
            None => "not acknowledged".to_owned(),
        };
        format!(
            "{} {} (QoS {qos}, {size} bytes, {topic}), sent at {invoked_ms}{again}, {fate}",
            self.device, self.seq
        )
    }
}

/// Where a record is.
pub(super) fn place(landed: &Landed) -> String {
    let Landed { generation, topic, partition, offset, timestamp_ms, .. } = landed;
    let anew = match generation {
        0 => String::new(),
        times => format!(", made anew {times} times"),
    };
    let letter = if landed.reason.is_some() { " (a dead letter)" } else { "" };
    format!("{topic}-{partition}@{offset}{anew}{letter}, of {timestamp_ms}")
}

/// An id as people see it.
pub(super) fn id(landed: &Landed) -> String {
    match landed.message_id {
        Some(id) => id.to_string(),
        None => "no id".to_owned(),
    }
}
