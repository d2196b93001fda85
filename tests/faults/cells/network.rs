//! Packets between the gateway and what is around it vanish, or connections are reset.

use std::thread;
use std::time::Duration;

use crate::cell::{Draw, Expects, Fault};
use crate::links::{Link, Lost};
use crate::rig::Rig;
use crate::setting::Setting;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "kafka-dropped",
        about: "packets between gateway and Kafka vanish for 30 s, in both directions",
        setting: to_kafka,
        run: |rig, _| dropped(rig, Link::Kafka),
        expects: Expects { degraded: Some("nothing landed"), ..Expects::NOTHING },
    },
    Fault {
        name: "kafka-one-way",
        about: "what Kafka sends to the gateway vanishes for 20 s, then what the gateway sends",
        setting: to_kafka,
        run: |rig, _| one_way(rig, Link::Kafka),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-reset",
        about: "connections between gateway and Kafka are reset 10 times, then refused for 15 s",
        setting: to_kafka,
        run: |rig, draw| reset(rig, Link::Kafka, draw),
        expects: Expects { degraded: Some("nothing landed"), ..Expects::NOTHING },
    },
    Fault {
        name: "kafka-flapping",
        about: "packets between gateway and Kafka vanish for moments, 25 times",
        setting: to_kafka,
        run: |rig, draw| flapping(rig, Link::Kafka, draw),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "store-dropped",
        about: "packets between gateway and object store vanish for 30 s, in both directions",
        setting: to_store,
        run: |rig, _| dropped(rig, Link::Store),
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "store-one-way",
        about: "what the object store sends vanishes for 20 s, then what the gateway sends",
        setting: to_store,
        run: |rig, _| one_way(rig, Link::Store),
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "store-reset",
        about: "connections between gateway and object store are reset 10 times, then refused for 15 s",
        setting: to_store,
        run: |rig, draw| reset(rig, Link::Store, draw),
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "store-flapping",
        about: "packets between gateway and object store vanish for moments, 25 times",
        setting: to_store,
        run: |rig, draw| flapping(rig, Link::Store, draw),
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "devices-dropped",
        about: "packets between devices and gateway vanish for 30 s, in both directions",
        setting: to_devices,
        run: |rig, _| rig.timeline.away(|| dropped(rig, Link::Devices)),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "devices-one-way",
        about: "what the gateway sends to devices vanishes for 20 s, then what they send",
        setting: to_devices,
        run: |rig, _| rig.timeline.away(|| one_way(rig, Link::Devices)),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "devices-reset",
        about: "connections between devices and gateway are reset 10 times, then refused for 15 s",
        setting: to_devices,
        run: |rig, draw| rig.timeline.away(|| reset(rig, Link::Devices, draw)),
        expects: Expects::NOTHING,
    },
    Fault {
        name: "devices-flapping",
        about: "packets between devices and gateway vanish for moments, 25 times",
        setting: to_devices,
        run: |rig, draw| rig.timeline.away(|| flapping(rig, Link::Devices, draw)),
        expects: Expects::NOTHING,
    },
];

fn to_kafka(setting: &mut Setting) {
    setting.breaks(Link::Kafka);
}

fn to_store(setting: &mut Setting) {
    setting.large = true;
    setting.breaks(Link::Store);
}

fn to_devices(setting: &mut Setting) {
    setting.large = true;
    setting.breaks(Link::Devices);
}

fn dropped(rig: &Rig, link: Link) {
    let broken = rig.lose(link, Lost::All);
    thread::sleep(Duration::from_secs(30));
    drop(broken);
}

fn one_way(rig: &Rig, link: Link) {
    const LONG: Duration = Duration::from_secs(20);
    for lost in [Lost::From, Lost::Towards] {
        let broken = rig.lose(link, lost);
        thread::sleep(LONG);
        drop(broken);
        thread::sleep(Duration::from_secs(3));
    }
}

fn reset(rig: &Rig, link: Link, draw: &mut Draw) {
    for _ in 0..10 {
        rig.reset(link);
        thread::sleep(draw.pause(100, 2000));
    }
    let refused = rig.refuse(link);
    thread::sleep(Duration::from_secs(15));
    drop(refused);
}

fn flapping(rig: &Rig, link: Link, draw: &mut Draw) {
    for _ in 0..25 {
        let broken = rig.lose(link, Lost::All);
        thread::sleep(draw.pause(50, 1500));
        drop(broken);
        thread::sleep(draw.pause(50, 700));
    }
}
