//! The recorder: atomics by key, and Prometheus' text format of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::registry::{Registry, Storage};

use super::DESCRIPTIONS;

/// Upper bounds of the buckets, in seconds.
pub const BOUNDS_S: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// How often something took so long: one for each of [`BOUNDS_S`], and one above them all.
pub type Counts = [u64; BOUNDS_S.len() + 1];

/// Some of what was recorded, at one moment. The default is what nothing was recorded of yet.
#[derive(Default)]
pub struct Recorded {
    /// Counters and gauges.
    pub numbers: HashMap<Series, f64>,
    pub histograms: HashMap<Series, Counts>,
}

/// What is recorded under one name with the same labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series {
    pub name: &'static str,
    /// Each name with its value.
    labels: Vec<(String, String)>,
}

/// Renders what was recorded.
#[derive(Clone)]
pub struct MetricsHandle {
    registry: Arc<Registry<Key, Atomics>>,
    started_s: f64,
}

/// Makes the process's recorder. Once per process; a second one is the caller's mistake.
pub fn install() -> MetricsHandle {
    let registry = Arc::new(Registry::new(Atomics));
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let handle =
        MetricsHandle { registry: Arc::clone(&registry), started_s: since_1970.as_secs_f64() };
    let installed = metrics::set_global_recorder(AtomicRecorder { registry });
    installed.expect("the recorder is installed once, at the start of the process");
    handle
}

struct AtomicRecorder {
    registry: Arc<Registry<Key, Atomics>>,
}

impl Recorder for AtomicRecorder {
    // Every description is in `DESCRIPTIONS`.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.get_or_create_counter(key, |counter| Arc::clone(counter).into())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.get_or_create_gauge(key, |gauge| Arc::clone(gauge).into())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.get_or_create_histogram(key, |histogram| Arc::clone(histogram).into())
    }
}

struct Atomics;

impl Storage<Key> for Atomics {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<AtomicU64>;
    type Histogram = Arc<Buckets>;

    fn counter(&self, _: &Key) -> Arc<AtomicU64> {
        Arc::default()
    }

    fn gauge(&self, _: &Key) -> Arc<AtomicU64> {
        Arc::default()
    }

    fn histogram(&self, _: &Key) -> Arc<Buckets> {
        Arc::default()
    }
}

/// A histogram with fixed buckets.
#[derive(Default)]
pub struct Buckets {
    /// One for each bound, and one above them all.
    counts: [AtomicU64; BOUNDS_S.len() + 1],
    sum_us: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, seconds: f64) {
        self.record_many(seconds, 1);
    }

    fn record_many(&self, seconds: f64, count: usize) {
        let bucket = BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS_S.len());
        self.counts[bucket].fetch_add(count as u64, Ordering::Relaxed);
        self.sum_us.fetch_add((seconds * 1e6) as u64 * count as u64, Ordering::Relaxed);
    }
}

impl Recorded {
    /// Counters and gauges of that name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&Series, f64)> {
        let numbers = self.numbers.iter().filter(move |(series, _)| series.name == name);
        numbers.map(|(series, number)| (series, *number))
    }

    /// Zero where it is not there.
    pub fn number(&self, series: &Series) -> f64 {
        self.numbers.get(series).copied().unwrap_or(0.0)
    }

    /// The histograms of that name together, all or those with that value of a label.
    pub fn counts(&self, name: &str, label: Option<(&str, &str)>) -> Counts {
        let is_it = |series: &Series| {
            series.name == name && label.is_none_or(|(name, value)| series.label(name) == value)
        };
        let mut sum = Counts::default();
        for (_, counts) in self.histograms.iter().filter(|(series, _)| is_it(series)) {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sum
    }
}

impl Series {
    fn of(name: &'static str, key: &Key) -> Series {
        let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
        Series { name, labels: key.labels().map(label).collect() }
    }

