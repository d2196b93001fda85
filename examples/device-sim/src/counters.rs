//! What the fleet did, counted: for each device type with each firmware, and what was notable.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::fleet::{Device, Version};
use crate::happenings::{Happening, Happenings};
use crate::latency::{Counts, Histogram};

/// Different reasons of refusals that are told apart; the rest is counted as [`OTHER_REASON`].
const REASONS_MAX: usize = 32;
const OTHER_REASON: &str = "other reasons";

/// What devices have in common: their type and firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub kind: &'static str,
    pub firmware: &'static str,
    pub version: Version,
}

/// The devices of one profile.
pub struct Tally {
    profile: Profile,
    devices: AtomicU64,
    pub connected: AtomicI64,
    pub connections: AtomicU64,
    /// Connections that the gateway did not let in.
    pub turned_away: AtomicU64,
    /// Messages handed to the network, resends included.
    pub sent: AtomicU64,
    /// Those of them that are never acknowledged.
    pub sent_at_qos_0: AtomicU64,
    pub resent: AtomicU64,
    pub acknowledged: AtomicU64,
    /// Those of them with a code that refuses.
    pub refused: AtomicU64,
    /// Messages that devices keep.
    pub outstanding: AtomicI64,
    /// From the last time that a message was handed to the network until it was acknowledged.
    pub latency: Histogram,
}

/// What a [`Tally`] has at some time, or several of them together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    pub devices: u64,
    pub connected: i64,
    pub connections: u64,
    pub turned_away: u64,
    pub sent: u64,
    pub sent_at_qos_0: u64,
    pub resent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub outstanding: i64,
    pub latency: Counts,
}

/// See the module.
pub struct Counters {
    began: Instant,
    /// By type and firmware.
    tallies: BTreeMap<(&'static str, &'static str), Arc<Tally>>,
    /// Hostile devices: how often they were turned away, and how many got in.
    pub hostile_turned_away: AtomicU64,
    pub hostile_got_in: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    happenings: Happenings,
    turned_away: BTreeMap<String, u64>,
    refused: BTreeMap<u8, u64>,
    /// Why the last connection of the fleet that failed did so, for people.
    last_trouble: Option<String>,
}

impl Counters {
    pub fn of<'d>(fleet: impl Iterator<Item = &'d Device>) -> Counters {
        let mut tallies: BTreeMap<_, Arc<Tally>> = BTreeMap::new();
        for device in fleet {
            let tally = tallies
                .entry((device.kind, device.firmware))
                .or_insert_with(|| Arc::new(Tally::of(device)));
            tally.devices.fetch_add(1, Ordering::Relaxed);
        }
        Counters {
            began: Instant::now(),
            tallies,
            hostile_turned_away: AtomicU64::new(0),
            hostile_got_in: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// Where a device of the fleet counts.
    pub fn tally(&self, device: &Device) -> Arc<Tally> {
        let tally = self.tallies.get(&(device.kind, device.firmware));
        Arc::clone(tally.expect("the counters are made of the fleet"))
    }

    /// Since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// By type and firmware, in order.
    pub fn profiles(&self) -> Vec<(Profile, Sums)> {
        self.tallies.values().map(|tally| (tally.profile, tally.sums())).collect()
    }

    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.tallies.values().for_each(|tally| total.add(&tally.sums()));
        total
    }

    /// Something that a person wants to know, of one device or of all.
    pub fn note(&self, text: &str, device: Option<&str>) {
        self.told().happenings.note(self.elapsed(), text, device);
    }

    /// A device's connection has failed.
    pub fn note_trouble(&self, text: &str, device: &str) {
        let mut told = self.told();
        told.happenings.note(self.elapsed(), text, Some(device));
        told.last_trouble = Some(format!("{device}: {text}"));
    }

    pub fn note_turned_away(&self, why: &str) {
        let reasons = &mut self.told().turned_away;
        let known = reasons.contains_key(why) || reasons.len() < REASONS_MAX;
        let reason = if known { why } else { OTHER_REASON };
        *reasons.entry(reason.to_owned()).or_default() += 1;
    }

    pub fn note_refused(&self, code: u8, device: &str) {
        let mut told = self.told();
        *told.refused.entry(code).or_default() += 1;
        let text = format!("a message was refused with code {code} ({code:#04x})");
        told.happenings.note(self.elapsed(), &text, Some(device));
    }

    /// The last notable ones, the newest first.
    pub fn happenings(&self) -> Vec<Happening> {
        self.told().happenings.newest().cloned().collect()
    }

    pub fn last_trouble(&self) -> Option<String> {
        self.told().last_trouble.clone()
    }

    /// How many connections were turned away, by what the gateway said.
    pub fn turned_away(&self) -> BTreeMap<String, u64> {
        self.told().turned_away.clone()
    }

    /// How many messages were refused, by MQTT 5's code.
    pub fn refused(&self) -> BTreeMap<u8, u64> {
        self.told().refused.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nothing panics under this lock")
    }
}

impl Tally {
    fn of(device: &Device) -> Tally {
        let Device { kind, firmware, version, .. } = *device;
        Tally {
            profile: Profile { kind, firmware, version },
            devices: AtomicU64::new(0),
            connected: AtomicI64::new(0),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sent_at_qos_0: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            outstanding: AtomicI64::new(0),
            latency: Histogram::default(),
        }
    }

    fn sums(&self) -> Sums {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Sums {
            devices: load(&self.devices),
            connected: self.connected.load(Ordering::Relaxed),
            connections: load(&self.connections),
            turned_away: load(&self.turned_away),
            sent: load(&self.sent),
            sent_at_qos_0: load(&self.sent_at_qos_0),
            resent: load(&self.resent),
            acknowledged: load(&self.acknowledged),
            refused: load(&self.refused),
            outstanding: self.outstanding.load(Ordering::Relaxed),
            latency: self.latency.counts(),
        }
    }
}

impl Sums {
    pub fn add(&mut self, other: &Sums) {
        self.devices += other.devices;
        self.connected += other.connected;
        self.connections += other.connections;
        self.turned_away += other.turned_away;
        self.sent += other.sent;
        self.sent_at_qos_0 += other.sent_at_qos_0;
        self.resent += other.resent;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.outstanding += other.outstanding;
        self.latency.add(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::fleet;

    #[test]
    fn profiles_add_up_to_the_fleet() {
        let fleet = fleet(1, 200, "sim-");
        let counters = Counters::of(fleet.iter());
        for device in &fleet {
            counters.tally(device).sent.fetch_add(2, Ordering::Relaxed);
        }
        let profiles = counters.profiles();
        assert!(
            profiles.len() > 8 && profiles.iter().all(|(_, sums)| sums.sent == 2 * sums.devices)
        );
        assert_eq!((counters.total().devices, counters.total().sent), (200, 400));
    }

    #[test]
    fn reasons_of_a_gateway_gone_mad_are_bounded() {
        let counters = Counters::of(std::iter::empty());
        for number in 0..100 {
            counters.note_turned_away(&format!("reason {number}"));
        }
        counters.note_turned_away("reason 0");
        let reasons = counters.turned_away();
        assert_eq!((reasons.len(), reasons.values().sum::<u64>()), (REASONS_MAX + 1, 101));
        assert_eq!((reasons["reason 0"], reasons[OTHER_REASON]), (2, 68));
    }
}
