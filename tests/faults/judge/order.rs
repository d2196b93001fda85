//! A device's messages in a Kafka topic: in one partition, and one after another, as far as each is there for the
//! first time. Dead letters and references take ways of their own.

use std::collections::{HashMap, HashSet};

use super::case::{Case, Record, place};
use super::verdict::{Findings, Kind};
use crate::landed::Landed;

pub(super) fn find(case: &Case<'_>, findings: &mut Findings) {
    let ordered = || {
        let is_ordered =
            |record: &&Record<'_>| record.landed.reason.is_none() && record.landed.uri.is_none();
        case.records
            .iter()
            .filter(is_ordered)
            .filter_map(|record| Some((record.landed, record.message?)))
    };
    rising(case, ordered(), findings);
    together(case, ordered(), findings);
}

/// Each gateway writes on its own; a record that comes again later comes out of order, and may.
fn rising<'a>(
    case: &Case<'a>,
    records: impl Iterator<Item = (&'a Landed, usize)>,
    findings: &mut Findings,
) {
    let mut seen = HashSet::new();
    let mut highest: HashMap<_, (u64, &Landed)> = HashMap::new();
    for (landed, index) in records {
        let sent = &case.messages[index];
        let (topic, gateway) = (&landed.topic, &landed.gateway);
        if !seen.insert((topic, gateway, index)) {
            continue;
        }
        let row = (topic, landed.generation, landed.partition, gateway, sent.device);
        let before = highest.entry(row).or_insert((sent.seq, landed));
        if sent.seq < before.0 {
            let (seq, earlier) = *before;
            findings.add(Kind::Order, || {
                format!(
                    "{}: {} comes after {seq} at {}",
                    sent.tell(),
                    place(landed),
                    place(earlier)
                )
            });
        } else {
            *before = (sent.seq, landed);
        }
    }
}

/// A topic that grew has a device in another partition afterwards, but in no more than it had sizes.
fn together<'a>(
    case: &Case<'a>,
    records: impl Iterator<Item = (&'a Landed, usize)>,
    findings: &mut Findings,
) {
    let mut partitions: HashMap<_, HashMap<i32, &Landed>> = HashMap::new();
    for (landed, index) in records {
        let row = (landed.topic.clone(), landed.generation, case.messages[index].device);
        partitions.entry(row).or_default().entry(landed.partition).or_insert(landed);
    }
    let mut scattered: Vec<_> = partitions.into_iter().collect();
    scattered.sort_by(|(one, _), (other, _)| one.cmp(other));
    for ((topic, generation, device), partitions) in scattered {
        let sizes = case.sizes.get(&(topic.clone(), generation)).map_or(1, |sizes| sizes.len());
        if partitions.len() > sizes {
            findings.add(Kind::Scattered, || {
                let mut places: Vec<String> =
                    partitions.values().map(|landed| place(landed)).collect();
                places.sort();
                format!(
                    "{device} is in {} partitions of {topic}: {}",
                    places.len(),
                    places.join("; ")
                )
            });
        }
    }
}
