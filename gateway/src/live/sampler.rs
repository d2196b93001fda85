//! From what was read of a process to what is shown of it: rates and quantiles since the sample before, for how
//! long each problem is there, and the history. Without a clock: times are arguments, and only `time` is of the
//! wall's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bridge::{Refusal, Totals};
use jiff::Timestamp;
use parse::metrics as parsing;

use super::history::{History, LaneSample, Past, Sampled, step_of};
use super::now::{
    ConnectionsNow, Ended, HistoryNow, KafkaNow, LaneNow, LargeNow, ListenerNow, Now, PartitionNow,
    PartitionsNow, PoolNow, ProblemNow, Refused, Sum,
};
use super::quantile::{quantile, since};
use super::reading::{ConnectionsReading, KafkaReading, LaneReading, Reading, StoreReading};
use crate::admin::Readiness;
use crate::metrics::{self as names, Counts, Recorded, Series};
use crate::problem::{Kind, Problem};

/// Problems that are shown one by one, those that keep from being ready first: of a cluster without its topics there
/// is one for each.
const PROBLEMS_MAX: usize = 32;

/// What of the recorder is shown.
pub const RECORDED: &[&str] = &[
    names::ACKNOWLEDGEMENT_LATENCY,
    names::CONNECTIONS_CLOSED,
    names::ACCESS_DENIED,
    names::AUTHENTICATIONS,
    names::TLS_HANDSHAKES_REFUSED,
    names::PACKETS_MALFORMED,
    bridge::metrics::OBJECT_STORE_LATENCY,
    parsing::EVENTS,
    parsing::MESSAGES,
    parsing::FRESHNESS_TARGET,
    parsing::LAG,
    parsing::LAG_SECONDS,
    parsing::PARTITIONS,
    parsing::WINDOW_LIMIT,
];

/// See the module.
pub struct Sampler {
    process: String,
    sequence: u64,
    before: Option<Before>,
    /// Since when each problem is there; no more than there are.
    since: BTreeMap<(Kind, String), Duration>,
    /// None before the first sample, which says what lanes there are.
    history: Option<History>,
}

/// The sample before.
struct Before {
    at: Duration,
    /// In the order of the lanes.
    totals: Vec<Totals>,
    recorded: Recorded,
}

/// From the sample before to this one.
struct Span<'s> {
    /// None for the first sample.
    before: Option<&'s Before>,
    recorded: &'s Recorded,
    seconds: f64,
}

impl Sampler {
    /// `process` tells it from the one before and the one after it.
    pub fn new(process: String) -> Sampler {
        Sampler { process, sequence: 0, before: None, since: BTreeMap::new(), history: None }
    }

    pub fn process(&self) -> &str {
        &self.process
    }

