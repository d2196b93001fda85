//! The last half hour in steps, of a size that does not change: a ring with a place for each step of each lane.
//! Pure. Times are since the process's start; a step in which nothing was sampled is a gap.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How much of the time one step is.
pub const STEP: Duration = Duration::from_secs(5);
/// Steps that are kept: half an hour.
pub const STEPS: usize = 360;

/// See the module.
pub struct History {
    lanes: Box<[String]>,
    has_connections: bool,
    /// By the step's number, modulo [`STEPS`].
    steps: Box<[Step]>,
    /// By place of its step and place of its lane.
    lane_steps: Box<[LaneStep]>,
    newest: u64,
    /// When the newest sample was taken.
    newest_at: Duration,
}

/// What a step has of the whole process.
#[derive(Clone, Copy, Default)]
struct Step {
    number: u64,
    /// Zero where nothing was sampled yet.
    first_sequence: u64,
    last_sequence: u64,
    /// Between the samples, in all.
    seconds: f32,
    connections: u32,
    problems: u32,
}

/// What a step has of a lane: counts, and the largest of what was sampled.
#[derive(Clone, Copy, Default)]
struct LaneStep {
    received: f32,
    landed: f32,
    shed: f32,
    p50_s: Option<f32>,
    p99_s: Option<f32>,
    oldest_s: f32,
    held_bytes: u64,
}

/// A sample of a lane, as the history takes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneSample {
    /// Since the sample before, as are those below.
    pub received: u64,
    pub landed: u64,
    pub shed: u64,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    pub held_bytes: u64,
    pub oldest_s: f64,
}

/// A sample, as the history takes it.
pub struct Sampled<'s> {
    pub sequence: u64,
    /// Since the start of the process.
    pub at: Duration,
    /// Since the sample before; zero for the first.
    pub seconds: f64,
    /// In the order of the history.
    pub lanes: &'s [LaneSample],
    pub connections: u32,
    pub problems: u32,
}

/// What is kept, as JSON: `event: history` of `/api/v1/live`.
#[derive(Debug, Serialize)]
pub struct Past<'h> {
    pub process: &'h str,
    pub step_seconds: u64,
    /// The number of the first step; the others follow.
    pub first_step: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub ends_seconds_ago: f64,
    pub lanes: BTreeMap<&'h str, LanePast>,
    pub connections: Option<Vec<Option<u32>>>,
    pub problems: Vec<Option<u32>>,
}

impl Past<'_> {
    /// Before the first sample.
    pub fn nothing(process: &str) -> Past<'_> {
        Past {
            process,
            step_seconds: STEP.as_secs(),
            first_step: 0,
            first_sequence: 0,
            last_sequence: 0,
            ends_seconds_ago: 0.0,
            lanes: BTreeMap::new(),
            connections: None,
            problems: Vec::new(),
        }
    }
}

/// A value for each step, None in a gap.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct LanePast {
    pub received_per_second: Vec<Option<f32>>,
    pub landed_per_second: Vec<Option<f32>>,
    pub shed_per_second: Vec<Option<f32>>,
    pub acknowledgement_p50_seconds: Vec<Option<f32>>,
    pub acknowledgement_p99_seconds: Vec<Option<f32>>,
    pub held_bytes: Vec<Option<u64>>,
    pub oldest_seconds: Vec<Option<f32>>,
}

/// The number of the step that a moment is in.
pub fn step_of(at: Duration) -> u64 {
    at.as_secs() / STEP.as_secs()
}

impl History {
    pub fn new(lanes: Vec<String>, has_connections: bool) -> History {
        History {
            has_connections,
            steps: vec![Step::default(); STEPS].into(),
            lane_steps: vec![LaneStep::default(); STEPS * lanes.len()].into(),
            newest: 0,
            newest_at: Duration::ZERO,
            lanes: lanes.into(),
        }
    }

    /// Bytes of one with so many lanes.
    pub const fn bytes(lanes: usize) -> u64 {
        (STEPS * (size_of::<Step>() + lanes * size_of::<LaneStep>())) as u64
    }

    /// Bytes of this one.
    pub fn held_bytes(&self) -> u64 {
        History::bytes(self.lanes.len())
    }

    /// The time that it goes back, to the beginning of its oldest step.
    pub fn goes_back(&self, now: Duration) -> Duration {
        let oldest = self.numbers().find(|number| self.step(*number).is_some());
        oldest.map_or(Duration::ZERO, |number| now.saturating_sub(STEP * number as u32))
    }

