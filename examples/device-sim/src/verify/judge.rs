//! The judgement: a ledger and what was found in Kafka → what is wrong. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;

use crate::device::REFUSED;
use crate::ledger::Line;
use crate::payload::Content;
use crate::verify::place::Place;

/// The code of MQTT 5 with which a publish is answered that the device may not make.
const NOT_AUTHORIZED: u8 = 0x87;

/// What the ledger says of one message.
#[derive(Clone, Debug, Default)]
struct Entry {
    topic: String,
    qos: u8,
    size: u64,
    sha256: String,
    attempts: u32,
    acknowledged: bool,
    refused: bool,
    /// The device may not publish this (MQTT 5, 3.4.2.1: not authorized), so that it need not be there.
    denied: bool,
    content: Option<Arc<Content>>,
}

/// The ledger, by message.
pub struct Account {
    run: String,
    started_ms: i64,
    messages: BTreeMap<(String, u64), Entry>,
    /// Hostile devices that got in.
    intruders: Vec<String>,
}

/// A record of the run that was found in Kafka.
#[derive(Clone, Debug)]
pub struct Observed {
    pub device: String,
    pub sequence: u64,
    /// The Kafka topic, and where in it.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// It is a dead letter.
    pub dead: bool,
    /// The payload travelled in the record.
    pub inline: bool,
    pub payload: Found,
    /// None where its message has no id.
    pub facts: Option<Arc<Facts>>,
}

/// What the envelope of a record says, which everything that is made of it has to say too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub message_id: [u8; 16],
    pub device_id: String,
    pub verified: bool,
    pub device_type: String,
    pub firmware_version: String,
    pub group: String,
    pub lane: String,
    /// MQTT's.
    pub topic: String,
    pub received_ms: i64,
    /// From and to.
    pub event_ms: (Option<i64>, Option<i64>),
    /// Of the payload, in bytes.
    pub size: u64,
    /// Of the record's value.
    pub value_sha256: [u8; 32],
}

impl Observed {
    pub fn place(&self) -> Place {
        Place { topic: self.topic.clone(), partition: self.partition, offset: self.offset }
    }
}

/// The payload's bytes as they were found.
#[derive(Clone, Debug)]
pub enum Found {
    Bytes {
        size: u64,
        sha256: String,
    },
    /// The reference leads nowhere good.
    Broken(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Missing,
    Changed,
    OutOfOrder,
    Double,
    Unknown,
    Intruder,
}

pub const KINDS: [Kind; 6] =
    [Kind::Missing, Kind::Changed, Kind::OutOfOrder, Kind::Double, Kind::Unknown, Kind::Intruder];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Changed => "changed",
            Kind::OutOfOrder => "out of order",
            Kind::Double => "double",
            Kind::Unknown => "never sent",
            Kind::Intruder => "wrongly let in",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub text: String,
}

/// The judgement.
pub struct Verdict {
    pub findings: Vec<Finding>,
    sent: usize,
    acknowledged: usize,
    refused: usize,
    /// Records by Kafka topic.
    landed: BTreeMap<String, usize>,
    by_reference: usize,
    dead: usize,
    doubles: usize,
    torn: bool,
}

impl Account {
    pub fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> anyhow::Result<Account> {
        let mut messages: BTreeMap<(String, u64), Entry> = BTreeMap::new();
        let (mut told, mut intruders) = (None, Vec::new());
        for line in lines {
            match line {
                Line::Run { run, started_ms, .. } if told.is_none() => {
                    told = Some((run.clone(), *started_ms));
                }
                Line::Run { .. } => anyhow::bail!("has two runs: verify one ledger at a time"),
                Line::Sent {
                    device, sequence, topic, qos, size, sha256, attempt, content, ..
                } => {
                    let entry = messages.entry((device.clone(), *sequence)).or_default();
                    anyhow::ensure!(
                        entry.attempts == 0 || entry.sha256 == *sha256,
                        "{device} sent two messages with number {sequence}"
                    );
                    *entry = Entry {
                        topic: topic.clone(),
                        qos: *qos,
                        size: *size,
                        sha256: sha256.clone(),
                        attempts: entry.attempts.max(*attempt),
                        content: content.as_deref().cloned().map(Arc::new),
                        ..*entry
                    };
                }
                Line::Acknowledged { device, sequence, code, .. } => {
                    let entry = messages.get_mut(&(device.clone(), *sequence));
                    let entry = entry.ok_or_else(|| {
                        anyhow::anyhow!("{device} has {sequence} acknowledged and not sent")
                    })?;
                    entry.acknowledged = true;
                    entry.refused = *code >= REFUSED;
                    entry.denied = *code == NOT_AUTHORIZED;
                }
                Line::GotIn { device, profile, .. } => {
                    intruders.push(format!("a hostile device ({profile}) as {device}"));
                }
                Line::About { .. }
                | Line::Connected { .. }
                | Line::Disconnected { .. }
                | Line::TurnedAway { .. } => {}
            }
        }
        let (run, started_ms) = told.ok_or_else(|| anyhow::anyhow!("has no run"))?;
        Ok(Account { run, started_ms, messages, intruders })
    }