    /// What is kept of what was sampled after that, or all.
    pub fn past(&self, after: Option<u64>, now: Duration) -> Past<'_> {
        match &self.history {
            Some(history) => history.past(&self.process, after, now),
            None => Past::nothing(&self.process),
        }
    }

    /// The next sample, taken at so long after the start of the process.
    pub fn take(
        &mut self,
        reading: Reading,
        recorded: Recorded,
        at: Duration,
        time: SystemTime,
    ) -> Now {
        self.sequence += 1;
        let before = self.before.take();
        let seconds = before.as_ref().map_or(0.0, |before| (at - before.at).as_secs_f64());
        let span = Span { before: before.as_ref(), recorded: &recorded, seconds };
        let (lanes, samples): (Vec<LaneNow>, Vec<LaneSample>) =
            reading.lanes.iter().enumerate().map(|(place, lane)| span.lane(place, lane)).unzip();
        let totals = reading.lanes.iter().map(|lane| lane.totals);
        let sum = (!lanes.is_empty()).then(|| totals.sum::<Totals>().into());
        let refused = span.refused(&reading.lanes);
        let mut problems = self.problems(&reading.readiness, at);
        let count = problems.len();
        problems.truncate(PROBLEMS_MAX);
        let history = self.history.get_or_insert_with(|| {
            let names = reading.lanes.iter().map(|lane| lane.lane.clone()).collect();
            History::new(names, reading.connections.is_some())
        });
        history.add(&Sampled {
            sequence: self.sequence,
            at,
            seconds,
            lanes: &samples,
            connections: reading.connections.as_ref().map_or(0, |connections| connections.open),
            problems: count as u32,
        });
        let now = Now {
            sequence: self.sequence,
            step: step_of(at),
            process: self.process.clone(),
            time: in_utc(time),
            role: reading.role,
            gateway_id: reading.gateway_id,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: at.as_secs(),
            ready: reading.readiness.ready,
            draining: reading.draining,
            problems_left_out: count - problems.len(),
            problems,
            sum,
            lanes,
            connections: reading.connections.map(|connections| span.connections(connections)),
            large: reading.store.map(|store| span.large(store)),
            kafka: reading.kafka.into_iter().map(kafka).collect(),
            refused,
            pools: span.pools(),
            history: HistoryNow {
                oldest_seconds: history.goes_back(at).as_secs(),
                memory_bytes: history.held_bytes(),
            },
            latest: reading.latest,
        };
        let totals = reading.lanes.iter().map(|lane| lane.totals).collect();
        self.before = Some(Before { at, totals, recorded });
        now
    }

    /// What is wrong, and since when: a problem that only says it in other words is the same.
    fn problems(&mut self, readiness: &Readiness, at: Duration) -> Vec<ProblemNow> {
        let Readiness { reasons, degraded, .. } = readiness;
        let key = |problem: &Problem| (problem.kind, problem.about.clone());
        let known = std::mem::take(&mut self.since);
        let keys = reasons.iter().chain(degraded).map(key);
        let since = keys.map(|key| (known.get(&key).copied().unwrap_or(at), key));
        self.since = since.map(|(since, key)| (key, since)).collect();
        let each = reasons.iter().map(|problem| (problem, true));
        let each = each.chain(degraded.iter().map(|problem| (problem, false)));
        each.map(|(problem, keeps_from_ready)| ProblemNow {
            kind: problem.kind.label(),
            about: problem.about.clone(),
            text: problem.text.clone(),
            since_seconds: (at - self.since[&key(problem)]).as_secs(),
            keeps_from_ready,
            to_do: problem.kind.to_do(),
            runbook: format!("/runbook#{}", problem.kind.section()),
        })
        .collect()
    }
}