    /// Samples come in order, with as many lanes as there are.
    pub fn add(&mut self, sampled: &Sampled<'_>) {
        let number = step_of(sampled.at).max(self.newest);
        (self.newest, self.newest_at) = (number, sampled.at);
        let place = place_of(number);
        let lanes = place * self.lanes.len()..(place + 1) * self.lanes.len();
        let (step, lanes) = (&mut self.steps[place], &mut self.lane_steps[lanes]);
        if step.number != number || step.first_sequence == 0 {
            *step = Step { number, first_sequence: sampled.sequence, ..Step::default() };
            lanes.fill(LaneStep::default());
        }
        step.last_sequence = sampled.sequence;
        step.seconds += sampled.seconds as f32;
        step.connections = step.connections.max(sampled.connections);
        step.problems = step.problems.max(sampled.problems);
        for (lane, sample) in lanes.iter_mut().zip(sampled.lanes) {
            lane.received += sample.received as f32;
            lane.landed += sample.landed as f32;
            lane.shed += sample.shed as f32;
            lane.p50_s = largest(lane.p50_s, sample.p50_s);
            lane.p99_s = largest(lane.p99_s, sample.p99_s);
            lane.held_bytes = lane.held_bytes.max(sample.held_bytes);
            lane.oldest_s = lane.oldest_s.max(sample.oldest_s as f32);
        }
    }

    /// The steps that have something newer than that sample, or all.
    pub fn past<'h>(&'h self, process: &'h str, after: Option<u64>, now: Duration) -> Past<'h> {
        let is_newer = |number: &u64| {
            self.step(*number).is_some_and(|step| step.last_sequence > after.unwrap_or(0))
        };
        let first = self.numbers().find(is_newer);
        let numbers = first.unwrap_or(self.newest + 1)..self.newest + 1;
        let newest = self.step(self.newest);
        let age_s = now.saturating_sub(self.newest_at).as_secs_f64();
        let mut past = Past {
            process,
            step_seconds: STEP.as_secs(),
            first_step: numbers.start,
            first_sequence: first
                .and_then(|first| self.step(first))
                .map_or(0, |s| s.first_sequence),
            last_sequence: newest.map_or(0, |step| step.last_sequence),
            ends_seconds_ago: (age_s * 1e3).round() / 1e3,
            lanes: self.lanes.iter().map(|lane| (&**lane, LanePast::default())).collect(),
            connections: self.has_connections.then(Vec::new),
            problems: Vec::new(),
        };
        for number in numbers {
            let step = self.step(number);
            if let Some(connections) = &mut past.connections {
                connections.push(step.map(|step| step.connections));
            }
            past.problems.push(step.map(|step| step.problems));
            let lanes = self.lane_steps.chunks(self.lanes.len().max(1)).nth(place_of(number));
            for (name, lane) in self.lanes.iter().zip(lanes.unwrap_or_default()) {
                let past = past.lanes.get_mut(&**name).expect("each lane is there");
                past.add(step.map(|step| (step.seconds, lane)));
            }
        }
        past
    }

    /// Those that may be kept, the oldest first.
    fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        (self.newest + 1).saturating_sub(STEPS as u64)..self.newest + 1
    }

    /// None in a gap.
    fn step(&self, number: u64) -> Option<&Step> {
        let step = &self.steps[place_of(number)];
        (step.number == number && step.first_sequence > 0).then_some(step)
    }
}

impl LanePast {
    fn add(&mut self, step: Option<(f32, &LaneStep)>) {
        let rate = |count: fn(&LaneStep) -> f32| {
            let (seconds, lane) = step.filter(|(seconds, _)| *seconds > 0.0)?;
            Some((count(lane) / seconds * 1e3).round() / 1e3)
        };
        self.received_per_second.push(rate(|lane| lane.received));
        self.landed_per_second.push(rate(|lane| lane.landed));
        self.shed_per_second.push(rate(|lane| lane.shed));
        self.acknowledgement_p50_seconds.push(step.and_then(|(_, lane)| lane.p50_s));
        self.acknowledgement_p99_seconds.push(step.and_then(|(_, lane)| lane.p99_s));
        self.held_bytes.push(step.map(|(_, lane)| lane.held_bytes));
        self.oldest_seconds.push(step.map(|(_, lane)| (lane.oldest_s * 1e3).round() / 1e3));
    }
}

fn place_of(number: u64) -> usize {
    (number % STEPS as u64) as usize
}

