//! Three brokers with a replica of everything on each, of which two must be in sync: one of them breaks, and whoever
//! publishes into the others' partitions does not notice.

use std::thread;
use std::time::Duration;

use tests::process::Signal;

use crate::cell::{Draw, Expects, Fault};
use crate::rig::Rig;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "broker-killed",
        about: "one of three brokers is killed, and is back after 23 s (SIGKILL)",
        setting: |setting| setting.cluster(),
        run: |rig, draw| {
            let (broker, others) = one_of_three(rig, draw);
            rig.kafka[broker].kill();
            thread::sleep(TAKEN_OUT);
            rig.timeline.sparing(others, || thread::sleep(Duration::from_secs(15)));
            rig.kafka[broker].start_again();
            in_sync(rig);
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "broker-paused",
        about: "one of three brokers stands still for 23 s (SIGSTOP)",
        setting: |setting| setting.cluster(),
        run: |rig, draw| {
            let (broker, others) = one_of_three(rig, draw);
            rig.kafka[broker].signal(Signal::STOP);
            thread::sleep(TAKEN_OUT);
            rig.timeline.sparing(others, || thread::sleep(Duration::from_secs(15)));
            rig.kafka[broker].signal(Signal::CONT);
            in_sync(rig);
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "below-min-insync",
        about: "two of three brokers are killed for 20 s: too few are in sync, and nothing is acknowledged",
        setting: |setting| setting.cluster(),
        run: |rig, draw| {
            let left = *draw.pick(&[0, 1, 2]);
            let killed = || (0..3).filter(|broker| *broker != left);
            killed().for_each(|broker| rig.kafka[broker].kill());
            thread::sleep(Duration::from_secs(20));
            // One alone does not answer: the quorum of controllers is two.
            thread::scope(|scope| {
                for broker in killed() {
                    scope.spawn(move || rig.kafka[broker].start_again());
                }
            });
            in_sync(rig);
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "leaders-moved",
        about: "the leaders of all partitions move to other brokers, three times under load",
        setting: |setting| setting.cluster(),
        run: |rig, draw| {
            for _ in 0..3 {
                let topics: Vec<&str> = rig.topics().iter().map(String::as_str).collect();
                rig.broker().move_leaders(&topics);
                thread::sleep(draw.pause(1000, 4000));
            }
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "rolling-restart",
        about: "the brokers are restarted one after another, each when all replicas are in sync (SIGTERM)",
        setting: |setting| setting.cluster(),
        run: |rig, _| {
            for broker in &rig.kafka {
                broker.terminate();
                thread::sleep(Duration::from_secs(2));
                broker.start_again();
                in_sync(rig);
            }
        },
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
];

/// How long replicas may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Until then no partition goes on: a write waits for all replicas in sync, and the broker that is gone counts as one
/// until its session is over and it has lagged for too long (3 s each, in the tests' Kafka).
const TAKEN_OUT: Duration = Duration::from_secs(8);

/// A broker that is to break, and the partitions that others lead.
fn one_of_three(rig: &Rig, draw: &mut Draw) -> (usize, Vec<(String, i32)>) {
    let broker = *draw.pick(&[0, 1, 2]);
    // Their ids count from 1.
    let led_by_others = |leader: &i32| *leader != broker as i32 + 1;
    let others = rig.topics().iter().flat_map(|topic| {
        let leaders = rig.broker().leaders(topic);
        let others = (0..).zip(leaders).filter(|(_, leader)| led_by_others(leader));
        others.map(|(partition, _)| (topic.clone(), partition)).collect::<Vec<_>>()
    });
    (broker, others.collect())
}

fn in_sync(rig: &Rig) {
    tests::wait::until_true("all replicas are in sync", CATCH_UP, || {
        rig.topics().iter().all(|topic| rig.broker().is_in_sync(topic))
    });
}