    /// The value of a label; empty where it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl MetricsHandle {
    /// What was recorded under these names.
    pub fn read(&self, names: &[&'static str]) -> Recorded {
        let mut recorded = Recorded::default();
        let wanted = |key: &Key| names.iter().find(|name| **name == key.name()).copied();
        self.registry.visit_counters(|key, counter| {
            if let Some(name) = wanted(key) {
                let number = counter.load(Ordering::Relaxed) as f64;
                recorded.numbers.insert(Series::of(name, key), number);
            }
        });
        self.registry.visit_gauges(|key, gauge| {
            if let Some(name) = wanted(key) {
                let number = f64::from_bits(gauge.load(Ordering::Relaxed));
                recorded.numbers.insert(Series::of(name, key), number);
            }
        });
        self.registry.visit_histograms(|key, buckets| {
            if let Some(name) = wanted(key) {
                let count = |bucket: usize| buckets.counts[bucket].load(Ordering::Relaxed);
                recorded.histograms.insert(Series::of(name, key), std::array::from_fn(count));
            }
        });
        recorded
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut line = |name: &str, line: String| {
            families.entry(name.to_owned()).or_default().push(line);
        };
        self.registry.visit_counters(|key, counter| {
            let labels = labels(key, None);
            line(key.name(), format!("{}{labels} {}", key.name(), counter.load(Ordering::Relaxed)));
        });
        self.registry.visit_gauges(|key, gauge| {
            let value = f64::from_bits(gauge.load(Ordering::Relaxed));
            line(key.name(), format!("{}{} {value}", key.name(), labels(key, None)));
        });
        self.registry.visit_histograms(|key, buckets| {
            let mut below = 0;
            for (index, count) in buckets.counts.iter().enumerate() {
                below += count.load(Ordering::Relaxed);
                let bound = BOUNDS_S.get(index).map_or("+Inf".to_owned(), f64::to_string);
                let labels = labels(key, Some(&bound));
                line(key.name(), format!("{}_bucket{labels} {below}", key.name()));
            }
            let sum_s = buckets.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
            line(key.name(), format!("{}_sum{} {sum_s}", key.name(), labels(key, None)));
            line(key.name(), format!("{}_count{} {below}", key.name(), labels(key, None)));
        });
        for (name, value) in self.process() {
            line(name, format!("{name} {value}"));
        }
        let mut page = String::new();
        for (name, mut lines) in families {
            if let Some((_, kind, help)) = DESCRIPTIONS.iter().find(|(known, _, _)| *known == name)
            {
                // Writing to a text cannot fail.
                let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
                if *kind != "histogram" {
                    lines.sort();
                }
            }
            for line in lines {
                page.push_str(&line);
                page.push('\n');
            }
        }
        page
    }

    /// What the kernel knows of the process.
    fn process(&self) -> Vec<(&'static str, f64)> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        };
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // After the command's name, which may hold spaces, user time is the 12th field.
        let times = stat.rsplit(')').next().unwrap_or_default();
        let ticks: Vec<f64> =
            times.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        vec![
            ("process_resident_memory_bytes", field("VmRSS:").unwrap_or(0.0) * 1024.0),
            // Linux counts in hundredths of a second.
            ("process_cpu_seconds_total", ticks.iter().sum::<f64>() / 100.0),
            ("process_open_fds", descriptors as f64),
            ("process_max_fds", crate::config::descriptor_limit() as f64),
            ("process_threads", field("Threads:").unwrap_or(0.0)),
            ("process_start_time_seconds", self.started_s),
        ]
    }
}

fn labels(key: &Key, bound: Option<&str>) -> String {
    let mut pairs: Vec<String> =
        key.labels().map(|label| pair(label.key(), label.value())).collect();
    pairs.sort();
    pairs.extend(bound.map(|bound| pair("le", bound)));
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn pair(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A recorder of its own, and what reads it.
    pub fn registry() -> (impl Recorder, MetricsHandle) {
        let registry = Arc::new(Registry::new(Atomics));
        let handle = MetricsHandle { registry: Arc::clone(&registry), started_s: 1.0 };
        (AtomicRecorder { registry }, handle)
    }

    #[test]
    fn a_second_is_a_bound() {
        // The alert on acknowledgements asks whether more than one in a hundred took longer: without
        // this bound the answer would be a guess.
        assert!(BOUNDS_S.contains(&1.0));
    }

    #[test]
    fn a_page_says_what_was_recorded() {
        let (recorder, handle) = registry();
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!(super::super::MESSAGES_LANDED, "lane" => "fa\"st").absolute(3);
            metrics::gauge!(super::super::CONNECTIONS).set(2.5);
            let latency = metrics::histogram!(super::super::ACKNOWLEDGEMENT_LATENCY);
            latency.record(0.002);
            latency.record_many(100.0, 2);
        });
        let page = handle.render();
        for expected in [
            "# TYPE landfall_messages_landed_total counter\nlandfall_messages_landed_total{lane=\"fa\\\"st\"} 3\n",
            "landfall_connections 2.5\n",
            "landfall_acknowledgement_latency_seconds_bucket{le=\"0.001\"} 0\n",
            "landfall_acknowledgement_latency_seconds_bucket{le=\"0.0025\"} 1\n",
            "landfall_acknowledgement_latency_seconds_bucket{le=\"60\"} 1\n",
            "landfall_acknowledgement_latency_seconds_bucket{le=\"+Inf\"} 3\n",
            "landfall_acknowledgement_latency_seconds_sum 200.002\n",
            "landfall_acknowledgement_latency_seconds_count 3\n",
            "process_threads ",
        ] {
            assert!(page.contains(expected), "{expected} is missing in\n{page}");
        }
    }
}
