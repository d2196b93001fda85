//! A sampler that is given its times.

use std::time::UNIX_EPOCH;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// 2026-11-27T00:00:00Z.
const A_DAY: Duration = Duration::from_secs(1_795_737_600);

fn sampler() -> Sampler {
    Sampler::new("p".to_owned())
}

fn reading(lanes: &[Totals], problems: Vec<Problem>) -> Reading {
    let lanes = lanes.iter().enumerate().map(|(place, totals)| LaneReading {
        lane: format!("lane-{place}"),
        totals: *totals,
        held_bytes: 7,
        limit_bytes: 9,
        waiting_connections: 0,
        backlog_records: 0,
        oldest: SECOND,
    });
    Reading {
        role: "gateway",
        gateway_id: "gw".to_owned(),
        readiness: Readiness { ready: true, reasons: Vec::new(), degraded: problems },
        draining: false,
        lanes: lanes.collect(),
        connections: None,
        store: None,
        kafka: Vec::new(),
        latest: None,
    }
}

fn totals(received: u64, landed: u64, shed: u64) -> Totals {
    let mut totals = Totals { received, landed, ..Totals::default() };
    totals.refused[Refusal::Shed as usize] = shed;
    totals.in_flight = received - landed - shed;
    totals
}

fn at(sampler: &mut Sampler, seconds: f64, reading: Reading) -> Now {
    let at = Duration::from_secs_f64(seconds);
    sampler.take(reading, Recorded::default(), at, UNIX_EPOCH + A_DAY + at)
}

#[test]
fn rates_are_of_the_time_between_two_samples() {
    let mut sampler = sampler();
    let first = at(&mut sampler, 1.0, reading(&[totals(100, 90, 4)], Vec::new()));
    let rates = |now: &Now| {
        let lane = &now.lanes[0];
        [lane.received_per_second, lane.landed_per_second, lane.shed_per_second]
    };
    assert_eq!(rates(&first), [0.0; 3], "nobody knows since when");
    let second = at(&mut sampler, 3.0, reading(&[totals(300, 190, 5)], Vec::new()));
    assert_eq!(rates(&second), [100.0, 50.0, 0.5]);
    assert_eq!((first.sequence, second.sequence), (1, 2));
    let none_passed = at(&mut sampler, 3.0, reading(&[totals(400, 190, 5)], Vec::new()));
    assert_eq!(rates(&none_passed), [0.0; 3]);
}

#[test]
fn the_sum_can_be_added_up_and_a_fault_of_the_books_is_seen() {
    let mut sampler = sampler();
    let wrong = Totals { received: 14, ..totals(10, 7, 1) };
    let now = at(&mut sampler, 1.0, reading(&[totals(5, 2, 1), wrong], Vec::new()));
    let sum = now.sum.expect("there are lanes");
    assert_eq!(now.lanes.iter().map(|lane| lane.sum.difference).collect::<Vec<_>>(), [0, 4]);
    let became = sum.landed + sum.dead_lettered + sum.refused + sum.failed + sum.in_flight;
    assert_eq!((sum.received, became, sum.difference), (19, 15, 4));
    let too_many = Totals { landed: 9, ..totals(10, 7, 1) };
    let now = at(&mut sampler, 2.0, reading(&[too_many], Vec::new()));
    assert_eq!(now.sum.expect("there are lanes").difference, -2);
}

#[test]
fn a_wall_clock_that_jumps_changes_nothing_but_the_time() {
    let mut sampler = sampler();
    let mut take = |seconds: u64, wall| {
        let reading = reading(&[totals(100 * seconds, 0, 0)], vec![problem("a", "text")]);
        sampler.take(reading, Recorded::default(), SECOND * seconds as u32, UNIX_EPOCH + wall)
    };
    take(1, A_DAY);
    for (seconds, wall, time) in [
        (2, Duration::ZERO, "1970-01-01T00:00:00.000Z"),
        (3, 2 * A_DAY, "2083-10-23T00:00:00.000Z"),
    ] {
        let now = take(seconds, wall);
        assert_eq!(now.time, time);
        assert_eq!(now.lanes[0].received_per_second, 100.0);
        assert_eq!((now.uptime_seconds, now.problems[0].since_seconds), (seconds, seconds - 1));
        assert_eq!(now.history.oldest_seconds, seconds);
    }
    let past = sampler.past(None, 4 * SECOND);
    assert_eq!((past.ends_seconds_ago, past.problems.len()), (1.0, 1));
}

fn problem(about: &str, text: &str) -> Problem {
    Problem::new(Kind::LaneStalled, about, text)
}

#[test]
fn a_problem_is_the_same_while_its_text_counts_seconds() {
    let mut sampler = sampler();
    let mut since = |seconds: f64, problems| -> Vec<(String, u64)> {
        let now = at(&mut sampler, seconds, reading(&[], problems));
        now.problems.into_iter().map(|one| (one.about, one.since_seconds)).collect()
    };
    let told = |about: &str, seconds| (about.to_owned(), seconds);
    assert_eq!(since(10.0, vec![problem("a", "for 5 s")]), [told("a", 0)]);
    let both = vec![problem("b", "for 5 s"), problem("a", "for 8 s")];
    assert_eq!(since(13.0, both), [told("b", 0), told("a", 3)]);
    assert_eq!(since(14.0, vec![problem("b", "for 6 s")]), [told("b", 1)]);
    assert_eq!(since(20.0, vec![problem("a", "for 5 s")]), [told("a", 0)], "it was over");
    since(21.0, Vec::new());
    assert!(sampler.since.is_empty(), "nothing is kept of what is over");
}