    /// An error where the ledger does not say what its messages say: its events cannot be proved.
    pub fn knows_events(&self) -> anyhow::Result<()> {
        let unknown = self.messages.iter().find(|(_, entry)| entry.content.is_none());
        anyhow::ensure!(
            unknown.is_none(),
            "does not say what its messages say: run the fleet with this version of device-sim"
        );
        Ok(())
    }

    /// What the payload of a record says, if it is the one that was sent.
    pub fn content(&self, record: &Observed) -> Option<&Arc<Content>> {
        let entry = self.messages.get(&(record.device.clone(), record.sequence))?;
        let is_whole = matches!(&record.payload, Found::Bytes { size, sha256 }
            if (*size, sha256) == (entry.size, &entry.sha256));
        entry.content.as_ref().filter(|_| is_whole)
    }

    pub fn run(&self) -> &str {
        &self.run
    }

    /// When the run began, by the simulator's clock.
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }
}

/// Judges the records of a run. `observed` is sorted by topic, partition and offset.
///
/// A message that was acknowledged has to be there, also as a dead letter. Order is promised per device
/// and lane for inline messages; QoS 0 is not sent again, so that resends may pass it, and takes no
/// part. A message is there at most as often as it was sent.
pub fn judge<'o>(
    account: &'o Account,
    observed: impl IntoIterator<Item = &'o Observed>,
    torn: bool,
) -> Verdict {
    let mut verdict = Verdict {
        findings: Vec::new(),
        sent: account.messages.len(),
        acknowledged: account.messages.values().filter(|entry| entry.acknowledged).count(),
        refused: account.messages.values().filter(|entry| entry.refused).count(),
        landed: BTreeMap::new(),
        by_reference: 0,
        dead: 0,
        doubles: 0,
        torn,
    };
    let mut times: HashMap<(&str, u64), u32> = HashMap::new();
    // The highest number so far, by device and partition: beyond a partition, Kafka knows no order.
    let mut highest: HashMap<(&str, &str, i32), u64> = HashMap::new();
    for record in observed {
        *verdict.landed.entry(record.topic.clone()).or_default() += 1;
        verdict.dead += usize::from(record.dead);
        verdict.by_reference += usize::from(!record.inline);
        let Some(entry) = account.messages.get(&(record.device.clone(), record.sequence)) else {
            if let Found::Broken(reason) = &record.payload {
                // Its number may be in its object alone.
                let text = format!("{} at {}: {reason}", record.device, record.place());
                verdict.find(Kind::Changed, text);
            } else if !torn {
                // The end of a torn ledger may have held it.
                verdict.find(Kind::Unknown, name(record));
            }
            continue;
        };
        match &record.payload {
            Found::Bytes { size, sha256 } if (*size, sha256) == (entry.size, &entry.sha256) => {}
            Found::Bytes { size, .. } => {
                let text =
                    format!("{}: {size} bytes, sent were {}; or others", name(record), entry.size);
                verdict.find(Kind::Changed, text);
            }
            Found::Broken(reason) => {
                verdict.find(Kind::Changed, format!("{}: {reason}", name(record)));
            }
        }
        let count = times.entry((&record.device, record.sequence)).or_default();
        *count += 1;
        if *count > 1 {
            verdict.doubles += 1;
            if *count > entry.attempts {
                let text =
                    format!("{}: there {count} times, sent {}", name(record), entry.attempts);
                verdict.find(Kind::Double, text);
            }
        } else if record.inline && !record.dead && entry.qos > 0 {
            let place = (record.device.as_str(), record.topic.as_str(), record.partition);
            let highest = highest.entry(place).or_default();
            if record.sequence < *highest {
                verdict.find(Kind::OutOfOrder, format!("{}: behind {highest}", name(record)));
            }
            *highest = record.sequence.max(*highest);
        }
    }
    for ((device, sequence), entry) in &account.messages {
        if entry.acknowledged && !entry.denied && !times.contains_key(&(device.as_str(), *sequence))
        {
            let text = format!("{device} number {sequence}, published to {}", entry.topic);
            verdict.find(Kind::Missing, text);
        }
    }
    for text in &account.intruders {
        verdict.find(Kind::Intruder, text.clone());
    }
    verdict
}

