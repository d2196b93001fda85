//! The screen at every size that terminals have.

use super::*;
use crate::fleet::Version;
use crate::latency::Histogram;

const FIRMWARE: [&str; 8] =
    ["4.2.1", "4.2.0", "4.1.7", "3.9.12", "3.0.2", "2.4.0", "1.1.9", "0.9.3"];

/// A fleet that had half a minute of everything.
fn course() -> Course {
    let mut course = Course::default();
    let latency = Histogram::default();
    for second in 0..30_u64 {
        latency.count(Duration::from_millis(3 + second % 9));
        let profiles = ["meter", "tracker", "pump", "camera"].into_iter().enumerate().flat_map(
            |(at, kind)| {
                let latency = &latency;
                FIRMWARE.into_iter().enumerate().map(move |(firmware_at, firmware)| {
                    let profile = Profile { kind, firmware, version: Version::V5 };
                    let part = 40 / (1 + at as u64) / (1 + firmware_at as u64);
                    let sums = Sums {
                        devices: part,
                        connected: part as i64,
                        connections: part,
                        sent: 37 * part * second,
                        acknowledged: 33 * part * second,
                        outstanding: (part / 4) as i64,
                        latency: latency.counts(),
                        ..Sums::default()
                    };
                    (profile, sums)
                })
            },
        );
        course.take(Duration::from_secs(second), profiles.collect());
    }
    course
}

fn happenings() -> Vec<Happening> {
    let of = |at, text: &str, device: Option<&str>, times| Happening {
        at: Duration::from_secs(at),
        text: text.to_owned(),
        device: device.map(str::to_owned),
        times,
    };
    vec![
        of(29, "connection refused: not authorized", Some("sim-meter-3"), 17),
        of(12, "20 connections were cut", None, 1),
        of(3, &"long ".repeat(60), Some("sim-tracker-7"), 1),
    ]
}

fn shown(
    width: usize,
    height: usize,
    phase: Phase,
    hostile: Option<(usize, u64, u64)>,
) -> Vec<String> {
    let (course, happenings) = (course(), happenings());
    let (total, _) = course.lately_of(|_| true);
    let view = View {
        gateway: "gateway.example.com:8883",
        seed: 7,
        ledger: "/var/tmp/sim.ledger",
        elapsed: Duration::from_secs(30),
        phase,
        total: &total,
        course: &course,
        happenings: &happenings,
        hostile,
        keys: true,
    };
    let rows = lay_out(&view, width, height);
    assert_eq!(rows.len(), height, "{width}x{height}");
    for row in &rows {
        assert!(row.width() <= width, "{width}x{height}: {}", row.text());
    }
    rows.iter().map(Row::text).collect()
}

const TALKING: Phase = Phase::Talking { left: Some(Duration::from_secs(30)) };

#[test]
fn every_size_has_what_matters_most() {
    for width in [0, 1, 10, 59, 60, 79, 80, 99, 100, 156, 157, 160, 300] {
        for height in [0, 1, 2, 5, 9, 10, 12, 15, 20, 24, 30, 32, 40, 100] {
            let text = shown(width, height, TALKING, Some((3, 40, 0))).join("\n");
            if width < 59 {
                continue;
            }
            let has =
                |word: &str| assert!(text.contains(word), "{word} at {width}x{height}:\n{text}");
            if height >= 1 {
                has("c cut connections");
                has("q quit");
            }
            if height >= 12 {
                ["talking", "0:30 left", "devices", "sent", "acknowledged", "outstanding"]
                    .into_iter()
                    .for_each(has);
                ["resent", "latency", "p50", "p99", "hostile"].into_iter().for_each(has);
            }
            if height >= 15 {
                has("connection refused: not authorized ×17");
            }
            if height >= 24 {
                ["meter", "tracker", "pump", "camera"].into_iter().for_each(has);
            }
            if height >= 32 {
                FIRMWARE.into_iter().for_each(has);
            }
        }
    }
}

