//! The fleet and what it has to say: pure, and the same for the same seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Device types with their streams, and how much of the fleet each is, in percent.
const TYPES: [(&str, &[&str], u32); 4] = [
    ("meter", &["power", "voltage"], 45),
    ("tracker", &["position", "battery"], 30),
    ("pump", &["pressure", "flow", "vibration"], 20),
    ("camera", &["motion", "image"], 5),
];
/// Firmware versions with their share of the fleet, in percent: old ones never go away.
const FIRMWARE: [(&str, u32); 8] = [
    ("4.2.1", 38),
    ("4.2.0", 22),
    ("4.1.7", 14),
    ("3.9.12", 10),
    ("3.0.2", 7),
    ("2.4.0", 5),
    ("1.1.9", 3),
    ("0.9.3", 1),
];
/// Devices with firmware from this major version on speak MQTT 5.
const MQTT5_MAJOR: u32 = 4;
/// In percent: devices that come back with messages from long ago.
const BACKLOG_PERCENT: u32 = 10;
const BACKLOG_MESSAGES: u32 = 40;
const BACKLOG_DAYS_MAX: i64 = 120;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// One in so many messages is urgent, large, or the first of a burst.
const URGENT_ONE_IN: u32 = 60;
const LARGE_ONE_IN: u32 = 250;
const BURST_ONE_IN: u32 = 40;
const BURST_MESSAGES: u32 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub id: String,
    pub kind: &'static str,
    pub firmware: &'static str,
    pub group: &'static str,
    pub version: Version,
    streams: &'static [&'static str],
    seed: u64,
    backlog: u32,
}

/// Something that a device has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Saying {
    /// Time since the one before.
    pub pause: Duration,
    pub topic: String,
    pub qos: u8,
    /// How long ago it happened, in milliseconds.
    pub age_ms: i64,
    /// Bytes of the payload.
    pub size: usize,
}

/// What all devices have in common.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Mean time between two messages of a device.
    pub pause: Duration,
    pub large_size: usize,
}

/// The fleet of a seed.
pub fn fleet(seed: u64, devices: u32, prefix: &str) -> Vec<Device> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..devices)
        .map(|number| {
            let (kind, streams) =
                pick(&mut random, TYPES.map(|(kind, streams, share)| ((kind, streams), share)));
            let firmware = pick(&mut random, FIRMWARE);
            let major: u32 =
                firmware.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
            let backlog = match random.random_range(0..100) < BACKLOG_PERCENT {
                true => BACKLOG_MESSAGES,
                false => 0,
            };
            Device {
                id: format!("{prefix}{kind}-{number}"),
                kind,
                firmware,
                group: ["north", "south", "east", "west"][random.random_range(0..4)],
                version: if major >= MQTT5_MAJOR { Version::V5 } else { Version::V311 },
                streams,
                seed: random.random(),
                backlog,
            }
        })
        .collect()
}

fn pick<T, const N: usize>(random: &mut StdRng, shares: [(T, u32); N]) -> T {
    let mut left = random.random_range(0..100);
    let mut last = None;
    for (item, share) in shares {
        if left < share {
            return item;
        }
        left -= share;
        last = Some(item);
    }
    last.expect("there is something to pick")
}

impl Device {
    /// Everything that the device will ever say, one after the other.
    pub fn sayings(&self, habits: Habits) -> Sayings {
        Sayings {
            device: self.clone(),
            habits,
            random: StdRng::seed_from_u64(self.seed),
            backlog: self.backlog,
            burst: 0,
        }
    }
}

/// See [`Device::sayings`]; it never ends.
pub struct Sayings {
    device: Device,
    habits: Habits,
    random: StdRng,
    backlog: u32,
    burst: u32,
}

impl Iterator for Sayings {
    type Item = Saying;

