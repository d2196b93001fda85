//! The fleet and what it has to say: pure, and the same for the same seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::payload::{Content, Flaw, Form};
use crate::reading::{self, Kind};

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
/// Devices with firmware from this major version on speak MQTT 5, and JSON of today.
const TODAY_MAJOR: u32 = 4;
/// Below this major version what has many quantities writes tables.
const TABLES_BELOW_MAJOR: u32 = 3;
const WRITES_TABLES: [&str; 2] = ["meter", "pump"];
/// Where the devices of a group are. All of it is Latin-1, which some devices take for UTF-8.
const GROUPS: [(&str, &str); 4] =
    [("north", "Malmö"), ("south", "Zürich"), ("east", "Brünn"), ("west", "Köln")];
/// In percent: devices that come back with messages from long ago.
const BACKLOG_PERCENT: u32 = 10;
const BACKLOG_MESSAGES: u32 = 40;
const BACKLOG_DAYS: std::ops::Range<i64> = 30..120;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// One in so many messages is urgent, large, or the first of a burst.
const URGENT_ONE_IN: u32 = 60;
const LARGE_ONE_IN: u32 = 250;
/// One in so many of the others has a flaw for which nothing of it is an event.
const FLAW_ONE_IN: u32 = 150;
/// Shorter is no line of a log, in bytes.
const LOG_LINE_MIN_BYTES: usize = 64;
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
    site: &'static str,
    major: u32,
    streams: Vec<&'static str>,
    seed: u64,
    /// Messages from long ago, and when they begin.
    backlog: u32,
    backlog_age_ms: i64,
}

/// Something that a device has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Saying {
    /// Time since the one before.
    pub pause: Duration,
    pub topic: String,
    pub qos: u8,
    /// It is from long ago.
    pub is_late: bool,
    /// What it says. Its time is what is to be added to now, in milliseconds.
    pub content: Content,
    /// Bytes of the payload, where it is to have so many.
    pub size: Option<usize>,
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
            let kinds = reading::KINDS.each_ref().map(|kind| (kind, kind.share));
            let kind: &Kind = pick(&mut random, kinds);
            let firmware = pick(&mut random, FIRMWARE);
            let major: u32 =
                firmware.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
            let backlog = match random.random_range(0..100) < BACKLOG_PERCENT {
                true => BACKLOG_MESSAGES,
                false => 0,
            };
            let (group, site) = GROUPS[random.random_range(0..GROUPS.len())];
            Device {
                id: format!("{prefix}{}-{number}", kind.name),
                kind: kind.name,
                firmware,
                group,
                version: if major >= TODAY_MAJOR { Version::V5 } else { Version::V311 },
                site,
                major,
                streams: kind.streams.iter().map(|(name, _)| *name).collect(),
                seed: random.random(),
                backlog,
                backlog_age_ms: random.random_range(BACKLOG_DAYS) * DAY_MS,
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
            backlog_age_ms: self.backlog_age_ms,
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
    backlog_age_ms: i64,
    burst: u32,
}

impl Iterator for Sayings {
    type Item = Saying;

    fn next(&mut self) -> Option<Saying> {
        let is_late = self.backlog > 0;
        let pause = self.pause(is_late);
        let urgent = !is_late && one_in(&mut self.random, URGENT_ONE_IN);
        let large = !is_late && !urgent && one_in(&mut self.random, LARGE_ONE_IN);
        let content = if is_late {
            self.backlog()
        } else if large {
            self.log()
        } else if urgent {
            let form = if self.device.is_of_today() { Form::Json } else { Form::OldJson };
            self.content(form, reading::ALARM, 1, 0)
        } else {
            self.readings()
        };
        let flaw = !large && !urgent && one_in(&mut self.random, FLAW_ONE_IN);
        let flaw = flaw.then(|| match self.random.random() {
            true => Flaw::Cut,
            false => Flaw::Charset,
        });
        // Most say it once and want to know; some do not care; a few insist.
        let qos = match self.random.random_range(0..10) {
            0 if !urgent && !large => 0,
            0..=7 => 1,
            _ => 2,
        };
        let Device { kind, id, .. } = &self.device;
        let topic = format!("devices/{kind}/{id}/{}", content.stream);
        let size = large.then_some(self.habits.large_size);
        Some(Saying { pause, topic, qos, is_late, content: Content { flaw, ..content }, size })
    }
}

impl Sayings {
    fn pause(&mut self, is_late: bool) -> Duration {
        if is_late || self.burst > 0 {
            self.burst = self.burst.saturating_sub(1);
            return Duration::ZERO;
        }
        if one_in(&mut self.random, BURST_ONE_IN) {
            self.burst = BURST_MESSAGES;
        }
        // Bursts come on top; the mean stays what was asked for.
        let mean = 1.0 + f64::from(BURST_MESSAGES) / f64::from(BURST_ONE_IN);
        self.habits.pause.mul_f64(mean * self.random.random_range(0.5..1.5))
    }

