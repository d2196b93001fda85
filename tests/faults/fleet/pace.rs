//! When a device has something to say: steadily, in floods, and large uploads of cameras now and then. What it
//! cannot send meanwhile waits, up to a limit. Time is an argument. Pure.

use std::time::Duration;

use super::character::Character;
use super::draw::Draw;

/// Messages that wait in a device for their first sending; what more there is, it does not keep.
const WAITING_MAX: u32 = 200;
/// Messages of a flood.
const FLOOD: (u64, u64) = (100, 200);
/// A flood comes at least this often, however slow the fleet is, and the first one soon.
const FLOOD_PAUSE_MAX: Duration = Duration::from_secs(30);
const FIRST_FLOOD_MAX: Duration = Duration::from_secs(10);
/// The steady ones have at least this share of the rate.
const STEADY_SHARE_MIN: f64 = 0.5;
/// Between two uploads of a camera.
const UPLOAD_PAUSE_MS: (u64, u64) = (1_500, 5_000);
/// The slowest that a device is, as a fleet that publishes nothing is paused.
const RATE_MIN: f64 = 0.001;

/// What a device has of the whole fleet's rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of each steady device, in messages per second.
    pub steady: f64,
    /// Between two floods of a device.
    pub flood_pause: Duration,
}

impl Rates {
    /// Of so many messages per second of all devices; the others are those that flood.
    pub fn of(rate: f64, steady: usize, flooding: usize) -> Rates {
        let rate = rate.max(RATE_MIN);
        let devices = (steady + flooding).max(1) as f64;
        let size = (FLOOD.0 + FLOOD.1) as f64 / 2.0;
        let flood_pause = Duration::from_secs_f64(size * devices / rate).min(FLOOD_PAUSE_MAX);
        let floods = flooding as f64 * size / flood_pause.as_secs_f64();
        let left = (rate - floods).max(rate * STEADY_SHARE_MIN);
        Rates { steady: left / steady.max(1) as f64, flood_pause }
    }
}

/// What one device has to say.
pub struct Pace {
    draw: Draw,
    floods: bool,
    is_camera: bool,
    rates: Rates,
    next: Duration,
    next_upload: Duration,
    waiting: u32,
    uploads: u32,
}

impl Pace {
    pub fn new(device: &Character, mut draw: Draw, rates: Rates, now: Duration) -> Pace {
        let first = match device.floods {
            true => FIRST_FLOOD_MAX.min(rates.flood_pause),
            false => Duration::from_secs_f64(1.0 / rates.steady),
        };
        let next = now + first.mul_f64(draw.share());
        let next_upload = now + Duration::from_millis(draw.below(UPLOAD_PAUSE_MS.0));
        let (floods, is_camera) = (device.floods, device.is_camera);
        Pace { draw, floods, is_camera, rates, next, next_upload, waiting: 0, uploads: 0 }
    }

    /// Time has come on.
    pub fn advance(&mut self, now: Duration) {
        while self.next <= now {
            let (more, pause) = match self.floods {
                true => (self.draw.between(FLOOD.0, FLOOD.1) as u32, self.rates.flood_pause),
                false => (1, Duration::from_secs_f64(1.0 / self.rates.steady)),
            };
            self.waiting = (self.waiting + more).min(WAITING_MAX);
            self.next += pause.mul_f64(0.5 + self.draw.share());
            if self.waiting == WAITING_MAX {
                self.next = self.next.max(now + pause);
            }
        }
        if self.is_camera && self.next_upload <= now {
            let (least, most) = UPLOAD_PAUSE_MS;
            self.uploads = 1;
            self.next_upload = now + Duration::from_millis(self.draw.between(least, most));
        }
    }

    /// Nothing is said for now; what waited is dropped.
    pub fn hold(&mut self, now: Duration) {
        (self.waiting, self.uploads) = (0, 0);
        self.next = self.next.max(now);
        self.next_upload = self.next_upload.max(now);
    }