impl Span<'_> {
    fn rate(&self, before: f64, now: f64) -> f64 {
        match self.seconds > 0.0 {
            true => rounded((now - before).max(0.0) / self.seconds),
            false => 0.0,
        }
    }

    /// Of what the recorder counts.
    fn rate_of(&self, series: &Series, now: f64) -> f64 {
        self.rate(self.before.map_or(0.0, |before| before.recorded.number(series)), now)
    }

    /// What a histogram counted, with that value of a label.
    fn counts(&self, name: &str, label: Option<(&str, &str)>) -> Counts {
        let before =
            self.before.map_or(Counts::default(), |before| before.recorded.counts(name, label));
        since(&before, &self.recorded.counts(name, label))
    }

    fn lane(&self, place: usize, lane: &LaneReading) -> (LaneNow, LaneSample) {
        let totals = lane.totals;
        let before = self.before.map(|before| before.totals[place]).unwrap_or_default();
        let counts = self.counts(names::ACKNOWLEDGEMENT_LATENCY, Some(("lane", &lane.lane)));
        let shed = |totals: Totals| totals.refused[Refusal::Shed as usize];
        let new = |count: fn(Totals) -> u64| match self.before {
            Some(_) => count(totals).saturating_sub(count(before)),
            None => 0,
        };
        let sample = LaneSample {
            received: new(|totals| totals.received),
            landed: new(|totals| totals.landed),
            shed: shed(totals).saturating_sub(shed(before)),
            p50_s: quantile(&counts, 0.5).map(micro),
            p99_s: quantile(&counts, 0.99).map(micro),
            held_bytes: lane.held_bytes,
            oldest_s: lane.oldest.as_secs_f64(),
        };
        let rate = |count: u64| self.rate(0.0, count as f64);
        let now = LaneNow {
            lane: lane.lane.clone(),
            sum: totals.into(),
            received_per_second: rate(sample.received),
            landed_per_second: rate(sample.landed),
            shed_per_second: rate(sample.shed),
            acknowledgement_p50_seconds: sample.p50_s,
            acknowledgement_p99_seconds: sample.p99_s,
            held_bytes: lane.held_bytes,
            limit_bytes: lane.limit_bytes,
            waiting_connections: lane.waiting_connections,
            backlog_records: lane.backlog_records,
            oldest_seconds: rounded(lane.oldest.as_secs_f64()),
        };
        (now, sample)
    }

    fn connections(&self, reading: ConnectionsReading) -> ConnectionsNow {
        let mut ended: Vec<Ended> = self
            .recorded
            .of(names::CONNECTIONS_CLOSED)
            .filter(|(_, count)| *count > 0.0)
            .map(|(series, count)| Ended {
                reason: series.label("reason").to_owned(),
                count: count as u64,
                per_second: self.rate_of(series, count),
            })
            .collect();
        ended.sort_by(|one, other| one.reason.cmp(&other.reason));
        let listeners = reading.listeners.into_iter().map(|listener| ListenerNow {
            listener: listener.listener,
            open: listener.open,
            limit: listener.limit,
            versions: listener.versions.into_iter().collect(),
        });
        ConnectionsNow {
            open: reading.open,
            limit: reading.limit,
            silent: reading.silent,
            listeners: listeners.collect(),
            ended,
        }
    }

    fn large(&self, StoreReading { figures, problem }: StoreReading) -> LargeNow {
        let counts = self.counts(bridge::metrics::OBJECT_STORE_LATENCY, None);
        LargeNow {
            well: figures.is_well,
            open: figures.open,
            oldest_seconds: rounded(figures.oldest.as_secs_f64()),
            requests_ok: figures.requests.ok,
            requests_failed: figures.requests.failed,
            attempts_failed: figures.attempts.failed,
            p50_seconds: quantile(&counts, 0.5).map(micro),
            p99_seconds: quantile(&counts, 0.99).map(micro),
            problem,
        }
    }

    /// What was refused since the start, in a fixed order.
    fn refused(&self, lanes: &[LaneReading]) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (place, lane) in lanes.iter().enumerate() {
            let before = self.before.map(|before| before.totals[place]).unwrap_or_default();
            for reason in Refusal::ALL {
                let [before, count] =
                    [before, lane.totals].map(|totals| totals.refused[reason as usize]);
                refused.push(Refused {
                    what: "message",
                    lane: Some(lane.lane.clone()),
                    reason: reason.label().to_owned(),
                    count,
                    per_second: self.rate(before as f64, count as f64),
                });
            }
        }
        let evidence = |series: &Series| {
            let [kind, result] = ["kind", "result"].map(|name| series.label(name));
            (result != "ok").then(|| format!("{kind}: {result}"))
        };
        let label = |name: &'static str| move |series: &Series| Some(series.label(name).to_owned());
        self.add_refused(&mut refused, "access", names::ACCESS_DENIED, label("action"));
        self.add_refused(&mut refused, "authentication", names::AUTHENTICATIONS, evidence);
        self.add_refused(&mut refused, "tls", names::TLS_HANDSHAKES_REFUSED, label("reason"));
        self.add_refused(&mut refused, "packet", names::PACKETS_MALFORMED, label("reason"));
        refused.retain(|refused| refused.count > 0);
        refused
    }

    /// What the recorder counts under one name, by its reason, whatever other labels there are.
    fn add_refused(
        &self,
        refused: &mut Vec<Refused>,
        what: &'static str,
        name: &str,
        reason: impl Fn(&Series) -> Option<String>,
    ) {
        let mut counts: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (series, count) in self.recorded.of(name) {
            let Some(reason) = reason(series) else { continue };
            let before = self.before.map_or(0.0, |before| before.recorded.number(series));
            let known = counts.entry(reason).or_default();
            *known = (known.0 + before, known.1 + count);
        }
        refused.extend(counts.into_iter().map(|(reason, (before, count))| Refused {
            what,
            lane: None,
            reason,
            count: count as u64,
            per_second: self.rate(before, count),
        }));
    }

    /// The pools that make events of messages, as they tell the recorder.
    fn pools(&self) -> Vec<PoolNow> {
        // Of each pool from its start on; what lies behind it is told later.
        let limits = self.recorded.of(parsing::WINDOW_LIMIT);
        let names: BTreeSet<&str> = limits.map(|(series, _)| series.label("pool")).collect();
        names.into_iter().map(|name| self.pool(name)).collect()
    }

    fn pool(&self, name: &str) -> PoolNow {
        let of = |metric| {
            let series = self.recorded.of(metric);
            series.filter(|(series, _)| series.label("pool") == name)
        };
        let partitions = |state| {
            let mut known = of(parsing::PARTITIONS);
            known.find(|(series, _)| series.label("state") == state).map_or(0, |(_, n)| n as u64)
        };
        let rates = |series: &mut dyn Iterator<Item = (&Series, f64)>| {
            // An empty sum of fractions is -0, and JSON says so.
            series.fold(0.0, |sum, (series, count)| sum + self.rate_of(series, count))
        };
        let events = rates(&mut of(parsing::EVENTS));
        let failed = |(series, _): &(&Series, f64)| series.label("outcome") == "quarantined";
        let failures = rates(&mut of(parsing::MESSAGES).filter(failed));
        let number = |metric| of(metric).map(|(_, number)| number).next();
        PoolNow {
            pool: name.to_owned(),
            freshness_target_seconds: number(parsing::FRESHNESS_TARGET),
            lag: number(parsing::LAG).unwrap_or(0.0) as u64,
            lag_seconds: rounded(number(parsing::LAG_SECONDS).unwrap_or(0.0)),
            partitions: PartitionsNow {
                running: partitions("running"),
                held: partitions("held"),
                stopped: partitions("stopped"),
            },
            events_per_second: rounded(events),
            failures_per_second: rounded(failures),
        }
    }
}