    fn next(&mut self) -> Option<Saying> {
        let random = &mut self.random;
        let age_ms = if self.backlog > 0 {
            self.backlog -= 1;
            DAY_MS + random.random_range(0..BACKLOG_DAYS_MAX * DAY_MS)
        } else {
            0
        };
        let pause = if age_ms > 0 || self.burst > 0 {
            self.burst = self.burst.saturating_sub(1);
            Duration::ZERO
        } else {
            if one_in(random, BURST_ONE_IN) {
                self.burst = BURST_MESSAGES;
            }
            // Bursts come on top; the mean stays what was asked for.
            let mean = 1.0 + f64::from(BURST_MESSAGES) / f64::from(BURST_ONE_IN);
            self.habits.pause.mul_f64(mean * random.random_range(0.5..1.5))
        };
        let urgent = age_ms == 0 && one_in(random, URGENT_ONE_IN);
        let large = age_ms == 0 && !urgent && one_in(random, LARGE_ONE_IN);
        let stream = match urgent {
            true => "alarm",
            false => self.device.streams[random.random_range(0..self.device.streams.len())],
        };
        // Most say it once and want to know; some do not care; a few insist.
        let qos = match random.random_range(0..10) {
            0 if !urgent && !large => 0,
            0..=7 => 1,
            _ => 2,
        };
        let size = if large { self.habits.large_size } else { random.random_range(120..600) };
        let topic = format!("devices/{}/{}/{stream}", self.device.kind, self.device.id);
        Some(Saying { pause, topic, qos, age_ms, size })
    }
}

fn one_in(random: &mut StdRng, many: u32) -> bool {
    random.random_range(0..many) == 0
}

/// A payload that says whose it is: `{"run":…,"device":…,"seq":…}`, a line's end, and bytes up to the
/// size.
pub fn payload(run: &str, device: &str, sequence: u64, size: usize) -> Vec<u8> {
    let head = serde_json::json!({ "run": run, "device": device, "seq": sequence });
    let mut payload = head.to_string().into_bytes();
    payload.push(b'\n');
    let seed = sequence as usize;
    let filled = payload.len();
    // Printable, so that people can look at it.
    payload.extend(
        (filled..size).map(|at| b' ' + ((at.wrapping_mul(31) ^ (at >> 8) ^ seed) % 95) as u8),
    );
    payload
}

/// Whose payload it is: run, device, sequence number; from its first bytes.
pub fn whose(start: &[u8]) -> Option<(String, String, u64)> {
    let end = start.iter().take(HEAD_MAX_BYTES).position(|byte| *byte == b'\n')?;
    let head: serde_json::Value = serde_json::from_slice(&start[..end]).ok()?;
    let text = |name: &str| head[name].as_str().map(str::to_owned);
    Some((text("run")?, text("device")?, head["seq"].as_u64()?))
}

/// The head of a payload is shorter than this, in bytes.
pub const HEAD_MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HABITS: Habits = Habits { pause: Duration::from_millis(500), large_size: 1 << 20 };

    #[test]
    fn a_seed_is_a_fleet() {
        assert_eq!(fleet(1, 50, ""), fleet(1, 50, ""));
        assert_ne!(fleet(1, 50, ""), fleet(2, 50, ""));
        let sayings = |seed| {
            let device = &fleet(seed, 1, "")[0];
            device.sayings(HABITS).take(200).collect::<Vec<_>>()
        };
        assert_eq!(sayings(1), sayings(1));
    }

    #[test]
    fn a_fleet_has_all_that_fleets_have() {
        let fleet = fleet(1, 400, "sim-");
        assert!(TYPES.iter().all(|(kind, ..)| fleet.iter().any(|device| device.kind == *kind)));
        assert!(fleet.iter().any(|device| device.version == Version::V311));
        assert!(fleet.iter().any(|device| device.version == Version::V5));
        let sayings: Vec<Saying> =
            fleet.iter().flat_map(|device| device.sayings(HABITS).take(100)).collect();
        for qos in 0..=2 {
            assert!(sayings.iter().any(|saying| saying.qos == qos));
        }
        assert!(sayings.iter().any(|saying| saying.size == 1 << 20));
        assert!(sayings.iter().any(|saying| saying.topic.ends_with("/alarm")));
        assert!(sayings.iter().any(|saying| saying.age_ms > 30 * DAY_MS));
        let fresh = sayings.iter().filter(|saying| saying.age_ms == 0);
        let (count, sum) = fresh.fold((0.0, 0.0), |(count, sum), saying| {
            (count + 1.0, sum + saying.pause.as_secs_f64())
        });
        assert!((0.4..0.6).contains(&(sum / count)), "{}", sum / count);
    }

    #[test]
    fn a_payload_says_whose_it_is() {
        for size in [0, 200, 5_000] {
            let payload = payload("r-1", "m-\"1", 7, size);
            assert_eq!(whose(&payload), Some(("r-1".to_owned(), "m-\"1".to_owned(), 7)));
            assert!(payload.len() >= size);
        }
        assert_eq!(whose(b"{\"run\":1}\n"), None);
        assert_eq!(whose(b"{}"), None);
    }
}