    /// The fleet is to be faster, or slower.
    pub fn set(&mut self, rates: Rates, now: Duration) {
        if self.rates == rates {
            return;
        }
        self.rates = rates;
        let pause = match self.floods {
            true => rates.flood_pause,
            false => Duration::from_secs_f64(1.0 / rates.steady),
        };
        self.next = now + pause.mul_f64(self.draw.share());
    }

    /// Whether something waits, and whether it is an upload.
    pub fn waiting(&self) -> Option<bool> {
        (self.uploads > 0).then_some(true).or((self.waiting > 0).then_some(false))
    }

    /// What waited was sent.
    pub fn sent(&mut self) {
        if self.uploads > 0 { self.uploads -= 1 } else { self.waiting -= 1 }
    }

    /// When there will be more.
    pub fn wakes_at(&self) -> Duration {
        if self.is_camera { self.next.min(self.next_upload) } else { self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 5;

    /// Messages that a fleet of so many devices has in a minute.
    fn in_a_minute(devices: usize, rate: f64) -> usize {
        let all: Vec<_> = (0..devices).map(|number| Character::of(SEED, number, false)).collect();
        let flooding = all.iter().filter(|one| one.floods).count();
        let rates = Rates::of(rate, devices - flooding, flooding);
        let mut said = 0;
        for (number, device) in all.iter().enumerate() {
            let mut pace =
                Pace::new(device, Draw::of(&[SEED, number as u64]), rates, Duration::ZERO);
            for ms in 0..60_000 / 50 {
                pace.advance(Duration::from_millis(ms * 50));
                while pace.waiting().is_some() {
                    pace.sent();
                    said += 1;
                }
            }
        }
        said
    }

    #[test]
    fn a_fleet_says_about_as_much_as_it_was_told() {
        for (devices, rate) in [(200, 1000.0), (200, 400.0), (20, 50.0)] {
            let (said, told) = (in_a_minute(devices, rate), 60.0 * rate);
            let share = said as f64 / told;
            assert!((0.6..1.6).contains(&share), "{devices} devices said {said}, not {told}");
        }
    }

    #[test]
    fn what_waits_is_bounded_and_holds_nobody_up() {
        let device = Character { floods: false, ..Character::of(SEED, 1, false) };
        let rates = Rates { steady: 1000.0, flood_pause: FLOOD_PAUSE_MAX };
        let mut pace = Pace::new(&device, Draw::of(&[SEED]), rates, Duration::ZERO);
        let hour = Duration::from_secs(3600);
        pace.advance(hour);
        assert_eq!(pace.waiting, WAITING_MAX);
        assert!(pace.wakes_at() >= hour, "it does not look back");
        pace.hold(hour);
        assert_eq!(pace.waiting(), None);
        pace.advance(hour + Duration::from_millis(100));
        assert!((50..=200).contains(&pace.waiting), "{} wait", pace.waiting);

        let device = Character { floods: true, ..device };
        let mut pace = Pace::new(&device, Draw::of(&[SEED]), rates, Duration::ZERO);
        pace.advance(hour);
        assert_eq!(pace.waiting, WAITING_MAX, "of many floods");
    }

    #[test]
    fn a_camera_uploads_now_and_then() {
        let device = Character::of(SEED, 0, true);
        let rates = Rates { steady: RATE_MIN, flood_pause: FLOOD_PAUSE_MAX };
        let mut pace = Pace::new(&device, Draw::of(&[SEED]), rates, Duration::ZERO);
        let mut uploads = 0;
        for ms in 0..60_000 / 50 {
            pace.advance(Duration::from_millis(ms * 50));
            if pace.waiting() == Some(true) {
                pace.sent();
                uploads += 1;
            }
        }
        assert!((12..=41).contains(&uploads), "{uploads} uploads in a minute");
    }
}
