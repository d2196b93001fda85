//! Idle connections: what each holds in memory.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tests::gateway::Gateway;
use tests::proc;

use super::Bench;
use crate::idle;
use crate::mosquitto::Mosquitto;
use crate::table::{Aim, Line, kilobytes, median, spread};

const CONNECTIONS: usize = 10_000;
/// How long connecting may take.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(120);
/// What a process does after a start or after so many connections is done then.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

pub fn row(bench: &Bench) -> Vec<Line> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        let gateway = bench.gateway().start_ready();
        ours.push(each(bench, gateway.mqtt(), gateway.id(), &[], || check(&gateway)));
        let broker = Mosquitto::start();
        theirs.push(each(bench, broker.address(), broker.id(), &[], || {}));
    }
    let line = Line::plain(
        "10,000 idle connections",
        "resident memory of each",
        spread(&ours, kilobytes),
        format!("mosquitto {}", spread(&theirs, kilobytes)),
    );
    vec![line.aimed(Aim::AtMost(3000.0), median(&ours), kilobytes)]
}

/// All of them are open.
pub(super) fn check(gateway: &Gateway) {
    assert_eq!(gateway.status()["connections"], CONNECTIONS, "all connections are open");
}

/// Bytes that each of the connections adds to a fresh process.
pub(super) fn each(
    bench: &Bench,
    address: SocketAddr,
    id: u32,
    way: &[&str],
    check: impl Fn(),
) -> f64 {
    thread::sleep(SETTLE);
    let before = proc::resident_bytes(id);
    let mut arguments = vec![
        "idle".to_owned(),
        format!("--address={address}"),
        format!("--connections={CONNECTIONS}"),
    ];
    arguments.extend(way.iter().map(|&option| option.to_owned()));
    let mut process = bench.start_child("idle", &arguments);
    let output = |process: &tests::process::Process| process.output().contains(idle::CONNECTED);
    tests::wait::until_true("all idle connections", CONNECT_WAIT, || {
        assert!(process.ended().is_none(), "a connection failed\n{}", process.tail());
        output(&process)
    });
    thread::sleep(SETTLE);
    check();
    assert!(process.ended().is_none(), "a connection ended\n{}", process.tail());
    let after = proc::resident_bytes(id);
    process.kill();
    after.saturating_sub(before) as f64 / CONNECTIONS as f64
}
