//! What a process that makes load reports to the one that started it: one line of JSON.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tests::proc;

use crate::clock::Span;

/// A load from its first to its last message, and the span that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// Everything, warm-up and end included; all of it was acknowledged.
    pub acknowledged: u64,
    /// Acknowledged within the measured span.
    pub measured: u64,
    /// Length of the measured span.
    pub seconds: f64,
    /// CPU seconds within the span of each process that was watched.
    pub cpu: Vec<f64>,
    /// CPU seconds of the load itself.
    pub own_cpu: f64,
    /// From due to acknowledged, in milliseconds, of what was due within the span.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// A hundred large messages, all acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UploadReport {
    pub acknowledged: u64,
    /// From the first byte to the last acknowledgement.
    pub seconds: f64,
}

impl LoadReport {
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl UploadReport {
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

pub fn to_json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("numbers can be written as JSON")
}

/// The report in what a process wrote.
pub fn parse<T: DeserializeOwned>(output: &str) -> T {
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no report ({error}): {output}"))
}

/// Counts acknowledgements, and watches CPU time over the measured span.
pub struct Meter {
    span: Span,
    watched: Vec<u32>,
    phase: Phase,
    acknowledged: u64,
    measured: u64,
    latencies_us: Vec<u32>,
    /// CPU seconds of the watched processes and of this one, when the span began, then over the span.
    cpu: Vec<f64>,
    own_cpu: f64,
}

#[derive(PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// What of a run is measured.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Measured {
    /// Milliseconds before the measured span
    #[arg(long, default_value_t = 1000)]
    warm_up_ms: u64,
    /// Milliseconds of the measured span
    #[arg(long, default_value_t = 4000)]
    duration_ms: u64,
    /// Processes whose CPU time is measured over the span
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
}

impl Measured {
    /// A meter for a run that begins now.
    pub fn meter(&self, now: u64) -> Meter {
        let [warm_up, duration] = [self.warm_up_ms, self.duration_ms].map(Duration::from_millis);
        Meter::new(Span::after(now, warm_up, duration), &self.watch)
    }
}

impl Meter {
    pub fn new(span: Span, watched: &[u32]) -> Meter {
        Meter {
            span,
            watched: watched.to_vec(),
            phase: Phase::WarmUp,
            acknowledged: 0,
            measured: 0,
            latencies_us: Vec::with_capacity(1 << 20),
            cpu: Vec::new(),
            own_cpu: 0.0,
        }
    }

    /// To be called in every round: begins and ends the span. False when it is over.
    pub fn advance(&mut self, now: u64) -> Result<bool, String> {
        if self.phase == Phase::WarmUp && now >= self.span.from {
            self.phase = Phase::Measured;
            self.span.until += now - self.span.from;
            self.span.from = now;
            (self.cpu, self.own_cpu) = self.cpu_now()?;
        }
        if self.phase == Phase::Measured && now >= self.span.until {
            self.phase = Phase::Over;
            self.span.until = now;
            let (cpu, own_cpu) = self.cpu_now()?;
            self.cpu.iter_mut().zip(cpu).for_each(|(used, now)| *used = now - *used);
            self.own_cpu = own_cpu - self.own_cpu;
        }
        Ok(self.phase != Phase::Over)
    }

    fn cpu_now(&self) -> Result<(Vec<f64>, f64), String> {
        let watched: Result<Vec<f64>, String> =
            self.watched.iter().map(|&id| proc::cpu_seconds(id)).collect();
        Ok((watched?, proc::cpu_seconds(std::process::id())?))
    }

    /// A message that was due then is acknowledged now.
    pub fn acknowledged(&mut self, due: u64, now: u64) {
        self.acknowledged += 1;
        if self.phase == Phase::Measured {
            self.measured += 1;
        }
        // What was due within the span counts whenever it is acknowledged.
        if due >= self.span.from && due < self.span.until && self.phase != Phase::WarmUp {
            self.latencies_us.push((now.saturating_sub(due) / 1000) as u32);
        }
    }

    pub fn report(mut self) -> LoadReport {
        self.latencies_us.sort_unstable();
        let at = |share: f64| percentile(&self.latencies_us, share) / 1000.0;
        LoadReport {
            acknowledged: self.acknowledged,
            measured: self.measured,
            seconds: self.span.seconds(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            cpu: self.cpu,
            own_cpu: self.own_cpu,
        }
    }
}

/// The value that this share of sorted values does not exceed; 0 where there is none.
pub fn percentile(sorted: &[u32], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0).into()
}
