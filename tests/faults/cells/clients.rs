//! Clients that behave badly, beside a fleet that behaves well: who publishes, and who is new, does not notice.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tests::mqtt::{Connect, Publish, Version, encode};

use crate::cell::{Draw, Expects, Fault};
use crate::reckoning::NOISE;
use crate::rig::Rig;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "half-open",
        about: "300 devices publish, and are never heard of again: nobody closes their connections",
        setting: |_| {},
        run: half_open,
        expects: QUICK,
    },
    Fault {
        name: "slow-readers",
        about: "100 devices with a full window read one byte in a second of what they are answered",
        setting: |_| {},
        run: slow_readers,
        expects: QUICK,
    },
    Fault {
        name: "storm",
        about: "1,000 devices connect at once and go, again and again",
        setting: |_| {},
        run: storm,
        expects: QUICK,
    },
    Fault {
        name: "takeovers",
        about: "8 client ids are taken over in a loop by devices that publish",
        setting: |_| {},
        run: takeovers,
        expects: QUICK,
    },
    Fault {
        name: "half-packets",
        about: "300 devices stop in the middle of a packet, small ones and large ones",
        setting: |setting| setting.large = true,
        run: half_packets,
        expects: QUICK,
    },
    Fault {
        name: "pings-unread",
        about: "50 devices send PINGREQ as fast as they can, and read nothing",
        setting: |_| {},
        run: pings_unread,
        expects: QUICK,
    },
];

const QUICK: Expects = Expects { pubacks: true, ..Expects::NOTHING };
/// How long they go on.
const LONG: Duration = Duration::from_secs(25);
/// What a connection may take to be accepted.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that sent CONNECT; None where it was turned away, which other checks see.
pub fn connect(gateway: SocketAddr, device: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&gateway, CONNECT).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(CONNECT)).ok()?;
    stream.set_write_timeout(Some(CONNECT)).ok()?;
    stream.write_all(&encode::connect(&Connect::new(Version::V311, device))).ok()?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).ok()?;
    Some(stream)
}

/// A message that no books know: QoS 0, outside of what the fleet says.
pub fn noise(device: &str, qos: u8, packet_id: u16, size: usize) -> Vec<u8> {
    let head = format!("{NOISE}{device} 0 {size}\n");
    let mut payload = head.into_bytes();
    payload.resize(size.max(payload.len()), b'.');
    let topic = format!("devices/noise/{device}/state");
    let publish = Publish::new(&topic, &payload);
    let publish = if qos == 1 { publish.qos1(packet_id) } else { publish };
    encode::publish(Version::V311, &publish)
}

fn half_open(rig: &Rig, _: &mut Draw) {
    let held: Vec<TcpStream> = (0..300)
        .filter_map(|number| {
            let device = format!("gone-{number}");
            let mut stream = connect(rig.mqtt(), &device)?;
            stream.write_all(&noise(&device, 1, 1, 200)).ok()?;
            Some(stream)
        })
        .collect();
    thread::sleep(LONG);
    drop(held);
}

fn slow_readers(rig: &Rig, _: &mut Draw) {
    thread::scope(|scope| {
        for number in 0..100 {
            scope.spawn(move || read_slowly(rig.mqtt(), &format!("slow-{number}")));
        }
    });
}

fn read_slowly(gateway: SocketAddr, device: &str) {
    let Some(mut stream) = connect(gateway, device) else { return };
    let end = Instant::now() + LONG;
    for id in (1..=u16::MAX).cycle() {
        if Instant::now() >= end || stream.write_all(&noise(device, 1, id, 100)).is_err() {
            return;
        }
        if id.is_multiple_of(20) {
            thread::sleep(Duration::from_secs(1));
            let _ = stream.read(&mut [0]);
        }
    }
}

fn storm(rig: &Rig, draw: &mut Draw) {
    const AT_ONCE: usize = 1000;
    const THREADS: usize = 20;
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        let held: Vec<TcpStream> = thread::scope(|scope| {
            let connecting: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        (0..AT_ONCE / THREADS)
                            .filter_map(|n| connect(rig.mqtt(), &format!("storm-{thread}-{n}")))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            connecting
                .into_iter()
                .flat_map(|thread| thread.join().expect("it panics not"))
                .collect()
        });
        thread::sleep(draw.pause(0, 1000));
        drop(held);
    }
}

fn takeovers(rig: &Rig, _: &mut Draw) {
    let end = Instant::now() + LONG;
    thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                // Two at a time want each id.
                let device = format!("taken-{}", thread / 2);
                while Instant::now() < end {
                    let Some(mut stream) = connect(rig.mqtt(), &device) else { continue };
                    for id in 1..=20 {
                        if stream.write_all(&noise(&device, 1, id, 300)).is_err() {
                            break;
                        }
                    }
                    // The id is taken by the other meanwhile.
                    let _ = stream.read(&mut [0; 64]);
                }
            });
        }
    });
}

fn half_packets(rig: &Rig, draw: &mut Draw) {
    let held: Vec<TcpStream> = (0..300)
        .filter_map(|number| {
            let device = format!("half-{number}");
            let mut stream = connect(rig.mqtt(), &device)?;
            let size = *draw.pick(&[100, 5_000, 200_000, 2_000_000]);
            let packet = noise(&device, 1, 1, size);
            let some = packet.len() / 2;
            // Whoever is not read has said enough.
            stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
            let _ = stream.write(&packet[..some]);
            Some(stream)
        })
        .collect();
    thread::sleep(LONG);
    drop(held);
}

fn pings_unread(rig: &Rig, _: &mut Draw) {
    let end = Instant::now() + LONG;
    thread::scope(|scope| {
        for number in 0..50 {
            scope.spawn(move || {
                while Instant::now() < end {
                    let Some(mut stream) = connect(rig.mqtt(), &format!("ping-{number}")) else {
                        continue;
                    };
                    let pings = [0xc0, 0].repeat(500);
                    while Instant::now() < end && stream.write_all(&pings).is_ok() {}
                }
            });
        }
    });
}
