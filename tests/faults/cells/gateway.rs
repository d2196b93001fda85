//! The gateway itself ends, stands still, or is told to go.

use std::thread;
use std::time::{Duration, Instant};

use tests::process::Signal;

use crate::cell::{Draw, Expects, Fault};
use crate::rig::Rig;
use crate::setting::Part;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "gateway-killed",
        about: "the gateway is killed 20 times under load (SIGKILL)",
        setting: |setting| {
            setting.large = true;
            setting.synced = true;
        },
        run: killed,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "gateway-terminated",
        about: "the gateway is told to end 8 times under load, drains, and starts again (SIGTERM)",
        setting: |setting| setting.large = true,
        run: terminated,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "gateway-stopped",
        about: "the gateway's process stands still for 60 s (SIGSTOP)",
        setting: |setting| setting.large = true,
        run: |rig, _| rig.stop_gateway(Duration::from_secs(60)),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "gateway-drained",
        about: "the gateway is told to end while Kafka stands still, while the store does, while all is well, and \
                while nobody publishes",
        setting: |setting| {
            setting.takes(Part::Kafka);
            setting.takes(Part::Store);
            setting.takes(Part::Fleet);
            setting.large = true;
        },
        run: drained,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "panics",
        about: "a thread or task of each kind panics; a gateway that is not alive then is started anew",
        setting: |setting| {
            setting.takes(Part::Store);
            setting.with_faults = true;
            setting.large = true;
        },
        run: |rig, draw| {
            for kind in KINDS {
                rig.panic(kind);
                thread::sleep(draw.pause(500, 2000));
            }
            // It has something to do only while the store is in doubt.
            rig.s3.kill();
            rig.panic("store-watch");
            rig.s3.start_again();
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "soak",
        about: "many devices for as long as one likes, the gateway killed every quarter of a minute or so",
        setting: |setting| {
            setting.large = true;
            setting.devices = setting.soak.soak_devices;
            setting.rate = 2 * setting.devices;
        },
        run: |rig, draw| {
            let end = Instant::now() + Duration::from_secs(rig.setting().soak.soak_seconds);
            while Instant::now() < end {
                thread::sleep(draw.pause(10_000, 20_000));
                rig.kill_gateway(draw.pause(0, 2000));
            }
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "fleet-killed",
        about: "the fleet's process is killed 5 times under load, and goes on with what it had kept",
        setting: |setting| {
            setting.takes(Part::Fleet);
            setting.large = true;
            setting.synced = true;
        },
        run: |rig, draw| {
            for _ in 0..5 {
                thread::sleep(draw.pause(2000, 5000));
                rig.publishers.kill(draw.pause(0, 2000));
            }
        },
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
];

/// Those that come to their turn while a fleet talks.
const KINDS: [&str; 9] = [
    "edge",
    "lane-priority",
    "lane-fast",
    "upload",
    "kafka-topics",
    "local-plane",
    "router",
    "admin",
    "listener",
];

fn killed(rig: &Rig, draw: &mut Draw) {
    for _ in 0..20 {
        thread::sleep(draw.pause(200, 3000));
        rig.kill_gateway(draw.pause(0, 500));
    }
}

fn terminated(rig: &Rig, draw: &mut Draw) {
    for _ in 0..8 {
        thread::sleep(draw.pause(500, 4000));
        rig.restart_gateway();
    }
}

/// A drain in each state: it ends in its time, and what it could not land is not acknowledged.
fn drained(rig: &Rig, draw: &mut Draw) {
    rig.restart_gateway();
    thread::sleep(draw.pause(1000, 3000));
    rig.broker().signal(Signal::STOP);
    thread::sleep(draw.pause(200, 4000));
    rig.restart_gateway_after(|| rig.broker().signal(Signal::CONT));
    thread::sleep(draw.pause(1000, 3000));
    rig.s3.signal(Signal::STOP);
    thread::sleep(draw.pause(200, 4000));
    rig.restart_gateway_after(|| rig.s3.signal(Signal::CONT));
    thread::sleep(draw.pause(1000, 3000));
    rig.publishers.pause();
    thread::sleep(draw.pause(1000, 3000));
    rig.restart_gateway();
    rig.publishers.resume();
}