    /// What was measured while nobody listened, part by part, from its beginning on.
    fn backlog(&mut self) -> Content {
        self.backlog -= 1;
        let records = self.random.random_range(20..=60);
        let content = self.content(Form::NdjsonGzip, reading::BACKLOG, records, 60_000);
        let at_ms = -self.backlog_age_ms;
        self.backlog_age_ms -= records as i64 * content.step_ms;
        Content { at_ms, ..content }
    }

    /// As many readings as go into a large message, none of which is of the time to come.
    fn log(&mut self) -> Content {
        let step_ms = self.random.random_range(1..=20) * 50;
        let records_max = (self.habits.large_size / LOG_LINE_MIN_BYTES) as i64;
        let content = self.content(Form::Ndjson, reading::LOG, 0, step_ms);
        Content { at_ms: -records_max * step_ms, ..content }
    }

    fn readings(&mut self) -> Content {
        let Device { kind, major, ref streams, .. } = self.device;
        let stream = streams[self.random.random_range(0..streams.len())];
        let (old, rows) = (self.random.random_range(1..=6), self.random.random_range(5..=20));
        if self.device.is_of_today() {
            self.content(Form::Json, stream, 1, 0)
        } else if major < TABLES_BELOW_MAJOR && WRITES_TABLES.contains(&kind) {
            self.content(Form::Csv, reading::BATCH, rows, 60_000)
        } else {
            self.content(Form::OldJson, stream, old, 10_000)
        }
    }

    /// Readings of which the last is now.
    fn content(&self, form: Form, stream: &str, records: u64, step_ms: i64) -> Content {
        Content {
            form,
            kind: self.device.kind.to_owned(),
            stream: stream.to_owned(),
            site: self.device.site.to_owned(),
            seed: self.device.seed,
            at_ms: -(records.saturating_sub(1) as i64 * step_ms),
            step_ms,
            records,
            flaw: None,
        }
    }
}

impl Device {
    fn is_of_today(&self) -> bool {
        self.major >= TODAY_MAJOR
    }
}

impl Saying {
    /// What it says at a time, in milliseconds since 1970 UTC; older firmware knows whole seconds.
    pub fn content_at(&self, now_ms: i64) -> Content {
        let at_ms = now_ms + self.content.at_ms;
        let at_ms = match self.content.form {
            Form::OldJson | Form::Csv => at_ms - at_ms.rem_euclid(1000),
            Form::Json | Form::Ndjson | Form::NdjsonGzip => at_ms,
        };
        Content { at_ms, ..self.content.clone() }
    }
}

fn one_in(random: &mut StdRng, many: u32) -> bool {
    random.random_range(0..many) == 0
}

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
        let has = |kind: &Kind| fleet.iter().any(|device| device.kind == kind.name);
        assert!(reading::KINDS.iter().all(has));
        assert!(fleet.iter().any(|device| device.version == Version::V311));
        assert!(fleet.iter().any(|device| device.version == Version::V5));
        let sayings: Vec<Saying> =
            fleet.iter().flat_map(|device| device.sayings(HABITS).take(100)).collect();
        for qos in 0..=2 {
            assert!(sayings.iter().any(|saying| saying.qos == qos));
        }
        assert!(sayings.iter().any(|saying| saying.size == Some(1 << 20)));
        assert!(sayings.iter().any(|saying| saying.topic.ends_with("/alarm")));
        for form in [Form::Json, Form::OldJson, Form::Csv, Form::Ndjson, Form::NdjsonGzip] {
            assert!(sayings.iter().any(|saying| saying.content.form == form), "{form:?}");
        }
        let flaws: Vec<Flaw> = sayings.iter().filter_map(|saying| saying.content.flaw).collect();
        assert!(flaws.contains(&Flaw::Cut) && flaws.contains(&Flaw::Charset));
        assert!((1..=20).contains(&(1000 * flaws.len() / sayings.len())), "{}", flaws.len());
        let fresh = sayings.iter().filter(|saying| !saying.is_late);
        let (count, sum) = fresh.fold((0.0, 0.0), |(count, sum), saying| {
            (count + 1.0, sum + saying.pause.as_secs_f64())
        });
        assert!((0.4..0.6).contains(&(sum / count)), "{}", sum / count);
    }

    #[test]
    fn who_comes_back_tells_of_months_ago_in_order() {
        let fleet = fleet(1, 100, "");
        let device = fleet.iter().find(|device| device.backlog > 0).expect("some come back");
        let late: Vec<Content> = device
            .sayings(HABITS)
            .take_while(|saying| saying.is_late)
            .map(|saying| saying.content_at(200 * DAY_MS))
            .collect();
        assert_eq!(late.len(), BACKLOG_MESSAGES as usize);
        assert!(late[0].at_ms <= 170 * DAY_MS && late[39].end_ms() < 200 * DAY_MS - DAY_MS);
        assert!(late.windows(2).all(|two| two[0].end_ms() < two[1].at_ms));
    }
}
