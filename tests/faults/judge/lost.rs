//! What was acknowledged and is nowhere, and what was refused without a dead letter.

use std::collections::{HashMap, HashSet};

use super::Evidence;
use super::case::{Case, Sent};
use super::verdict::{Findings, Kind};
use crate::books::Fate;
use crate::landed::Landed;

/// How many messages are lost, and how many were deleted from Kafka on purpose.
pub(super) fn find(
    case: &Case<'_>,
    by_message: &[Vec<&Landed>],
    evidence: &Evidence,
    findings: &mut Findings,
) -> (usize, usize) {
    let destinations = destinations(case);
    let latest = latest(case);
    let (mut lost, mut deleted) = (0, 0);
    for (sent, records) in case.messages.iter().zip(by_message) {
        match sent.message.fate {
            Some(Fate::Acknowledged { at, .. }) if records.is_empty() => {
                if may_be_deleted(sent, at, &destinations, evidence) {
                    deleted += 1;
                } else {
                    lost += 1;
                    findings.add(Kind::Lost, || sent.tell());
                }
            }
            Some(Fate::Acknowledged { .. }) => {
                let is_gone = |landed: &&Landed| landed.generation < latest[&*landed.topic];
                deleted += usize::from(records.iter().all(is_gone));
            }
            Some(Fate::Negative { code, .. }) => {
                let has_letter = records.iter().any(|landed| landed.reason.is_some());
                if !has_letter && !evidence.refusals.contains(&code) {
                    findings.add(Kind::Refused, || sent.tell());
                }
            }
            _ => {}
        }
    }
    (lost, deleted)
}

/// Nobody saw it, and it was acknowledged while a topic that it may have gone to was deleted.
fn may_be_deleted(
    sent: &Sent<'_>,
    at_ms: u64,
    destinations: &HashMap<&str, HashSet<&str>>,
    evidence: &Evidence,
) -> bool {
    let meanwhile = evidence.deleted.iter().filter(|(_, span)| span.contains(&at_ms));
    let known = destinations.get(sent.message.topic.as_str());
    meanwhile.into_iter().any(|(topic, _)| known.is_none_or(|known| known.contains(topic.as_str())))
}

/// The Kafka topics that messages of an MQTT topic were seen in, dead letters aside.
fn destinations<'a>(case: &Case<'a>) -> HashMap<&'a str, HashSet<&'a str>> {
    let mut all: HashMap<&str, HashSet<&str>> = HashMap::new();
    for record in case.records.iter().filter(|record| record.landed.reason.is_none()) {
        if let Some(index) = record.message {
            let topics = all.entry(case.messages[index].message.topic.as_str()).or_default();
            topics.insert(&*record.landed.topic);
        }
    }
    all
}

/// The generation that each topic is in at the end.
fn latest<'a>(case: &Case<'a>) -> HashMap<&'a str, u32> {
    let landed =
        case.records.iter().map(|record| (&*record.landed.topic, record.landed.generation));
    let told = case.sizes.keys().map(|(topic, generation)| (&**topic, *generation));
    let mut all = HashMap::new();
    for (topic, generation) in landed.chain(told) {
        let latest = all.entry(topic).or_default();
        *latest = generation.max(*latest);
    }
    all
}