fn name(record: &Observed) -> String {
    let Observed { device, sequence, .. } = record;
    format!("{device} number {sequence} at {}", record.place())
}

impl Verdict {
    fn find(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }

    fn count(&self, kind: Kind) -> usize {
        self.findings.iter().filter(|finding| finding.kind == kind).count()
    }

    pub fn summary(&self) -> String {
        let landed: Vec<String> =
            self.landed.iter().map(|(topic, count)| format!("{topic} {count}")).collect();
        let wrong: Vec<String> =
            KINDS.iter().map(|kind| format!("{} {}", self.count(*kind), kind.name())).collect();
        let mut text = format!(
            "sent {}, acknowledged {} ({} refused with a code)\nfound {}; {} by reference, {} dead letters, {} doubles\n{}",
            self.sent,
            self.acknowledged,
            self.refused,
            if landed.is_empty() { "nothing".to_owned() } else { landed.join(", ") },
            self.by_reference,
            self.dead,
            self.doubles,
            wrong.join(", "),
        );
        if self.torn {
            text.push_str("\nthe ledger's last line is cut off: the simulator was killed");
        }
        let end = if self.findings.is_empty() { "\nall is there" } else { "\nNOT all is well" };
        text.push_str(end);
        text
    }

    pub fn json(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| json!({ "kind": finding.kind.name(), "text": finding.text }))
            .collect();
        json!({
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "landed": self.landed,
            "by_reference": self.by_reference,
            "dead_letters": self.dead,
            "doubles": self.doubles,
            "torn": self.torn,
            "findings": findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "m-1";

    fn sent(sequence: u64, qos: u8, attempt: u32) -> Line {
        Line::Sent {
            device: DEVICE.to_owned(),
            sequence,
            topic: "devices/meter/m-1/power".to_owned(),
            qos,
            size: 10,
            sha256: format!("hash {sequence}"),
            attempt,
            content: None,
            at_ms: 0,
        }
    }

    fn acknowledged(sequence: u64) -> Line {
        Line::Acknowledged { device: DEVICE.to_owned(), sequence, code: 0, at_ms: 0 }
    }

    fn found(sequence: u64, offset: i64) -> Observed {
        Observed {
            device: DEVICE.to_owned(),
            sequence,
            topic: "fast".to_owned(),
            partition: 0,
            offset,
            dead: false,
            inline: true,
            payload: Found::Bytes { size: 10, sha256: format!("hash {sequence}") },
            facts: None,
        }
    }

    /// Three messages, sent and acknowledged.
    fn ledger() -> Vec<Line> {
        let run = Line::Run {
            run: "r".to_owned(),
            seed: 1,
            devices: 1,
            gateway: "g".to_owned(),
            started_ms: 0,
        };
        let mut lines = vec![run];
        lines.extend((1..=3).flat_map(|sequence| [sent(sequence, 1, 1), acknowledged(sequence)]));
        lines
    }

    fn kinds(lines: &[Line], observed: &[Observed], torn: bool) -> Vec<Kind> {
        let account = Account::of(lines).unwrap();
        let verdict = judge(&account, observed, torn);
        let kinds: Vec<Kind> = verdict.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(verdict.summary().contains("all is there"), kinds.is_empty());
        kinds
    }

    #[test]
    fn all_there_is_fine() {
        let records = [found(1, 0), found(2, 1), found(3, 2)];
        assert_eq!(kinds(&ledger(), &records, false), []);
        // QoS 0 may be lost, and what was never acknowledged may be anything.
        let mut lines = ledger();
        lines.extend([sent(4, 0, 1), sent(5, 1, 3)]);
        assert_eq!(kinds(&lines, &records, false), []);
        let more = [&records[..], &[found(5, 3), found(5, 4), found(4, 5)]].concat();
        assert_eq!(kinds(&lines, &more, false), []);
    }

    #[test]
    fn a_removed_record_is_missing() {
        assert_eq!(kinds(&ledger(), &[found(1, 0), found(3, 2)], false), [Kind::Missing]);
    }

    #[test]
    fn a_changed_payload_is_seen() {
        let other = Found::Bytes { size: 10, sha256: "other".to_owned() };
        let changed = Observed { payload: other, ..found(2, 1) };
        assert_eq!(kinds(&ledger(), &[found(1, 0), changed, found(3, 2)], false), [Kind::Changed]);
        let broken = Observed { payload: Found::Broken("gone".to_owned()), ..found(2, 1) };
        assert_eq!(kinds(&ledger(), &[found(1, 0), broken, found(3, 2)], false), [Kind::Changed]);
    }

    #[test]
    fn an_object_that_cannot_be_read_says_why_also_without_its_number() {
        let broken = Observed { payload: Found::Broken("gone".to_owned()), ..found(0, 1) };
        let account = Account::of(&ledger()).unwrap();
        let verdict = judge(&account, &[found(1, 0), broken, found(3, 2)], false);
        let told = verdict.findings.iter().map(|one| (one.kind, one.text.contains("gone")));
        assert_eq!(told.collect::<Vec<_>>(), [(Kind::Changed, true), (Kind::Missing, false)]);
    }

    #[test]
    fn a_swapped_order_is_seen() {
        assert_eq!(
            kinds(&ledger(), &[found(2, 0), found(1, 1), found(3, 2)], false),
            [Kind::OutOfOrder]
        );
        // Between lanes, and between inline and large, nothing is promised.
        let slow = Observed { topic: "slow".to_owned(), ..found(2, 0) };
        assert_eq!(kinds(&ledger(), &[found(1, 1), found(3, 2), slow], false), []);
        let large = Observed { inline: false, ..found(1, 2) };
        assert_eq!(kinds(&ledger(), &[found(2, 0), found(3, 1), large], false), []);
    }

    #[test]
    fn a_double_needs_a_resend() {
        let records = [found(1, 0), found(2, 1), found(2, 2), found(3, 3)];
        assert_eq!(kinds(&ledger(), &records, false), [Kind::Double]);
        let mut lines = ledger();
        lines.push(sent(2, 1, 2));
        assert_eq!(kinds(&lines, &records, false), []);
        // A second time is out of order by nature, and that is no fault.
        let late = [found(1, 0), found(2, 1), found(3, 2), found(2, 3)];
        assert_eq!(kinds(&lines, &late, false), []);
    }

    #[test]
    fn what_was_never_sent_is_seen() {
        let records = [found(1, 0), found(2, 1), found(3, 2), found(9, 3)];
        assert_eq!(kinds(&ledger(), &records, false), [Kind::Unknown]);
        assert_eq!(kinds(&ledger(), &records, true), [], "a torn ledger may have lost it");
    }

    #[test]
    fn a_dead_letter_counts_as_there() {
        let dead = Observed { dead: true, topic: "dead-letter".to_owned(), ..found(2, 0) };
        let account = Account::of(&ledger()).unwrap();
        let verdict = judge(&account, &[dead, found(1, 0), found(3, 1)], false);
        assert_eq!(verdict.findings, []);
        assert!(verdict.summary().contains("1 dead letters"));
    }

    #[test]
    fn a_publish_that_was_not_allowed_need_not_be_there() {
        let mut lines = ledger();
        let denied =
            |code| Line::Acknowledged { device: DEVICE.to_owned(), sequence: 4, code, at_ms: 0 };
        let records = [found(1, 0), found(2, 1), found(3, 2)];
        lines.extend([sent(4, 1, 1), denied(NOT_AUTHORIZED)]);
        assert_eq!(kinds(&lines, &records, false), []);
        lines.push(denied(0x97));
        assert_eq!(kinds(&lines, &records, false), [Kind::Missing], "any other code promises it");
    }

    #[test]
    fn a_hostile_device_that_got_in_is_seen() {
        let records = [found(1, 0), found(2, 1), found(3, 2)];
        let (device, profile) = (DEVICE.to_owned(), "expired".to_owned());
        let mut lines = ledger();
        let (why, at_ms) = ("TLS alert CertificateExpired".to_owned(), 0);
        let profile_of = Some(profile.clone());
        let away = Line::TurnedAway { device: device.clone(), profile: profile_of, why, at_ms };
        lines.push(away);
        assert_eq!(kinds(&lines, &records, false), []);
        lines.push(Line::GotIn { device, profile, at_ms });
        assert_eq!(kinds(&lines, &records, false), [Kind::Intruder]);
    }

    #[test]
    fn a_ledger_that_contradicts_itself_is_refused() {
        let mut lines = ledger();
        lines.push(acknowledged(7));
        assert!(Account::of(&lines).is_err());
        assert!(Account::of(&[ledger(), ledger()].concat()).is_err());
        assert!(Account::of(&ledger()[1..]).is_err());
        assert!(Account::of(&ledger()).unwrap().knows_events().is_err(), "nothing was said");
    }
}
