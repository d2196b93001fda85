//! Kafka ends, stands still, or does not do what it is asked for.

use std::thread;
use std::time::{Duration, Instant};

use tests::process::Signal;

use crate::cell::{Draw, Expects, Fault};
use crate::rig::Rig;
use crate::setting::{Front, Part};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "kafka-terminated",
        about: "Kafka is told to end, and is back after 20 s (SIGTERM)",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, _| {
            rig.broker().terminate();
            thread::sleep(Duration::from_secs(20));
            rig.broker().start_again();
        },
        expects: AWAY,
    },
    Fault {
        name: "kafka-killed",
        about: "Kafka is killed 3 times under load, each time for some seconds (SIGKILL)",
        setting: |setting| {
            setting.takes(Part::Kafka);
            setting.large = true;
        },
        run: |rig, draw| {
            for _ in 0..3 {
                rig.broker().kill();
                thread::sleep(draw.pause(100, 8000));
                rig.broker().start_again();
                thread::sleep(draw.pause(500, 4000));
            }
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-paused",
        about: "Kafka's process stands still for 60 s (SIGSTOP)",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, _| {
            rig.broker().signal(Signal::STOP);
            thread::sleep(Duration::from_secs(60));
            rig.broker().signal(Signal::CONT);
        },
        expects: AWAY,
    },
    Fault {
        name: "kafka-slow",
        about: "between gateway and Kafka go 1 MB/s, and for 20 s answers come in bursts, every 2 s",
        setting: |setting| setting.put(Front::Proxy),
        run: slow,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "answers-lost",
        about: "Kafka takes requests, and its answers are lost with the connection, 8 times",
        setting: |setting| setting.put(Front::Proxy),
        run: |rig, draw| {
            for _ in 0..8 {
                rig.proxy().hold_answers();
                thread::sleep(draw.pause(200, 2500));
                rig.proxy().cut();
                rig.proxy().release();
                thread::sleep(draw.pause(200, 3000));
            }
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-errors",
        about: "a share of produce requests is answered with an error, of each code that passes in turn",
        setting: |setting| setting.put(Front::Refusing),
        run: |rig, draw| {
            refuses(rig, draw, &[-1, 3, 5, 6, 7, 8, 13, 19, 20, 29, 45, 56, 59]);
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-refuses",
        about: "a share of produce requests is answered INVALID_TIMESTAMP, or INVALID_RECORD of several records \
                together, and would be taken later",
        setting: |setting| setting.put(Front::Refusing),
        run: finally,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-denies",
        about: "Kafka stores what it is sent and answers a share of it with an error, of codes that say nothing of that",
        setting: |setting| setting.put(Front::Refusing),
        run: denies,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "kafka-error-for-long",
        about: "every produce request to one topic is answered NOT_ENOUGH_REPLICAS for 20 s",
        setting: |setting| setting.put(Front::Refusing),
        run: |rig, _| {
            const NOT_ENOUGH_REPLICAS: i16 = 19;
            let topic = rig.topic("fast").to_owned();
            rig.refusing()
                .refuse(move |append| (append.topic == topic).then_some(NOT_ENOUGH_REPLICAS));
            thread::sleep(Duration::from_secs(20));
            rig.refusing().release();
        },
        expects: Expects { degraded: Some("lane fast"), ..Expects::NOTHING },
    },
    Fault {
        name: "topic-deleted",
        about: "a topic is deleted under load and made again after some seconds",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, draw| remade(rig, draw, rig.setting().partitions),
        expects: Expects { degraded: Some("fast"), ..Expects::NOTHING },
    },
    Fault {
        name: "topic-smaller",
        about: "a topic is deleted under load and made again with 5 partitions in place of 24",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, draw| remade(rig, draw, 5),
        expects: Expects { degraded: Some("fast"), ..Expects::NOTHING },
    },
    Fault {
        name: "partitions-added",
        about: "a topic gets 12 more partitions under load, three times, while a share of produce requests has to be \
                made again",
        setting: |setting| {
            setting.takes(Part::Kafka);
            setting.put(Front::Refusing);
            setting.partitions = 6;
            // By Kafka's own times a device's records of several partitions are in a row.
            setting.properties.push(("log.message.timestamp.type".into(), "LogAppendTime".into()));
        },
        run: grows,
        expects: Expects::NOTHING,
    },
    Fault {
        name: "retention",
        about: "Kafka forgets the older half of a topic's records, every 3 s, while it is written",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: retention,
        expects: Expects { pubacks: true, ..Expects::NOTHING },
    },
    Fault {
        name: "too-large",
        about: "a topic takes only 20 kB for some seconds, twice: what is larger is a dead letter, its neighbours land",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, draw| {
            for _ in 0..2 {
                rig.broker().set_topic(rig.topic("fast"), "max.message.bytes", "20000");
                thread::sleep(draw.pause(5000, 9000));
                rig.broker().set_topic(rig.topic("fast"), "max.message.bytes", "1048588");
                thread::sleep(draw.pause(1000, 4000));
            }
        },
        expects: Expects { dead_letters: true, ..Expects::NOTHING },
    },
    Fault {
        name: "throttled",
        about: "a quota lets every producer send 20 kB/s for 20 s",
        setting: |setting| {
            setting.takes(Part::Kafka);
        },
        run: |rig, _| {
            rig.broker().throttle(Some(20_000));
            thread::sleep(Duration::from_secs(20));
            rig.broker().throttle(None);
        },
        expects: Expects::NOTHING,
    },
    Fault {
        name: "rights-lost",
        about: "the gateway loses its rights on a topic for 10 s, twice",
        setting: |setting| {
            setting.takes(Part::Kafka);
            for (name, value) in [
                (
                    "authorizer.class.name",
                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                ),
                ("allow.everyone.if.no.acl.found", "true"),
            ] {
                setting.properties.push((name.into(), value.into()));
            }
        },
        run: rights,
        expects: Expects { degraded: Some("fast"), ..Expects::NOTHING },
    },
];

/// How long the reader may take to be where Kafka is.
const CATCH_UP: Duration = Duration::from_secs(20);

/// What the gateway says while there is no Kafka.
const AWAY: Expects = Expects { degraded: Some("nothing landed"), ..Expects::NOTHING };

fn slow(rig: &Rig, _: &mut Draw) {
    rig.proxy().throttle(1_000_000);
    thread::sleep(Duration::from_secs(10));
    for _ in 0..10 {
        rig.proxy().hold_answers();
        thread::sleep(Duration::from_secs(2));
        rig.proxy().throttle(1_000_000);
        thread::sleep(Duration::from_millis(50));
    }
    rig.proxy().release();
}

/// Of each code the next requests of a producer are refused, and then nothing for a moment.
fn refuses(rig: &Rig, draw: &mut Draw, codes: &'static [i16]) {
    for &code in codes {
        let (mut left, every) = (*draw.pick(&[1, 3, 10]), *draw.pick(&[1, 2, 7]));
        let mut seen = 0;
        rig.refusing().refuse(move |_| {
            seen += 1;
            let refused = left > 0 && seen % every == 0;
            left -= i32::from(refused);
            refused.then_some(code)
        });
        thread::sleep(draw.pause(1500, 3500));
    }
    rig.refusing().release();
}

/// Codes that say that a record is refused for good, where another time or being alone helps.
fn finally(rig: &Rig, draw: &mut Draw) {
    const INVALID_TIMESTAMP: i16 = 32;
    const INVALID_RECORD: i16 = 87;
    for round in 0..4 {
        let is_time = round % 2 == 0;
        let (mut left, every) = (*draw.pick(&[1, 3, 10]), *draw.pick(&[1, 2, 7]));
        let mut seen = 0;
        rig.refusing().refuse(move |append| {
            let may_be = is_time || append.records.len() > 1;
            seen += u32::from(may_be);
            let is_refused = may_be && left > 0 && seen % every == 0;
            left -= i32::from(is_refused);
            is_refused.then_some(if is_time { INVALID_TIMESTAMP } else { INVALID_RECORD })
        });
        thread::sleep(draw.pause(1500, 3500));
    }
    rig.refusing().release();
}

/// Whoever knows of more partitions writes to them while older messages wait to be sent again.
fn grows(rig: &Rig, draw: &mut Draw) {
    const NOT_ENOUGH_REPLICAS: i16 = 19;
    const KNOWN: Duration = Duration::from_secs(15);
    let topic = rig.topic("fast");
    let mut seen = 0_u32;
    rig.refusing().refuse(move |_| {
        seen += 1;
        seen.is_multiple_of(3).then_some(NOT_ENOUGH_REPLICAS)
    });
    let mut before = 6;
    for partitions in [18, 30, 42] {
        rig.broker().grow_topic(topic, partitions);
        let begin = Instant::now();
        let is_used = || rig.broker().ends(topic)[before..].iter().any(|end| *end > 0);
        while !is_used() && begin.elapsed() < KNOWN {
            thread::sleep(Duration::from_millis(200));
        }
        if !is_used() {
            rig.timeline.finds(format!(
                "nothing came to partitions {before} to {partitions} within {KNOWN:?}"
            ));
        }
        thread::sleep(draw.pause(1000, 4000));
        before = partitions;
    }
    rig.refusing().release();
}

/// Whoever is told so sends it again, and it is there twice.
fn denies(rig: &Rig, draw: &mut Draw) {
    const UNSAID: [i16; 4] = [-1, 7, 20, 56];
    for code in UNSAID.into_iter().cycle().take(3 * UNSAID.len()) {
        let mut left = *draw.pick(&[1, 2, 5]);
        rig.refusing().deny(move |_| {
            left -= 1;
            (left >= 0).then_some(code)
        });
        thread::sleep(draw.pause(1500, 3000));
    }
    rig.refusing().release();
}

fn remade(rig: &Rig, draw: &mut Draw, partitions: i32) {
    let topic = rig.topic("fast");
    // Also what lands behind the reader's last look is deleted.
    rig.timeline.deleting(topic, || {
        rig.reader.catch_up(CATCH_UP);
        rig.broker().delete_topic(topic);
    });
    // Long enough for the gateway to say so.
    thread::sleep(draw.pause(12_000, 18_000));
    rig.broker().create_topic(topic, partitions, &[]);
    rig.reader.begin(topic);
    thread::sleep(Duration::from_secs(5));
}

/// What is forgotten was read before.
fn retention(rig: &Rig, _: &mut Draw) {
    let topic = rig.topic("fast");
    for _ in 0..6 {
        let ends = rig.broker().ends(topic);
        rig.reader.catch_up(CATCH_UP);
        for (partition, end) in (0..).zip(ends) {
            rig.broker().forget_before(topic, partition, end / 2);
        }
        thread::sleep(Duration::from_secs(3));
    }
}

fn rights(rig: &Rig, draw: &mut Draw) {
    let topic = rig.topic("fast");
    let deny = ["--topic", topic, "--deny-principal", "User:ANONYMOUS", "--operation", "Write"];
    for _ in 0..2 {
        rig.broker().change_rights(&[&["--add"], &deny[..]].concat());
        thread::sleep(Duration::from_secs(10));
        rig.broker().change_rights(&[&["--remove", "--force"], &deny[..]].concat());
        thread::sleep(draw.pause(1000, 4000));
    }
}