fn largest(known: Option<f32>, new: Option<f64>) -> Option<f32> {
    let new = new.map(|new| new as f32);
    match (known, new) {
        (Some(known), Some(new)) => Some(known.max(new)),
        (known, new) => known.or(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: &str = "p";

    fn history() -> History {
        History::new(vec!["fast".to_owned(), "none".to_owned()], true)
    }

    /// A sample a second, the first at zero; of each, so many were received.
    fn add(history: &mut History, sequence: u64, at_s: u64, received: u64) {
        let fast = LaneSample {
            received,
            p99_s: Some(received as f64 / 1e3),
            held_bytes: received,
            oldest_s: received as f64 / 10.0,
            ..LaneSample::default()
        };
        history.add(&Sampled {
            sequence,
            at: Duration::from_secs(at_s),
            seconds: if sequence == 1 { 0.0 } else { 1.0 },
            lanes: &[fast, LaneSample::default()],
            connections: received as u32,
            problems: 0,
        });
    }

    fn whole(history: &History) -> Past<'_> {
        history.past(PROCESS, None, Duration::from_secs(100))
    }

    #[test]
    fn a_step_has_the_mean_of_rates_and_the_largest_of_the_rest() {
        let mut history = history();
        for (second, received) in [0, 10, 20, 30, 40, 5].into_iter().enumerate() {
            add(&mut history, second as u64 + 1, second as u64, received);
        }
        let past = whole(&history);
        let fast = &past.lanes["fast"];
        assert_eq!(fast.received_per_second, [Some(25.0), Some(5.0)]);
        assert_eq!(fast.acknowledgement_p99_seconds, [Some(0.04), Some(0.005)]);
        assert_eq!(fast.acknowledgement_p50_seconds, [None, None]);
        assert_eq!(fast.held_bytes, [Some(40), Some(5)]);
        assert_eq!(fast.oldest_seconds, [Some(4.0), Some(0.5)]);
        assert_eq!(past.connections.as_deref(), Some(&[Some(40), Some(5)][..]));
        assert_eq!((past.first_step, past.first_sequence, past.last_sequence), (0, 1, 6));
        assert_eq!(past.lanes["none"].received_per_second, [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let mut history = history();
        let seconds = STEP.as_secs() * (STEPS as u64 + 7);
        for second in 0..seconds {
            add(&mut history, second + 1, second, second);
        }
        let past = whole(&history);
        assert_eq!(past.problems.len(), STEPS);
        assert_eq!((past.first_step, past.first_sequence), (7, 7 * 5 + 1));
        assert_eq!(past.last_sequence, seconds);
        let received = &past.lanes["fast"].received_per_second;
        assert_eq!((received.len(), received[0]), (STEPS, Some(37.0)));
        assert_eq!(history.goes_back(Duration::from_secs(seconds)), STEP * STEPS as u32);
        assert_eq!(history.held_bytes(), History::bytes(2));
    }

    #[test]
    fn what_was_not_sampled_is_a_gap_also_where_a_place_was_used_before() {
        let mut history = history();
        add(&mut history, 1, 0, 1);
        add(&mut history, 2, 5, 1);
        let later = STEP.as_secs() * (STEPS as u64 + 2);
        add(&mut history, 3, later, 9);
        let past = whole(&history);
        assert_eq!(past.first_step, STEPS as u64 + 2, "nothing of the last half hour is there");
        assert_eq!(past.problems, [Some(0)]);
        add(&mut history, 4, later + 11, 9);
        let past = whole(&history);
        assert_eq!(past.problems, [Some(0), None, Some(0)]);
        assert_eq!(past.lanes["fast"].held_bytes, [Some(9), None, Some(9)]);
        assert_eq!(past.lanes["fast"].received_per_second[1], None);
    }

    #[test]
    fn who_comes_again_gets_the_steps_with_something_newer() {
        let mut history = history();
        for second in 0..12 {
            add(&mut history, second + 1, second, 1);
        }
        let after = |sequence| history.past(PROCESS, Some(sequence), Duration::from_secs(12));
        assert_eq!((after(4).first_step, after(5).first_step, after(7).first_step), (0, 1, 1));
        assert_eq!(after(7).first_sequence, 6, "of whole steps");
        let nothing = after(12);
        assert_eq!((nothing.first_step, nothing.problems.len()), (3, 0));
        assert_eq!(after(99).problems.len(), 0);
    }

    #[test]
    fn before_the_first_sample_there_is_nothing() {
        let history = history();
        let past = whole(&history);
        assert_eq!((past.last_sequence, past.problems.len()), (0, 0));
        assert_eq!(history.goes_back(Duration::from_secs(9)), Duration::ZERO);
    }
}
