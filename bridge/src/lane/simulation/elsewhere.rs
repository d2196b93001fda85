//! Records that are on disk and not in memory, that have a deadline, or that are not wanted any more: whatever is
//! done with a flight, each record goes in its device's order, once at a time, and is found again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::messages::{Messages, sent};
use crate::lane::flight::{Flight, Handing, Ruling};
use crate::lane::partition;
use crate::record::RecordBuf;
use crate::sink::{AppendError, Limits, NotTaken, Token, Verdict};

const TOPIC: &str = "a";
/// A round of hand-over and verdicts ends a record at least; two more for what comes back.
const ROUNDS_MAX: usize = 1000;

#[derive(Clone, Debug)]
enum Step {
    Push {
        device: u32,
        is_elsewhere: bool,
        deadline_ms: Option<u64>,
    },
    /// Brings what is missing.
    Bring,
    /// The sink takes so many.
    HandOver(usize),
    /// Of what the sink has, those before the last so many landed.
    Land(usize),
    /// All comes back, or is lost in the producer.
    Reset {
        is_lost: bool,
    },
    Grow(u32),
    Wait(u64),
    Expire,
    /// Messages of these remainders by three are not wanted.
    Retain(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let push = (0..4_u32, any::<bool>(), proptest::option::of(0..3000_u64));
    prop_oneof![
        6 => push.prop_map(|(device, is_elsewhere, deadline_ms)| Step::Push {
            device, is_elsewhere, deadline_ms
        }),
        3 => Just(Step::Bring),
        4 => (1..20_usize).prop_map(Step::HandOver),
        3 => (0..5_usize).prop_map(Step::Land),
        1 => prop::bool::weighted(0.2).prop_map(|is_lost| Step::Reset { is_lost }),
        1 => (1..5_u32).prop_map(Step::Grow),
        2 => (1..2000_u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        1 => (0..3_u32).prop_map(Step::Retain),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Open,
    Done,
}

struct Known {
    device: u32,
    record: RecordBuf,
    state: State,
    /// The flight has no bytes of it.
    is_elsewhere: bool,
    deadline: Option<Instant>,
}

/// A flight, and what has to be true of it.
struct Rig {
    flight: Flight<u32>,
    now: Instant,
    count: u32,
    messages: Messages,
    known: Vec<Known>,
    /// What the sink has, by partition, in its order.
    open: BTreeMap<u32, Vec<(Token, u32, RecordBuf)>>,
}

impl Rig {
    fn new() -> Rig {
        let now = Instant::now();
        Rig {
            flight: Flight::new(now),
            now,
            count: 1,
            messages: Messages::default(),
            known: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    fn does(&mut self, step: &Step) {
        match *step {
            Step::Push { device, is_elsewhere, deadline_ms } => {
                self.push(device, is_elsewhere, deadline_ms);
            }
            Step::Bring => self.bring(),
            Step::HandOver(room) => self.hand_over(room),
            Step::Land(rest) => self.land(rest),
            Step::Reset { is_lost } => self.reset(is_lost),
            Step::Grow(count) => self.count = count,
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::Expire => {
                let (taken, now) = (self.flight.take_expired(self.now), self.now);
                self.taken_out(&taken, |_, known| known.deadline.is_some_and(|at| at <= now));
            }
            Step::Retain(remainder) => {
                let taken = self.flight.retain(|number| number % 3 != remainder);
                self.taken_out(&taken, |number, _| number % 3 == remainder);
            }
        }
        let count = |state: State| self.known.iter().filter(|known| known.state == state).count();
        assert_eq!(self.flight.open(), count(State::Open), "after {step:?}");
        assert_eq!(self.flight.waiting(), count(State::Waits), "after {step:?}");
        if self.flight.wants_reset() {
            self.reset(false);
        }
    }

    fn push(&mut self, device: u32, is_elsewhere: bool, deadline_ms: Option<u64>) {
        let number = self.known.len() as u32;
        let record = self.messages.write((0, TOPIC), device, (0, 0), (20, false));
        let deadline = deadline_ms.map(|ms| self.now + Duration::from_millis(ms));
        if is_elsewhere {
            let hash = partition::hash(record.as_record().key());
            let bytes = record.as_record().batch_bytes();
            self.flight.push_elsewhere(TOPIC, (hash, bytes), number, deadline);
        } else {
            self.flight.push(record.clone(), number, deadline);
        }
        self.known.push(Known { device, record, state: State::Waits, is_elsewhere, deadline });
    }

    fn bring(&mut self) {
        let missing: Vec<(Token, u32)> =
            self.flight.missing().map(|(token, number)| (token, *number)).collect();
        for (token, number) in missing {
            let known = &mut self.known[number as usize];
            assert_eq!(known.state, State::Waits, "{number} is missing");
            assert!(std::mem::take(&mut known.is_elsewhere), "{number} is in memory");
            self.flight.bring(token, known.record.clone());
        }
    }

    fn hand_over(&mut self, mut room: usize) {
        let Rig { flight, now, count, known, open, .. } = self;
        flight.ask_partitions(|_| Some(*count), *now);
        let give = |Handing { record, partition, token, .. }: Handing| {
            if room == 0 {
                return Err(NotTaken { record, error: AppendError::Full });
            }
            room -= 1;
            let number = sent(record.as_record()).number;
            let device = known[number as usize].device;
            assert_eq!(known[number as usize].state, State::Waits, "{number} goes twice");
            assert!(!known[number as usize].is_elsewhere, "{number} is on disk");
            for (earlier, other) in known[..number as usize].iter().enumerate() {
                let waits = other.device == device && other.state == State::Waits;
                assert!(!waits, "{number} goes before {earlier}");
            }
            known[number as usize].state = State::Open;
            open.entry(partition).or_default().push((token, number, record));
            Ok(())
        };
        let linger = Duration::ZERO;
        let limits = |_: &str| Limits { batch_bytes: 600, batch_records: 7, linger, times: None };
        let mut rulings = Vec::new();
        flight.hand_over((*now, 0), limits, give, &mut rulings);
        assert!(rulings.is_empty(), "{rulings:?}");
    }

    fn land(&mut self, rest: usize) {
        for records in self.open.values_mut() {
            let landed = records.len().saturating_sub(rest);
            for (token, number, _) in records.drain(..landed) {
                let ruling = self.flight.decide(token, Verdict::Durable, (self.now, 0));
                assert!(matches!(ruling, Some(Ruling::Landed(landed)) if landed == number));
                self.known[number as usize].state = State::Done;
            }
        }
    }

    fn reset(&mut self, is_lost: bool) {
        self.flight.begin_reset();
        let open = std::mem::take(&mut self.open).into_values().flatten();
        let mut lost = Vec::new();
        // The last comes back first.
        for (token, number, record) in open.collect::<Vec<_>>().into_iter().rev() {
            if is_lost && number % 2 == 0 {
                lost.push(number);
                self.known[number as usize].state = State::Done;
                continue;
            }
            let verdict = Verdict::Undecided { record, reason: "given up".into() };
            let ruling = self.flight.decide(token, verdict, (self.now, 0));
            assert!(matches!(ruling, Some(Ruling::Held(_))));
            self.known[number as usize].state = State::Waits;
        }
        let mut forgotten = self.flight.end_reset(self.now);
        forgotten.sort_unstable();
        lost.sort_unstable();
        assert_eq!(forgotten, lost);
    }

    /// Of those that wait, exactly these are taken out.
    fn taken_out(&mut self, taken: &[u32], is_over: impl Fn(u32, &Known) -> bool) {
        let mut taken = taken.to_vec();
        taken.sort_unstable();
        let mut expected = Vec::new();
        for (number, known) in (0..).zip(&mut self.known) {
            if known.state == State::Waits && is_over(number, known) {
                expected.push(number);
                known.state = State::Done;
            }
        }
        assert_eq!(taken, expected);
    }

    fn ends(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.known.iter().all(|known| known.state == State::Done) {
                return;
            }
            for step in [Step::Bring, Step::HandOver(usize::MAX), Step::Land(0), Step::Wait(600)] {
                self.does(&step);
            }
        }
        let states: Vec<State> = self.known.iter().map(|known| known.state).collect();
        panic!("records never go: {states:?}");
    }
}

proptest! {
    #[test]
    fn records_without_bytes_go_in_order_and_are_found_again(steps in vec(step(), 1..80)) {
        let mut rig = Rig::new();
        for step in &steps {
            rig.does(step);
        }
        rig.ends();
    }
}
