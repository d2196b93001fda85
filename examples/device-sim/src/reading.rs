//! What devices measure: the quantities of each type of device, and their values, the same for the same seed.
//! Pure.

/// A type of device.
pub struct Kind {
    pub name: &'static str,
    /// How much of the fleet it is, in percent.
    pub share: u32,
    pub quantities: &'static [Quantity],
    /// What it publishes together: a stream's name, and which of the quantities are in it.
    pub streams: &'static [(&'static str, std::ops::Range<usize>)],
}

/// One quantity, with its names: they change from one generation of firmware to the next, and so do units.
pub struct Quantity {
    /// As its events call it.
    pub name: &'static str,
    /// As firmware of today calls it, and tables.
    pub today: &'static str,
    /// As older firmware calls it, whose unit is smaller by this power of ten.
    pub old: &'static str,
    pub shift: i32,
    pub sort: Sort,
    course: Course,
}

/// What values of a quantity are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Int,
    /// With so many decimals; now and then there is none, because a sensor does not answer.
    Float(i32),
    /// With so many decimals, all of which count.
    Decimal(i32),
    Flag,
    Word,
}

/// How values go on from one reading to the next.
enum Course {
    /// Up and down, in units of the last decimal.
    Between(i64, i64),
    /// The same, never further than the last from a place of the device's own between the others.
    Near(i64, i64, i64),
    /// Up, by this much in the mean.
    Counts(i64),
    Says(&'static [&'static str]),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    /// In units of the quantity's last decimal.
    Number(i64),
    Flag(bool),
    Word(&'static str),
}

/// One in so many readings of a sensor is none.
const SILENT_ONE_IN: u64 = 32;
/// Readings from one peak to the next.
const PERIOD_MIN: u64 = 5000;
const PERIOD_MAX: u64 = 50_000;

