//! What the gateway's machine gives it: the time of day, descriptors, memory.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::clients::{connect, noise};
use crate::cell::{Draw, Expects, Fault};
use crate::rig::Rig;
use crate::setting::Part;

/// Counts connections that ended, by reason.
const TURNED_AWAY: &str = "landfall_connections_closed_total";

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "clock-back",
        about: "the gateway's clock jumps back by two hours, later by a day, and is right again after each",
        setting: |setting| setting.clock = true,
        run: |rig, draw| jumps(rig, draw, |by| rig.clock().back(by)),
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "clock-forward",
        about: "the gateway's clock jumps two hours forward, later a day, and is right again after each",
        setting: |setting| setting.clock = true,
        run: |rig, draw| jumps(rig, draw, |by| rig.clock().forward(by)),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "descriptors",
        about: "all connections that 1,100 descriptors allow are taken while Kafka is killed and the S3 server comes \
                back: who is too many is turned away",
        setting: |setting| {
            setting.takes(Part::Kafka);
            setting.takes(Part::Store);
            setting.descriptors = Some(1100);
            setting.large = true;
        },
        run: descriptors,
        expects: Expects { turned_away: true, ..Expects::NOTHING },
    },
    Fault {
        name: "memory",
        about: "the kernel kills the gateway for want of memory, 3 times under uploads",
        setting: |setting| {
            setting.memory_group = true;
            setting.large = true;
        },
        run: |rig, draw| {
            for _ in 0..3 {
                thread::sleep(draw.pause(3000, 7000));
                rig.starve_gateway(|| half_uploads(rig));
            }
        },
        expects: Expects::NOTHING,
    },
];

/// Large messages of which a part has come: memory that the gateway needs.
fn half_uploads(rig: &Rig) -> Vec<TcpStream> {
    const SIZE: usize = 4 * 1024 * 1024;
    let upload = |number| {
        let device = format!("half-{number}");
        let mut stream = connect(rig.mqtt(), &device)?;
        let packet = noise(&device, 1, 1, 2 * SIZE);
        stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
        // Whoever is not read has said enough.
        let _ = stream.write_all(&packet[..SIZE]);
        Some(stream)
    };
    (0..40).filter_map(upload).collect()
}

fn descriptors(rig: &Rig, draw: &mut Draw) {
    let turned_away = || rig.metric(TURNED_AWAY, &[("reason", "connection_limit")]);
    let before = turned_away();
    let held: Vec<TcpStream> =
        (0..900).filter_map(|number| connect(rig.mqtt(), &format!("idle-{number}"))).collect();
    if turned_away() <= before {
        rig.timeline
            .finds(format!("{} connections, and nobody was counted as turned away", held.len()));
    }
    rig.broker().kill();
    rig.s3.kill();
    thread::sleep(draw.pause(1000, 6000));
    rig.s3.start_again();
    rig.broker().start_again();
    thread::sleep(draw.pause(8000, 12_000));
    drop(held);
}

fn jumps(rig: &Rig, draw: &mut Draw, jump: impl Fn(Duration)) {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    for by in [2 * HOUR, 24 * HOUR] {
        jump(by);
        thread::sleep(draw.pause(5000, 8000));
        rig.clock().right();
        thread::sleep(draw.pause(1000, 3000));
    }
}
