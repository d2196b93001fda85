//! Connections after their traffic: what each still holds in memory.

use std::thread;
use std::time::Duration;

use tests::proc;

use super::idle::{CONNECT_WAIT, SETTLE};
use super::{Bench, Load};
use crate::table::{Aim, Line, kilobytes, median, spread};
use crate::{idle, traffic};

const CONNECTIONS: usize = 2_000;
const MESSAGES: usize = 1_000;
/// How long publishing may take.
const PUBLISH_WAIT: Duration = Duration::from_secs(300);
/// A connection has given back what its traffic took when nothing came for 10 s.
const REST: Duration = Duration::from_secs(13);
/// Another load before, so that what the process itself needs for one is no part of the figure.
const OTHERS: Load =
    Load { connections: 50, rate: None, duration: Duration::from_secs(3), way: &[] };

pub fn row(bench: &Bench) -> Vec<Line> {
    let (mut idle, mut at_once, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for repetition in 0..bench.repetitions {
        let gateway = bench.gateway().start_ready();
        let resident = || proc::resident_bytes(gateway.id()) as f64 / CONNECTIONS as f64;
        thread::sleep(SETTLE);
        let empty = resident();
        let begin = bench.folder.join(format!("traffic-{repetition}"));
        let arguments = [
            "traffic".to_owned(),
            format!("--address={}", gateway.mqtt()),
            format!("--connections={CONNECTIONS}"),
            format!("--messages={MESSAGES}"),
            format!("--when={}", begin.display()),
        ];
        let mut process = bench.start_child("traffic", &arguments);
        let mut until_said = |word: &str, wait| {
            tests::wait::until_true(word, wait, || {
                assert!(process.ended().is_none(), "a connection failed\n{}", process.tail());
                process.output().contains(word)
            });
        };
        until_said(idle::CONNECTED, CONNECT_WAIT);
        thread::sleep(SETTLE);
        let silent = resident() - empty;
        let others = bench.load(&OTHERS, gateway.mqtt(), &[]).acknowledged;
        thread::sleep(REST);
        let before = resident();
        std::fs::write(&begin, "").expect("the folder can be written");
        until_said(traffic::PUBLISHED, PUBLISH_WAIT);
        at_once.push(silent + resident() - before);
        thread::sleep(REST);
        idle.push(silent);
        after.push(silent + resident() - before);
        assert_eq!(gateway.status()["connections"], CONNECTIONS, "all connections are open");
        process.kill();
        bench.check_landed(&gateway, others + (CONNECTIONS * MESSAGES) as u64);
    }
    let line = Line::plain(
        "2,000 connections that published 1,000 messages each, window 20",
        "resident memory of each, 13 s after its last message",
        spread(&after, kilobytes),
        format!("before {}; at once {}", spread(&idle, kilobytes), spread(&at_once, kilobytes)),
    );
    vec![line.aimed(Aim::AtMost(4000.0), median(&after), kilobytes)]
}
