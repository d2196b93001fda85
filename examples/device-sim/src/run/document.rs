//! What a run was, as one JSON document for machines: see the README.

use serde::Serialize;
use serde_json::{Value, json};

use super::conduct::{Ended, Part};
use crate::counters::{Counters, Sums};
use crate::fleet::Version;
use crate::hostile;

/// How the run is told apart from others.
pub struct About {
    pub run: String,
    pub gateway: String,
    pub seed: u64,
    pub ledger: String,
    /// Hostile devices that were sent in.
    pub hostile: usize,
}

/// Why the run exits as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Acknowledged,
    NotAcknowledged,
    HostileGotIn,
    HostileUnanswered,
}

impl Outcome {
    pub fn of(total: &Sums, ended: &Ended, sent_in: usize) -> Outcome {
        if total.outstanding > 0 {
            Outcome::NotAcknowledged
        } else if hostile::got_in(&ended.verdicts) > 0 {
            Outcome::HostileGotIn
        } else if hostile::repelled(&ended.verdicts, sent_in) {
            Outcome::Acknowledged
        } else {
            Outcome::HostileUnanswered
        }
    }
}

pub fn document(about: &About, counters: &Counters, ended: &Ended, outcome: Outcome) -> Value {
    let part =
        |part: &Part| json!({ "seconds": part.time.as_secs_f64(), "ended_by": part.ended_by });
    let profiles = counters.profiles().into_iter().map(|(profile, sums)| {
        let mut told = figures(&sums);
        told["device_type"] = profile.kind.into();
        told["firmware"] = profile.firmware.into();
        told["mqtt"] = match profile.version {
            Version::V311 => "3.1.1".into(),
            Version::V5 => "5".into(),
        };
        told
    });
    let turned_away = counters.turned_away();
    let turned_away =
        turned_away.iter().map(|(reason, count)| json!({ "reason": reason, "count": count }));
    let refused = counters.refused();
    let refused = refused.iter().map(|(code, count)| json!({ "code": code, "count": count }));
    let hostile = (about.hostile > 0).then(|| {
        json!({
            "devices": about.hostile,
            "turned_away": hostile::turned_away(&ended.verdicts),
            "got_in": hostile::got_in(&ended.verdicts),
            "unanswered": hostile::unanswered(&ended.verdicts, about.hostile),
        })
    });
    json!({
        "run": about.run,
        "gateway": about.gateway,
        "seed": about.seed,
        "ledger": about.ledger,
        "talk": part(&ended.talk),
        "settle": part(&ended.settle),
        "outcome": outcome,
        "total": figures(&counters.total()),
        "profiles": profiles.collect::<Value>(),
        "turned_away": turned_away.collect::<Value>(),
        "refused": refused.collect::<Value>(),
        "faults": ended.faults,
        "hostile": hostile,
    })
}

fn figures(sums: &Sums) -> Value {
    let seconds = |length: Option<std::time::Duration>| length.map(|length| length.as_secs_f64());
    json!({
        "devices": sums.devices,
        "connections": sums.connections,
        "turned_away": sums.turned_away,
        "sent": sums.sent,
        "sent_at_qos_0": sums.sent_at_qos_0,
        "resent": sums.resent,
        "acknowledged": sums.acknowledged,
        "refused": sums.refused,
        "outstanding": sums.outstanding.max(0),
        "latency": {
            "p50_seconds": seconds(sums.latency.percentile(0.5)),
            "p99_seconds": seconds(sums.latency.percentile(0.99)),
            "longest_seconds": seconds(sums.latency.longest()),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::fleet::fleet;
    use crate::hostile::Verdict;
    use crate::run::conduct::Faults;
    use crate::run::operator::By;

    fn ended(verdicts: Vec<Verdict>) -> Ended {
        let part = Part { time: Duration::from_secs(1), ended_by: By::Time };
        Ended { talk: part, settle: part, faults: Faults::default(), verdicts }
    }

    /// Every key, with those that it is below; what hostile profiles there are is nobody's key.
    fn keys(value: &Value, at: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) if at != "/hostile/turned_away" => {
                for (name, value) in object {
                    let at = format!("{at}/{name}");
                    keys(value, &at, found);
                    found.insert(at);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| keys(value, at, found)),
            _ => {}
        }
    }

    #[test]
    fn the_readme_shows_the_keys_that_there_are() {
        let readme = include_str!("../../README.md");
        let (_, shown) = readme.split_once("```json\n").expect("the README shows the document");
        let (shown, _) = shown.split_once("```").expect("the block has an end");
        let shown: Value = serde_json::from_str(shown).expect("it is JSON");
        let counters = Counters::of(fleet(1, 3, "sim-").iter());
        counters.note_turned_away("not authorized");
        counters.note_refused(151, "sim-meter-0");
        let about = About {
            run: "r".to_owned(),
            gateway: "g".to_owned(),
            seed: 1,
            ledger: "l".to_owned(),
            hostile: 1,
        };
        let made = document(&about, &counters, &ended(Vec::new()), Outcome::Acknowledged);
        let (mut in_readme, mut in_document) = (BTreeSet::new(), BTreeSet::new());
        keys(&shown, "", &mut in_readme);
        keys(&made, "", &mut in_document);
        assert_eq!(in_readme, in_document);
    }

    #[test]
    fn the_outcome_is_what_is_worst() {
        let kept = Sums { outstanding: 1, ..Sums::default() };
        let of = |total: &Sums, verdicts, sent_in| Outcome::of(total, &ended(verdicts), sent_in);
        assert_eq!(of(&kept, Vec::new(), 0), Outcome::NotAcknowledged);
        assert_eq!(of(&Sums::default(), Vec::new(), 0), Outcome::Acknowledged);
        assert_eq!(of(&Sums::default(), Vec::new(), 1), Outcome::HostileUnanswered);
    }
}