#[test]
fn of_very_many_problems_some_are_shown_and_the_rest_is_counted() {
    let mut sampler = sampler();
    let mut take = |seconds, count: usize| {
        let problems = (0..count).map(|number| problem(&number.to_string(), "text")).collect();
        at(&mut sampler, seconds, reading(&[], problems))
    };
    take(1.0, PROBLEMS_MAX + 9);
    let now = take(2.0, PROBLEMS_MAX + 9);
    assert_eq!((now.problems.len(), now.problems_left_out), (PROBLEMS_MAX, 9));
    assert!(now.problems.iter().all(|problem| problem.since_seconds == 1));
    assert_eq!(take(3.0, 2).problems_left_out, 0);
    let past = sampler.past(None, 3 * SECOND);
    assert_eq!(past.problems, [Some(PROBLEMS_MAX as u32 + 9)], "of all of them");
}

#[test]
fn what_the_recorder_counts_is_shown_by_reason() {
    let registry = crate::metrics::tests::registry();
    let (recorder, handle) = registry;
    let mut sampler = sampler();
    let mut take = |seconds: u32| {
        let reading = Reading {
            connections: Some(ConnectionsReading {
                open: 1,
                limit: 2,
                silent: 0,
                listeners: Vec::new(),
            }),
            ..reading(&[totals(0, 0, 0)], Vec::new())
        };
        sampler.take(reading, handle.read(RECORDED), SECOND * seconds, UNIX_EPOCH)
    };
    metrics::with_local_recorder(&recorder, || {
        let closed = metrics::counter!(names::CONNECTIONS_CLOSED, "reason" => "keep_alive");
        let tls = |listener| {
            let labels = [("listener", listener), ("reason", "version")];
            metrics::counter!(names::TLS_HANDSHAKES_REFUSED, &labels)
        };
        let labels = [("kind", "password"), ("result", "wrong")];
        metrics::counter!(names::AUTHENTICATIONS, &labels).increment(1);
        let good = [("kind", "password"), ("result", "ok")];
        metrics::counter!(names::AUTHENTICATIONS, &good).increment(5);
        metrics::counter!(names::ACCESS_DENIED, "action" => "publish").increment(0);
        tls("a").increment(1);
        tls("b").increment(1);
        let latency = metrics::histogram!(names::ACKNOWLEDGEMENT_LATENCY, "lane" => "lane-0");
        latency.record(20.0);
        take(1);
        closed.increment(3);
        tls("b").increment(4);
        latency.record(0.0004);
    });
    let now = take(2);
    let ended = &now.connections.expect("it has some").ended;
    let reason = "keep_alive".to_owned();
    assert_eq!(*ended, [Ended { reason, count: 3, per_second: 3.0 }]);
    let refused: Vec<_> =
        now.refused.iter().map(|one| (one.what, &*one.reason, one.count, one.per_second)).collect();
    assert_eq!(
        refused,
        [("authentication", "password: wrong", 1, 0.0), ("tls", "version", 6, 4.0)]
    );
    let lane = &now.lanes[0];
    assert_eq!(lane.acknowledgement_p99_seconds, Some(0.000495), "only since the last sample");
    let past = sampler.past(None, 2 * SECOND);
    assert_eq!(past.lanes["lane-0"].acknowledgement_p99_seconds, [Some(29.8)], "the largest");
}

/// A pool is there before anything is known of its partitions, and what it does not do is no negative number.
#[test]
fn a_pool_is_shown_from_its_start_on() {
    let (recorder, handle) = crate::metrics::tests::registry();
    let mut sampler = sampler();
    let mut take = |seconds: u32| {
        let reading = reading(&[], Vec::new());
        sampler.take(reading, handle.read(RECORDED), SECOND * seconds, UNIX_EPOCH)
    };
    metrics::with_local_recorder(&recorder, || {
        metrics::gauge!(parsing::WINDOW_LIMIT, "pool" => "fast").set(1.0);
        let pool = &take(1).pools[0];
        assert_eq!((&*pool.pool, pool.lag, pool.freshness_target_seconds), ("fast", 0, None));
        assert!(pool.events_per_second.is_sign_positive());
        assert!(pool.failures_per_second.is_sign_positive());
        for parser in ["one", "other"] {
            let labels = [("pool", "fast"), ("parser", parser)];
            metrics::counter!(parsing::EVENTS, &labels).increment(3);
            let failed = [labels[0], labels[1], ("outcome", "quarantined")];
            metrics::counter!(parsing::MESSAGES, &failed).increment(1);
        }
        let pool = &take(3).pools[0];
        assert_eq!((pool.events_per_second, pool.failures_per_second), (3.0, 1.0));
    });
}

#[test]
fn a_role_without_lanes_has_the_rest() {
    let mut sampler = sampler();
    let now = at(&mut sampler, 1.0, Reading { role: "parse", ..reading(&[], Vec::new()) });
    assert!(now.sum.is_none() && now.lanes.is_empty() && now.connections.is_none());
    let past = sampler.past(None, SECOND);
    assert!(past.lanes.is_empty() && past.connections.is_none());
    assert_eq!(past.problems, [Some(0)]);
}

#[test]
fn texts_are_escaped() {
    let mut sampler = sampler();
    let text = "</script>\n\ndata: <b>";
    let now = at(&mut sampler, 1.0, reading(&[], vec![problem("a", text)]));
    let event = super::super::Event::of("now", 1, &now);
    let event = std::str::from_utf8(&event.text).expect("it is text");
    let lines: Vec<&str> = event.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[1], lines[3]), (4, "id: 1", "event: now", ""));
    let data = lines[2].strip_prefix("data: ").expect("it is data");
    let data: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
    assert_eq!(data["problems"][0]["text"], text);
}
