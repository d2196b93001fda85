//! What a device is like, as real clients differ: its version, what it keeps of a session, how patient it is.
//! A function of the seed and its number. Pure.

use std::time::Duration;

use ::tests::mqtt::Version;

use super::draw::Draw;

/// The windows of real clients, in messages.
const WINDOWS: [usize; 3] = [1, 4, 20];
const KEEP_ALIVE_SECONDS: (u64, u64) = (15, 60);
/// How long the impatient wait for a PUBACK, and for a PINGRESP.
const PUBACK_PATIENCE_SECONDS: (u64, u64) = (20, 30);
const PINGRESP_PATIENCE: Duration = Duration::from_secs(5);
/// When esp-mqtt and its like send again what has no PUBACK.
const REPEAT_SECONDS: (u64, u64) = (3, 8);
/// One device of so many uploads large messages, where any does.
const CAMERA_ONE_OF: usize = 6;
const TYPES: [&str; 3] = ["meter", "pump", "tracker"];
/// What a draw is for, so that draws for other things are others.
const DRAWN: u64 = 0x6368_6172;

/// What a client keeps when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Packet ids and what stands open under them: it sends that again as the same packets.
    Kept,
    /// Nothing but the messages, which it sends as new packets.
    Fresh,
}

#[derive(Clone, Debug)]
pub struct Character {
    pub number: usize,
    pub name: String,
    pub device_type: &'static str,
    pub version: Version,
    pub session: Session,
    /// Messages that it has open at once.
    pub window: usize,
    pub keep_alive: Duration,
    /// Sends again on the same connection what has no answer for so long.
    pub repeats_after: Option<Duration>,
    /// Gives the connection up when a message has no answer for so long.
    pub puback_patience: Option<Duration>,
    pub pingresp_patience: Duration,
    /// Remembers what is open when its process is killed.
    pub has_outbox: bool,
    /// Silent for long, and then all at once.
    pub floods: bool,
    /// Uploads large messages too.
    pub is_camera: bool,
}

impl Character {
    pub fn of(seed: u64, number: usize, large: bool) -> Character {
        let mut draw = Draw::of(&[DRAWN, seed, number as u64]);
        let is_camera = large && number.is_multiple_of(CAMERA_ONE_OF);
        let device_type = match is_camera {
            true => "camera",
            false => TYPES[draw.below(TYPES.len() as u64) as usize],
        };
        let version = match draw.below(100) {
            0..5 => Version::V31,
            5..50 => Version::V311,
            _ => Version::V5,
        };
        // Most v3.1.1 clients that publish in earnest keep their session; MQTT 5 is held to begin anew.
        let keeps = version != Version::V5 && draw.percent(75);
        let seconds = |draw: &mut Draw, (least, most)| draw.between(least, most);
        let keep_alive = Duration::from_secs(seconds(&mut draw, KEEP_ALIVE_SECONDS));
        let repeats = Duration::from_millis(1000 * seconds(&mut draw, REPEAT_SECONDS));
        let patience = Duration::from_secs(seconds(&mut draw, PUBACK_PATIENCE_SECONDS));
        Character {
            number,
            name: format!("{device_type}-{number:04}"),
            device_type,
            version,
            session: if keeps { Session::Kept } else { Session::Fresh },
            window: WINDOWS[draw.below(WINDOWS.len() as u64) as usize],
            keep_alive,
            repeats_after: (draw.percent(33) && !is_camera).then_some(repeats),
            puback_patience: draw.percent(40).then_some(patience),
            pingresp_patience: if draw.percent(50) { PINGRESP_PATIENCE } else { keep_alive },
            has_outbox: draw.percent(80),
            floods: draw.percent(10) && !is_camera,
            is_camera,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the seed is, a fleet is made of all of them.
    #[test]
    fn a_fleet_has_every_kind_of_device() {
        for seed in 0..20 {
            let fleet: Vec<_> = (0..200).map(|number| Character::of(seed, number, true)).collect();
            let share = |is: fn(&Character) -> bool| fleet.iter().filter(|one| is(one)).count();
            for (what, count, least, most) in [
                ("v5", share(|one| one.version == Version::V5), 70, 130),
                ("v3.1.1", share(|one| one.version == Version::V311), 60, 120),
                ("v3.1", share(|one| one.version == Version::V31), 1, 25),
                ("kept sessions", share(|one| one.session == Session::Kept), 45, 105),
                ("windows of one", share(|one| one.window == 1), 40, 95),
                ("those that repeat", share(|one| one.repeats_after.is_some()), 35, 95),
                ("the impatient", share(|one| one.puback_patience.is_some()), 50, 110),
                ("the forgetful", share(|one| !one.has_outbox), 20, 65),
                ("floods", share(|one| one.floods), 6, 40),
                ("cameras", share(|one| one.is_camera), 34, 34),
            ] {
                assert!((least..=most).contains(&count), "seed {seed}: {count} of {what}");
            }
            assert!(
                fleet.iter().all(|one| one.version != Version::V5 || one.session == Session::Fresh)
            );
            // The longest client id that MQTT 3.1 takes.
            assert!(fleet.iter().all(|one| one.name.len() <= 23));
        }
    }
}
