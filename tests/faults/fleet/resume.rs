//! What an earlier process of a fleet left in the books: how far each device came, and what it had open.

use std::collections::BTreeMap;
use std::path::Path;

use super::character::Character;
use super::message::Message;
use super::pen::Pen;
use crate::books::{self, Line};

/// What one device left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub last_seq: u64,
    /// Messages without an answer, in their order.
    pub open: Vec<Message>,
}

/// What is left of all, by device.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// Processes that wrote before.
    pub runs: u32,
    pub devices: BTreeMap<String, Left>,
}

/// Takes up what the books say, cuts off a torn line, and has the devices that forget say so.
pub fn take_up(
    path: &Path,
    pen: &Pen,
    seed: u64,
    fleet: &[Character],
    now_ms: u64,
) -> Result<Estate, String> {
    let mut estate = Estate::default();
    let whole = books::read(path, |line| estate.add(line, seed, fleet.len()))?;
    pen.cut_off(whole)?;
    let mut lines = String::new();
    for device in fleet.iter().filter(|device| !device.has_outbox) {
        let Some(left) = estate.devices.get_mut(&device.name) else { continue };
        for Message { seq, .. } in left.open.drain(..) {
            let (device, why) = (device.name.as_str(), "forgotten");
            lines += &format!("{}\n", Line::GivenUp { device, seq, at: now_ms, why });
        }
    }
    pen.write(&lines)?;
    Ok(estate)
}

impl Estate {
    fn add(&mut self, line: Line<'_>, own_seed: u64, own_devices: usize) -> Result<(), String> {
        match line {
            Line::Run { run, seed, devices, .. } => {
                if (seed, devices) != (own_seed, own_devices) {
                    return Err(format!(
                        "they are of seed {seed} and {devices} devices: go on with those, or with other books"
                    ));
                }
                self.runs = run;
            }
            Line::Invoked { device, seq, qos, size, topic, .. } => {
                let left = self.devices.entry(device.to_owned()).or_default();
                left.last_seq = seq;
                if qos > 0 {
                    left.open.push(Message { seq, qos, size, topic: topic.to_owned() });
                }
            }
            Line::Acknowledged { device, seq, .. }
            | Line::Negative { device, seq, .. }
            | Line::GivenUp { device, seq, .. } => {
                if let Some(left) = self.devices.get_mut(device) {
                    left.open.retain(|message| message.seq != seq);
                }
            }
            Line::Connected { .. }
            | Line::Disconnected { .. }
            | Line::SentAgain { .. }
            | Line::Fault { .. }
            | Line::Ended { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Books, Fate, Sha256};

    const SEED: u64 = 3;
    const DEVICES: usize = 40;

    /// Each device had three open; one of them was answered, and the last line was torn.
    #[test]
    fn what_was_open_is_taken_up_or_said_to_be_forgotten() {
        let fleet: Vec<_> = (0..DEVICES).map(|number| Character::of(SEED, number, false)).collect();
        let path = std::env::temp_dir().join(format!("landfall-resume-{}", std::process::id()));
        let pen = Pen::open(&path).expect("the folder for temporary files can be written");
        let write = |line: Line<'_>| pen.line(line).expect("there is room");
        write(Line::Run { run: 1, seed: SEED, devices: DEVICES, pid: 1, at: 1 });
        let message =
            |seq| Message { seq, qos: 1 + (seq % 2) as u8, size: 60, topic: "a/b".to_owned() };
        for device in &fleet {
            let device = device.name.as_str();
            for Message { seq, qos, size, topic } in [message(1), message(2), message(3)] {
                let (sha256, topic) = (Sha256([0; 32]), topic.as_str());
                write(Line::Invoked { device, seq, qos, size, sha256, topic, at: 2 });
            }
            let (sha256, topic) = (Sha256([0; 32]), "a/b");
            write(Line::Invoked { device, seq: 4, qos: 0, size: 60, sha256, topic, at: 3 });
            write(Line::Acknowledged { device, seq: 2, at: 4, code: 0 });
        }
        pen.write("o meter-0000 3 5").expect("there is room");

        let estate = take_up(&path, &pen, SEED, &fleet, 6).expect("the books are good");
        assert_eq!(estate.runs, 1);
        let books = Books::read(&path).expect("the torn line is gone");
        for device in &fleet {
            let open = match device.has_outbox {
                true => vec![message(1), message(3)],
                false => Vec::new(),
            };
            assert_eq!(estate.devices[&device.name], Left { last_seq: 4, open });
            let forgotten = Fate::GivenUp { at: 6, why: "forgotten".to_owned() };
            for seq in [1, 3] {
                let fate = books.message(&device.name, seq).expect("it was sent").fate.clone();
                assert_eq!(fate, (!device.has_outbox).then(|| forgotten.clone()));
            }
        }
        assert!(fleet.iter().any(|device| !device.has_outbox), "some devices forget");

        // The next process has nothing to forget, and another fleet does not go on with these books.
        let size = std::fs::metadata(&path).expect("it is there").len();
        take_up(&path, &pen, SEED, &fleet, 7).expect("the books are good");
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), size);
        let error = take_up(&path, &pen, SEED + 1, &fleet, 8).expect_err("another seed");
        assert!(error.contains("line 1: they are of seed 3 and 40 devices"), "{error}");
        std::fs::remove_file(path).expect("it was written");
    }
}
