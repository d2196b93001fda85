//! A message of a device: what it is like and its payload, both functions of the seed, the device and its
//! number, so that nothing of it has to be kept for sending it again. Pure.

use std::io::Write as _;

use super::character::Character;
use super::draw::Draw;

const SMALL: (u64, u64) = (60, 400);
const MIDDLE: (u64, u64) = (2_000, 60_000);
/// What cameras upload.
const LARGE: (u64, u64) = (600_000, 2_000_000);
const HUGE: usize = 9_000_000;
/// How often, in percent.
const QOS_0: u64 = 20;
const QOS_1: u64 = 55;
const MIDDLE_SHARE: u64 = 3;
const HUGE_OF_LARGE: u64 = 12;
const ALARMS: u64 = 5;
/// Streams of a device; the first is that of its alarms.
pub const STREAMS: [&str; 4] = ["alarm", "power", "state", "log"];
/// The stream of uploads.
const UPLOADS: &str = "image";
/// What a draw is for.
const KIND: u64 = 0x6b69_6e64;
const FILLER: u64 = 0x6669_6c6c;
const NOISE: u64 = 0x6e6f_6973;
/// Bytes of noise that fillers are pieces of, and the longest piece.
const NOISE_SIZE: usize = 128 * 1024;
const PIECE: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub seq: u64,
    pub qos: u8,
    pub size: usize,
    pub topic: String,
}

impl Message {
    pub fn of(seed: u64, device: &Character, seq: u64, large: bool) -> Message {
        let mut draw = Draw::of(&[KIND, seed, device.number as u64, seq]);
        let between = |draw: &mut Draw, (least, most)| draw.between(least, most) as usize;
        if large {
            let size = match draw.percent(HUGE_OF_LARGE) {
                true => HUGE,
                false => between(&mut draw, LARGE),
            };
            let qos = if draw.percent(75) { 1 } else { 2 };
            return Message { seq, qos, size, topic: topic(device, UPLOADS) };
        }
        let qos = match draw.below(100) {
            at if at < QOS_0 => 0,
            at if at < QOS_0 + QOS_1 => 1,
            _ => 2,
        };
        let range = if draw.percent(MIDDLE_SHARE) { MIDDLE } else { SMALL };
        let size = between(&mut draw, range);
        let stream = match draw.percent(ALARMS) {
            true => STREAMS[0],
            false => STREAMS[1 + draw.below(STREAMS.len() as u64 - 1) as usize],
        };
        Message { seq, qos, size, topic: topic(device, stream) }
    }
}

fn topic(device: &Character, stream: &str) -> String {
    format!("devices/{}/{}/{stream}", device.device_type, device.name)
}

/// What payloads are made of.
pub struct Payloads {
    seed: u64,
    noise: Vec<u8>,
}

impl Payloads {
    pub fn new(seed: u64) -> Payloads {
        let mut draw = Draw::of(&[NOISE, seed]);
        let noise = (0..NOISE_SIZE / 8).flat_map(|_| draw.number().to_le_bytes()).collect();
        Payloads { seed, noise }
    }

    /// `DEVICE SEQ SIZE` in its first line, and then pieces of noise, each behind a number that only this
    /// message has there.
    pub fn make(&self, device: &Character, message: &Message) -> Vec<u8> {
        let Message { seq, size, .. } = *message;
        let mut draw = Draw::of(&[FILLER, self.seed, device.number as u64, seq, size as u64]);
        let mut payload = Vec::with_capacity(size);
        writeln!(payload, "{} {seq} {size}", device.name).expect("a vector takes everything");
        assert!(payload.len() < size, "the smallest payload holds the longest first line");
        while payload.len() < size {
            let number = draw.number();
            let from = draw.below((NOISE_SIZE - PIECE) as u64) as usize;
            payload.extend(&number.to_le_bytes()[..(size - payload.len()).min(8)]);
            let piece = (size - payload.len()).min(PIECE);
            payload.extend_from_slice(&self.noise[from..from + piece]);
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::books::Sha256;

    const SEED: u64 = 7;

    #[test]
    fn a_payload_is_its_own_and_the_same_each_time() {
        let device = Character::of(SEED, 3, false);
        let mut hashes = BTreeSet::new();
        for (seq, large) in (1..200).map(|seq| (seq, false)).chain([(200, true)]) {
            let message = Message::of(SEED, &device, seq, large);
            let payload = Payloads::new(SEED).make(&device, &message);
            assert_eq!(payload.len(), message.size);
            let head = format!("{} {seq} {}\n", device.name, message.size);
            assert!(payload.starts_with(head.as_bytes()), "{message:?}");
            assert_eq!(payload, Payloads::new(SEED).make(&device, &message));
            assert!(hashes.insert(Sha256::of(&payload)), "{message:?} has another one's hash");
        }
    }

    /// What was mixed up of two messages of one size has the hash of neither, wherever it was cut.
    #[test]
    fn every_piece_of_a_payload_is_its_own() {
        let device = Character::of(SEED, 0, true);
        let of = |seq| Message { seq, qos: 1, size: 1_000_000, topic: String::new() };
        let payloads = Payloads::new(SEED);
        let (one, other) = (payloads.make(&device, &of(11)), payloads.make(&device, &of(12)));
        for (one, other) in one.chunks(PIECE + 8).zip(other.chunks(PIECE + 8)) {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_shares_of_qos_sizes_and_alarms_are_as_written() {
        let device = Character::of(SEED, 0, true);
        let all: Vec<_> = (1..=10_000).map(|seq| Message::of(SEED, &device, seq, false)).collect();
        let share = |is: fn(&Message) -> bool| all.iter().filter(|one| is(one)).count();
        for (what, count, expected) in [
            ("QoS 0", share(|one| one.qos == 0), 2_000),
            ("QoS 1", share(|one| one.qos == 1), 5_500),
            ("QoS 2", share(|one| one.qos == 2), 2_500),
            ("middle sizes", share(|one| one.size >= 2_000), 300),
            ("alarms", share(|one| one.topic.ends_with("/alarm")), 500),
        ] {
            assert!(count.abs_diff(expected) <= expected / 4, "{count} of {what}");
        }
        assert!(all.iter().all(|one| (60..=60_000).contains(&one.size)));
        let large = (1..=500).map(|seq| Message::of(SEED, &device, seq, true).size);
        assert!(large.clone().all(|size| size >= 600_000));
        assert!(
            (30..90).contains(&large.filter(|size| *size == HUGE).count()),
            "huge ones are one in eight"
        );
    }
}
