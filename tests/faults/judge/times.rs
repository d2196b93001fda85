//! How long devices waited for acknowledgements, and how soon these came again when everything was whole again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::case::Case;
use super::verdict::{Findings, Kind};
use crate::books::Fate;

/// Nobody may have to wait for longer: who gave up before says nothing.
const RECOVERY_MS: u64 = 30_000;
/// Who published so shortly before the end of a fault counts for the recovery.
const LATELY_MS: u64 = 5_000;

/// From the first sending to the acknowledgement, in milliseconds, of the messages that were sent in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    pub count: usize,
    pub p50_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
    /// Further ones, to which no acknowledgement came.
    pub unanswered: usize,
}

/// How soon devices had an acknowledgement again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Those that waited or had just published.
    pub devices: usize,
    /// After the end of the fault; None where no device had anything to wait for.
    pub worst_ms: Option<u64>,
    /// The device that had to wait for so long.
    pub worst_device: Option<String>,
    /// Devices that never had one.
    pub never: usize,
}

impl Case<'_> {
    /// Of messages that were sent within `span`, of all or of those that belong into these partitions.
    pub fn latencies(&self, span: &Range<u64>, among: Option<&[(String, i32)]>) -> Latencies {
        let partitions = among.map(|_| self.partitions());
        let is_among = |index: usize| match (among, &partitions) {
            (Some(among), Some(partitions)) => {
                let sent = &self.messages[index];
                let place = partitions.get(&(sent.device, sent.message.topic.as_str()));
                place.is_some_and(|(topic, partition)| {
                    among.iter().any(|(name, number)| name == topic && number == partition)
                })
            }
            _ => true,
        };
        let (mut waits, mut unanswered) = (Vec::new(), 0);
        for (index, sent) in self.messages.iter().enumerate() {
            let message = sent.message;
            if message.qos == 0 || !span.contains(&message.invoked_ms) || !is_among(index) {
                continue;
            }
            match message.fate {
                Some(Fate::Acknowledged { at, .. }) => {
                    waits.push(at.saturating_sub(message.invoked_ms));
                }
                Some(Fate::Negative { .. }) => {}
                Some(Fate::GivenUp { .. }) | None => unanswered += 1,
            }
        }
        waits.sort_unstable();
        Latencies {
            count: waits.len(),
            p50_ms: quantile(&waits, 50),
            p99_ms: quantile(&waits, 99),
            max_ms: quantile(&waits, 100),
            unanswered,
        }
    }

    /// Where the messages of a device and MQTT topic are, by the last that landed.
    fn partitions(&self) -> HashMap<(&str, &str), (&str, i32)> {
        let mut all = HashMap::new();
        for record in &self.records {
            let landed = record.landed;
            if let Some(index) = record.message.filter(|_| landed.reason.is_none()) {
                let sent = &self.messages[index];
                let row = (sent.device, sent.message.topic.as_str());
                all.insert(row, (&*landed.topic, landed.partition));
            }
        }
        all
    }
}

/// The smallest value that so many percent of all are not above; 0 of none.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[derive(Default)]
struct Waiting {
    /// It had something open, or had just published.
    is_asked: bool,
    /// Something of it is to be answered after the end of the fault.
    waits: bool,
    first_ms: Option<u64>,
}

/// The first acknowledgement of each device after the end of the fault.
pub(super) fn recovery(case: &Case<'_>, healed_ms: u64, findings: &mut Findings) -> Recovery {
    let mut devices: BTreeMap<&str, Waiting> = BTreeMap::new();
    let patient_ms = healed_ms.saturating_add(RECOVERY_MS);
    let gave_up_early =
        |fate: &Option<Fate>| matches!(fate, Some(Fate::GivenUp { at, .. }) if *at < patient_ms);
    for sent in case.messages.iter().filter(|sent| sent.message.qos > 0) {
        let message = sent.message;
        if gave_up_early(&message.fate) {
            continue;
        }
        let waiting = devices.entry(sent.device).or_default();
        let answered_ms = match message.fate {
            Some(
                Fate::Acknowledged { at, .. }
                | Fate::Negative { at, .. }
                | Fate::GivenUp { at, .. },
            ) => at,
            None => u64::MAX,
        };
        let was_open = message.invoked_ms < healed_ms && answered_ms >= healed_ms;
        let lately = healed_ms.saturating_sub(LATELY_MS)..healed_ms;
        waiting.is_asked |= was_open || lately.contains(&message.invoked_ms);
        waiting.waits |= answered_ms >= healed_ms;
        if let Some(Fate::Acknowledged { at, .. }) = message.fate
            && at >= healed_ms
        {
            waiting.first_ms = Some(waiting.first_ms.map_or(at, |first| first.min(at)));
        }
    }
    let mut recovery = Recovery::default();
    for (device, waiting) in devices.iter().filter(|(_, waiting)| waiting.is_asked && waiting.waits)
    {
        recovery.devices += 1;
        let Some(first_ms) = waiting.first_ms else {
            recovery.never += 1;
            findings.add(Kind::Recovery, || {
                format!("{device} had no acknowledgement after {healed_ms}, when all was whole")
            });
            continue;
        };
        let after_ms = Some(first_ms - healed_ms);
        if after_ms > recovery.worst_ms {
            recovery.worst_ms = after_ms;
            recovery.worst_device = Some((*device).to_owned());
        }
    }
    recovery
}