fn kafka(reading: KafkaReading) -> KafkaNow {
    let figures = reading.figures.as_ref();
    let partitions = figures.map_or(&[][..], |figures| &figures.partitions);
    let partitions = partitions.iter().map(|partition| PartitionNow {
        topic: partition.topic.clone(),
        partition: partition.partition,
        state: partition.state.label(),
        leader: partition.leader,
        waiting_records: partition.waiting_records,
    });
    KafkaNow {
        partitions: partitions.collect(),
        partitions_left_out: figures.map_or(0, |figures| figures.partitions_left_out),
        lane: reading.lane,
        producer_ready: reading.is_producer_ready,
        brokers_up: figures.map(|figures| figures.brokers_up),
        round_trip_p99_seconds: figures.map(|figures| micro(figures.round_trip_p99_s)),
        error: reading.error,
    }
}

impl From<Totals> for Sum {
    fn from(totals: Totals) -> Sum {
        Sum {
            received: totals.received,
            landed: totals.landed,
            dead_lettered: totals.dead_lettered,
            refused: totals.refused_total(),
            failed: totals.failed,
            in_flight: totals.in_flight,
            difference: totals.difference(),
        }
    }
}

/// As many digits as somebody reads.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Seconds, to the microsecond.
fn micro(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// RFC 3339, to the millisecond.
fn in_utc(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or_default();
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests;
