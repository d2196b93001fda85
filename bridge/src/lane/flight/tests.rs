//! What a verdict means, one record at a time. Faults by the thousand are the simulation's.

use super::*;

const LIMITS: Limits =
    Limits { batch_bytes: 1_000_000, batch_records: 100, linger: Duration::ZERO, times: None };
const WALL_MS: i64 = 1_800_000_000_000;

struct Rig {
    flight: Flight<u32>,
    now: Instant,
}

impl Rig {
    /// With one record.
    fn new() -> Rig {
        let now = Instant::now();
        let mut rig = Rig { flight: Flight::new(now), now };
        let mut record = RecordBuf::default();
        record.begin("t", WALL_MS - 86_400_000);
        rig.flight.push(record, 7, None);
        rig.flight.ask_partitions(|_| Some(1), now);
        rig
    }

    /// What goes by then.
    fn goes_after(&mut self, wait: Duration) -> Option<(Token, RecordBuf)> {
        self.now += wait;
        let mut gone = None;
        let give = |Handing { record, token, .. }: Handing| {
            gone = Some((token, record));
            Ok(())
        };
        self.flight.hand_over((self.now, WALL_MS), |_| LIMITS, give, &mut Vec::new());
        gone
    }

    fn decide(&mut self, token: Token, verdict: Verdict) {
        let ruling = self.flight.decide(token, verdict, (self.now, WALL_MS));
        assert!(matches!(ruling, Some(Ruling::Held(_))), "{ruling:?}");
        if self.flight.wants_reset() {
            self.flight.begin_reset();
            assert!(self.flight.end_reset(self.now).is_empty());
        }
    }
}

#[test]
fn a_time_that_is_refused_is_written_anew_and_refused_again_it_is_the_clocks() {
    let mut rig = Rig::new();
    let (token, record) = rig.goes_after(Duration::ZERO).expect("it goes");
    rig.decide(token, Verdict::Untimely { record, reason: "time".into() });
    assert_eq!(rig.flight.clocks_differ(), None);
    let (token, record) = rig.goes_after(Duration::ZERO).expect("it goes again at once");
    assert_eq!(record.as_record().timestamp_ms(), WALL_MS);
    rig.decide(token, Verdict::Untimely { record, reason: "time".into() });
    assert_eq!(rig.flight.clocks_differ(), Some("t"));
    assert!(rig.goes_after(CLOCK_PAUSE - Duration::from_millis(1)).is_none());
    assert!(rig.goes_after(Duration::from_millis(1)).is_some());
}

/// Its time was mended, and nothing is said of that.
#[test]
fn what_comes_back_for_another_reason_says_nothing_of_clocks() {
    let mut rig = Rig::new();
    let (token, record) = rig.goes_after(Duration::ZERO).expect("it goes");
    rig.decide(token, Verdict::Untimely { record, reason: "time".into() });
    let (token, record) = rig.goes_after(Duration::ZERO).expect("it goes again at once");
    let reason = "no leader".into();
    assert!(
        rig.flight
            .decide(token, Verdict::Undecided { record, reason }, (rig.now, WALL_MS))
            .is_some()
    );
    assert_eq!(rig.flight.clocks_differ(), None);
    assert!(!rig.flight.wants_reset());
    assert!(rig.goes_after(RETRY_PAUSE - Duration::from_millis(1)).is_none());
    assert!(rig.goes_after(Duration::from_millis(1)).is_some());
}

/// A topic that is made again may have other partitions.
#[test]
fn what_is_with_the_sink_comes_back_when_its_topic_stays_away() {
    let mut rig = Rig::new();
    let (_, record) = rig.goes_after(Duration::ZERO).expect("it goes");
    rig.flight.ask_partitions(|_| None, rig.now);
    rig.now += GROWTH_WAIT - Duration::from_millis(1);
    rig.flight.ask_partitions(|_| None, rig.now);
    assert!(!rig.flight.wants_reset(), "it may be back at once");
    rig.now += Duration::from_millis(1);
    rig.flight.ask_partitions(|_| None, rig.now);
    assert!(rig.flight.wants_reset());
    rig.flight.begin_reset();
    let reason = "reset".into();
    let token = token(Place { topic: 0, partition: 0 }, 0);
    rig.flight.decide(token, Verdict::Undecided { record, reason }, (rig.now, WALL_MS));
    assert!(rig.flight.end_reset(rig.now).is_empty());
    rig.flight.ask_partitions(|_| None, rig.now);
    assert!(!rig.flight.wants_reset(), "nothing is with it any more");
    assert!(rig.goes_after(GROWTH_WAIT).is_none(), "and nothing goes");
    rig.flight.ask_partitions(|_| Some(1), rig.now);
    assert!(rig.goes_after(Duration::ZERO).is_some());
}
