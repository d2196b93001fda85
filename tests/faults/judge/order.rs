//! A device's messages in a Kafka topic: in one partition, and one after another, as far as each is there for the
//! first time; one after another also where a topic that grew has them in several. Dead letters and references take ways of their own.

use std::collections::{HashMap, HashSet};

use super::case::{Case, Record, Sent, place};
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
    let mut told = HashSet::new();
    for late in within(case, ordered()).into_iter().chain(across(case, ordered())) {
        let Late { landed, index, seq, earlier } = late;
        if told.insert((&landed.topic, landed.generation, &landed.gateway, index)) {
            findings.add(Kind::Order, || {
                let told = case.messages[index].tell();
                format!("{told}: {} comes after {seq} at {}", place(landed), place(earlier))
            });
        }
    }
    together(case, ordered(), findings);
}

/// A record that comes after one of a later message of its device, which has this number.
struct Late<'a> {
    landed: &'a Landed,
    index: usize,
    seq: u64,
    earlier: &'a Landed,
}

/// In a partition each record is behind the one before it. Each gateway writes on its own; a record that comes again
/// later comes out of order, and may.
fn within<'a>(
    case: &Case<'a>,
    records: impl Iterator<Item = (&'a Landed, usize)>,
) -> Vec<Late<'a>> {
    let mut seen = HashSet::new();
    let mut highest: HashMap<_, (u64, &Landed)> = HashMap::new();
    let mut late = Vec::new();
    for (landed, index) in records {
        let Sent { seq, device, .. } = case.messages[index];
        let (topic, gateway) = (&landed.topic, &landed.gateway);
        if !seen.insert((topic, gateway, index)) {
            continue;
        }
        let row = (topic, landed.generation, landed.partition, gateway, device);
        let before = highest.entry(row).or_insert((seq, landed));
        if seq < before.0 {
            late.push(Late { landed, index, seq: before.0, earlier: before.1 });
        } else {
            *before = (seq, landed);
        }
    }
    late
}

/// Of one device in a topic: the highest number up to now, and before now, with their records.
struct Row<'a> {
    so_far: (u64, &'a Landed),
    before: Option<(u64, &'a Landed)>,
}

/// Where Kafka writes the time of each append, records of several partitions stand in a row too, but for those of one
/// millisecond.
fn across<'a>(
    case: &Case<'a>,
    records: impl Iterator<Item = (&'a Landed, usize)>,
) -> Vec<Late<'a>> {
    let mut records: Vec<_> = records.filter(|(landed, _)| landed.is_append_time).collect();
    records.sort_by_key(|(landed, _)| landed.timestamp_ms);
    let mut seen = HashSet::new();
    let mut rows: HashMap<_, Row<'_>> = HashMap::new();
    let mut late = Vec::new();
    for (landed, index) in records {
        let Sent { seq, device, .. } = case.messages[index];
        let (topic, gateway) = (&landed.topic, &landed.gateway);
        if !seen.insert((topic, landed.generation, gateway, index)) {
            continue;
        }
        let row = rows
            .entry((topic, landed.generation, gateway, device))
            .or_insert(Row { so_far: (seq, landed), before: None });
        if row.so_far.1.timestamp_ms < landed.timestamp_ms {
            row.before = Some(row.so_far);
        }
        if let Some((higher, earlier)) = row.before.filter(|before| seq < before.0) {
            late.push(Late { landed, index, seq: higher, earlier });
        }
        if seq > row.so_far.0 {
            row.so_far = (seq, landed);
        }
    }
    late
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
