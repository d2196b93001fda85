//! Messages that landed more than once, and why: their device sent them again, or the gateway handed them over to Kafka
//! again, and said so. Anything else is a fault.

use std::collections::HashMap;

use super::Evidence;
use super::case::{Case, Sent, id, place};
use super::verdict::{Doubles, Findings, Kind};
use crate::books::Fate;
use crate::landed::{Landed, MessageId};

/// What a gateway handed over again so shortly before it was killed, nobody may have heard of.
const UNHEARD_MS: u64 = 3_000;
/// How long a gateway may have a message that nobody waits for.
const QOS_0_MS: u64 = 60_000;

pub(super) fn find(
    case: &Case<'_>,
    by_message: &[Vec<&Landed>],
    evidence: &Evidence,
    findings: &mut Findings,
) -> Doubles {
    let mut doubles = Doubles::default();
    let several = case.messages.iter().zip(by_message).filter(|(_, records)| records.len() > 1);
    for (sent, records) in several {
        let mut by_id: HashMap<Option<MessageId>, usize> = HashMap::new();
        for landed in records {
            *by_id.entry(landed.message_id).or_default() += 1;
        }
        // Each sending that a gateway accepts gets an id of its own.
        let sendings = sent.message.sendings();
        doubles.by_resend += by_id.len().min(sendings) - 1;
        if by_id.len() > sendings {
            doubles.unexplained += by_id.len() - sendings;
            findings.add(Kind::Double, || {
                let ids = by_id.len();
                format!("{}: {sendings} sendings, {ids} ids: {}", sent.tell(), places(records))
            });
        }
        for (message_id, count) in by_id.into_iter().filter(|(_, count)| *count > 1) {
            let more = count - 1;
            if message_id.is_some_and(|id| evidence.handed_over_again.contains(&id)) {
                doubles.by_gateway += more;
            } else if evidence.killed_ms.iter().any(|&killed| is_unheard(sent, killed)) {
                doubles.by_kill += more;
            } else if evidence.overflowed {
                doubles.by_overflow += more;
            } else {
                doubles.unexplained += more;
                findings.add(Kind::Double, || {
                    let same: Vec<&Landed> = records
                        .iter()
                        .copied()
                        .filter(|landed| landed.message_id == message_id)
                        .collect();
                    format!("{}: not handed over again: {}", sent.tell(), places(&same))
                });
            }
        }
    }
    doubles
}

/// A gateway had the message when it was killed, or shortly before.
fn is_unheard(sent: &Sent<'_>, killed_ms: u64) -> bool {
    let until_ms = match sent.message.fate {
        Some(Fate::Acknowledged { at, .. } | Fate::Negative { at, .. }) => at + UNHEARD_MS,
        _ if sent.message.qos == 0 => sent.message.invoked_ms + QOS_0_MS,
        _ => u64::MAX,
    };
    (sent.message.invoked_ms..=until_ms).contains(&killed_ms)
}

fn places(records: &[&Landed]) -> String {
    let places: Vec<String> =
        records.iter().map(|landed| format!("{} ({})", place(landed), id(landed))).collect();
    places.join("; ")
}