const fn quantity(
    [name, today, old]: [&'static str; 3],
    shift: i32,
    sort: Sort,
    course: Course,
) -> Quantity {
    Quantity { name, today, old, shift, sort, course }
}

pub static KINDS: [Kind; 4] = [
    Kind {
        name: "meter",
        share: 45,
        quantities: &[
            quantity(["power_w", "power", "P"], -3, Sort::Float(1), Course::Between(0, 60_000)),
            quantity(["energy_kwh", "energy", "E"], 3, Sort::Decimal(3), Course::Counts(40)),
            quantity(["voltage_l1", "l1", "U1"], 1, Sort::Float(1), Course::Between(2250, 2360)),
            quantity(["voltage_l2", "l2", "U2"], 1, Sort::Float(1), Course::Between(2250, 2360)),
            quantity(["voltage_l3", "l3", "U3"], 1, Sort::Float(1), Course::Between(2250, 2360)),
            quantity(["frequency_hz", "hz", "f"], 0, Sort::Float(2), Course::Between(4990, 5010)),
        ],
        streams: &[("power", 0..2), ("voltage", 2..6)],
    },
    Kind {
        name: "tracker",
        share: 30,
        quantities: &[
            quantity(
                ["latitude", "lat", "la"],
                6,
                Sort::Decimal(6),
                Course::Near(47_300_000, 54_700_000, 40_000),
            ),
            quantity(
                ["longitude", "lon", "lo"],
                6,
                Sort::Decimal(6),
                Course::Near(6_900_000, 16_400_000, 60_000),
            ),
            quantity(["speed_kmh", "speed", "v"], 0, Sort::Int, Course::Between(0, 130)),
            quantity(["battery_percent", "battery", "bat"], 0, Sort::Int, Course::Between(5, 100)),
            quantity(["charging", "charging", "chg"], 0, Sort::Flag, Course::Between(0, 1)),
        ],
        streams: &[("position", 0..3), ("battery", 3..5)],
    },
    Kind {
        name: "pump",
        share: 20,
        quantities: &[
            quantity(
                ["pressure_bar", "pressure", "p"],
                2,
                Sort::Float(2),
                Course::Between(150, 600),
            ),
            quantity(
                ["temperature_c", "temperature", "T"],
                1,
                Sort::Float(1),
                Course::Between(-80, 720),
            ),
            quantity(["flow_l_min", "flow", "q"], 0, Sort::Float(1), Course::Between(0, 2500)),
            quantity(["volume_m3", "volume", "V"], 3, Sort::Decimal(3), Course::Counts(25)),
            quantity(["vibration_x", "vx", "ax"], 2, Sort::Float(2), Course::Between(0, 450)),
            quantity(["vibration_y", "vy", "ay"], 2, Sort::Float(2), Course::Between(0, 450)),
            quantity(["vibration_z", "vz", "az"], 2, Sort::Float(2), Course::Between(0, 450)),
        ],
        streams: &[("pressure", 0..2), ("flow", 2..4), ("vibration", 4..7)],
    },
    Kind {
        name: "camera",
        share: 5,
        quantities: &[
            quantity(["motion", "motion", "mo"], 0, Sort::Flag, Course::Between(0, 1)),
            quantity(
                ["zone", "zone", "z"],
                0,
                Sort::Word,
                Course::Says(&["door", "yard", "gate", "ramp"]),
            ),
            quantity(
                ["image_bytes", "bytes", "sz"],
                0,
                Sort::Int,
                Course::Between(80_000, 2_400_000),
            ),
            quantity(["exposure_us", "exposure", "ex"], 0, Sort::Int, Course::Between(125, 33_000)),
            quantity(
                ["lens", "lens", "le"],
                0,
                Sort::Word,
                Course::Says(&["clear", "dirty", "fogged"]),
            ),
        ],
        streams: &[("motion", 0..2), ("image", 2..5)],
    },
];

/// What every device says when something is urgent.
pub const ALARM: &str = "alarm";
const ALARM_QUANTITIES: &[Quantity] = &[
    quantity(
        ["alarm", "alarm", "al"],
        0,
        Sort::Word,
        Course::Says(&["overload", "tamper", "leak", "overheated", "blocked"]),
    ),
    quantity(["level", "level", "lv"], 0, Sort::Int, Course::Between(1, 5)),
];
/// Streams that have all quantities of their device: tables, what is from long ago, and large logs.
pub const BATCH: &str = "batch";
pub const BACKLOG: &str = "backlog";
pub const LOG: &str = "log";

/// Quantities in a stream with their places among those of the type; None where there is no such stream.
pub struct Stream {
    pub quantities: &'static [Quantity],
    first: u64,
}

pub fn stream(kind: &str, stream: &str) -> Option<Stream> {
    let kind = KINDS.iter().find(|known| known.name == kind)?;
    match stream {
        ALARM => Some(Stream { quantities: ALARM_QUANTITIES, first: ALARM_PLACE }),
        BATCH | BACKLOG | LOG => Some(Stream { quantities: kind.quantities, first: 0 }),
        _ => {
            let (_, range) = kind.streams.iter().find(|(name, _)| *name == stream)?;
            let quantities = &kind.quantities[range.clone()];
            Some(Stream { quantities, first: range.start as u64 })
        }
    }
}

/// Beyond the places of all other quantities.
const ALARM_PLACE: u64 = 100;

impl Stream {
    /// Each quantity with its value at a moment: readings are counted.
    pub fn at(
        &self,
        seed: u64,
        moment: u64,
    ) -> impl Iterator<Item = (&'static Quantity, Value)> + use<> {
        let (first, quantities) = (self.first, self.quantities);
        (first..)
            .zip(quantities)
            .map(move |(place, quantity)| (quantity, quantity.value(mixed(seed, place), moment)))
    }
}

/// Samples of a waveform, which is recorded in logs only.
const SAMPLES: u64 = 64;
/// Samples from one peak to the next.
const SAMPLES_PERIOD: u64 = 16;

/// The waveform that is recorded at a moment.
pub fn waveform(seed: u64, moment: u64) -> impl Iterator<Item = i64> {
    let chance = mixed(seed, moment);
    let height = 100 + (chance % 900) as i64;
    (0..SAMPLES).map(move |at| {
        let phase = (at + chance % SAMPLES_PERIOD) % SAMPLES_PERIOD;
        let rise = phase.min(SAMPLES_PERIOD - phase) as i64;
        let noise = (chance.rotate_right(at as u32) % 32) as i64;
        4 * rise * height / SAMPLES_PERIOD as i64 - height + noise
    })
}

impl Quantity {
    fn value(&self, seed: u64, moment: u64) -> Value {
        let chance = mixed(seed, moment);
        let number = match self.course {
            Course::Says(words) => {
                return Value::Word(words[(chance % words.len() as u64) as usize]);
            }
            Course::Counts(step) => {
                let start = (seed % 10_000_000) as i64;
                start + moment as i64 * step + (chance % step as u64) as i64
            }
            Course::Between(low, high) if self.sort == Sort::Flag || high - low < 10 => {
                low + (chance % (high - low + 1) as u64) as i64
            }
            Course::Between(low, high) => wave(seed, moment, chance, low, high),
            Course::Near(low, high, span) => {
                let own = low + (seed % (high - low) as u64) as i64;
                wave(seed, moment, chance, own - span, own + span)
            }
        };
        match self.sort {
            Sort::Flag => Value::Flag(number != 0),
            Sort::Float(_) if (chance >> 32).is_multiple_of(SILENT_ONE_IN) => Value::Null,
            _ => Value::Number(number),
        }
    }
}

/// Up in the first half of a period and down in the second, not quite evenly.
fn wave(seed: u64, moment: u64, chance: u64, low: i64, high: i64) -> i64 {
    let period = PERIOD_MIN + seed % (PERIOD_MAX - PERIOD_MIN);
    let phase = (moment % period + seed % period) % period;
    let height = phase.min(period - phase) as i64;
    let noise = (chance % 32) as i64 * (high - low) / 1600;
    (low + (high - low) * height * 2 / period as i64 + noise).clamp(low, high)
}

/// Two numbers as one in which every bit depends on all of them (splitmix64).
pub fn mixed(seed: u64, other: u64) -> u64 {
    let mut z = seed ^ other.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_their_range_and_counters_count() {
        for kind in &KINDS {
            let all = stream(kind.name, LOG).expect("every type has it");
            let mut last = vec![i64::MIN; all.quantities.len()];
            let mut silent = 0;
            for moment in (0..2000).map(|moment| moment * 16) {
                for (at, (quantity, value)) in all.at(7, moment).enumerate() {
                    match (&quantity.course, value) {
                        (Course::Between(low, high), Value::Number(number)) => {
                            assert!((*low..=*high).contains(&number), "{} {number}", quantity.name);
                        }
                        (Course::Counts(_), Value::Number(number)) => {
                            assert!(number >= last[at], "{} {number}", quantity.name);
                            last[at] = number;
                        }
                        (Course::Near(low, high, span), Value::Number(number)) => {
                            let range = low - span..=high + span;
                            assert!(range.contains(&number), "{} {number}", quantity.name);
                        }
                        (_, Value::Null) => silent += 1,
                        (_, Value::Flag(_) | Value::Word(_)) => {}
                        (Course::Says(_), Value::Number(_)) => unreachable!("words are said"),
                    }
                }
            }
            let floats = all.quantities.iter().filter(|one| matches!(one.sort, Sort::Float(_)));
            assert_eq!(silent > 0, floats.count() > 0, "{}", kind.name);
        }
    }

    #[test]
    fn a_stream_is_a_part_of_its_device() {
        let whole: Vec<_> = stream("meter", LOG).expect("it is there").at(7, 9).collect();
        let part: Vec<_> = stream("meter", "voltage").expect("it is there").at(7, 9).collect();
        let values = |all: &[(&Quantity, Value)]| all.iter().map(|(_, value)| *value).collect();
        let (whole, part): (Vec<Value>, Vec<Value>) = (values(&whole), values(&part));
        assert_eq!(whole[2..6], part[..]);
        assert!(stream("meter", "position").is_none() && stream("boat", LOG).is_none());
    }
}