#[test]
fn wide_ones_have_tables_side_by_side_and_narrow_ones_say_what_is_left_out() {
    let wide = shown(160, 24, TALKING, None);
    assert!(wide.iter().any(|row| row.contains(" meter ") && row.contains("4.2.1")), "{wide:#?}");
    assert!(wide.iter().any(|row| row.contains("at QoS 0")));
    let low = shown(80, 24, TALKING, None).join("\n");
    assert!(low.contains(" and ") && low.contains(" more"), "{low}");
    let columns = |row: &str| row.contains("again/s") && row.contains("p99");
    assert!(low.lines().any(columns), "{low}");
}

#[test]
fn each_phase_says_what_it_is_and_what_can_be_pressed() {
    let left = Some(Duration::from_secs(61));
    let text = |phase| shown(80, 24, phase, None).join("\n");
    let stopped = text(Phase::Stopped { left });
    assert!(
        stopped.contains("stopped")
            && stopped.contains(" s go on")
            && stopped.contains("1:01 left")
    );
    let flood = text(Phase::Flood { flood_left: Duration::from_millis(7200), left: None });
    assert!(flood.contains("10 times the rate for 8 s") && flood.contains("until it is ended"));
    let settling = text(Phase::Settling { left: Duration::from_secs(59) });
    assert!(settling.contains("waiting for ") && settling.contains("0:59 at most"), "{settling}");
    assert!(settling.contains("q quit without waiting") && !settling.contains(" s stop"));
    assert!(text(Phase::Ended).contains("are not acknowledged"));
}

/// Forty seconds of twenty devices, with a hiccup of two.
fn readme_course() -> Course {
    let mut course = Course::default();
    let latency = Histogram::default();
    let [mut sent, mut acknowledged] = [0, 0];
    for second in 0..=41_u64 {
        let is_slow = (12..14).contains(&second);
        let rate = if is_slow { 20 } else { 36 + second * 7 % 5 };
        let slow = if is_slow { 20 } else { 3 + second % 2 };
        (0..rate).for_each(|part| latency.count(Duration::from_micros(900 * slow + 40 * part)));
        sent += rate;
        acknowledged += rate * 9 / 10;
        let of = |devices: u64, kind, firmware| {
            let profile = Profile { kind, firmware, version: Version::V5 };
            let sums = Sums {
                devices,
                connected: if second > 0 { devices as i64 } else { 0 },
                connections: devices,
                sent: sent * devices / 20,
                sent_at_qos_0: (sent - acknowledged) * devices / 20,
                acknowledged: acknowledged * devices / 20,
                outstanding: if devices == 9 { if is_slow { 24 } else { 1 } } else { 0 },
                latency: latency.counts(),
                ..Sums::default()
            };
            (profile, sums)
        };
        let profiles = vec![
            of(9, "meter", "4.2.1"),
            of(6, "tracker", "4.2.0"),
            of(3, "pump", "3.9.12"),
            of(2, "camera", "4.2.1"),
        ];
        course.take(Duration::from_secs(second), profiles);
    }
    course
}

#[test]
fn the_readme_shows_such_a_screen() {
    let course = readme_course();
    let (total, _) = course.lately_of(|_| true);
    let refused = "connection refused: CONNACK NotAuthorized";
    let happenings = [Happening {
        at: Duration::from_secs(12),
        text: refused.to_owned(),
        device: Some("sim-meter-4".to_owned()),
        times: 3,
    }];
    let view = View {
        gateway: "127.0.0.1:1883",
        seed: 7,
        ledger: "sim.ledger",
        elapsed: Duration::from_secs(41),
        phase: Phase::Talking { left: Some(Duration::from_secs(259)) },
        total: &total,
        course: &course,
        happenings: &happenings,
        hostile: None,
        keys: true,
    };
    let rows = lay_out(&view, 79, 24);
    let drawn: Vec<String> = rows.iter().map(|row| row.text().trim_end().to_owned()).collect();
    let readme = include_str!("../../../README.md");
    let (_, shown) = readme.split_once("```text\n").expect("the README shows a screen");
    let (shown, _) = shown.split_once("\n```").expect("the block has an end");
    assert_eq!(drawn.join("\n"), shown, "\n{}", drawn.join("\n"));
}
