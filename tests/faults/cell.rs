//! One cell of the table: a fault, or two at once, against a rig of its own, from the first message to the verdict.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cells;
use crate::rig::Rig;
use crate::setting::{Setting, Soak};

/// Something that breaks.
pub struct Fault {
    pub name: &'static str,
    /// What is broken, and how, for the table.
    pub about: &'static str,
    /// What the rig needs for it.
    pub setting: fn(&mut Setting),
    /// Breaks it for a while, and leaves everything whole.
    pub run: fn(&Rig, &mut Draw),
    pub expects: Expects,
}

/// What has to hold meanwhile, or may happen, beside what always holds.
#[derive(Clone, Copy)]
pub struct Expects {
    /// New clients get their PUBACK as quickly as their CONNACK.
    pub pubacks: bool,
    /// New clients may be turned away, and are counted: there is no place for them.
    pub turned_away: bool,
    /// A word that `/readyz` says of what is degraded meanwhile.
    pub degraded: Option<&'static str>,
    /// Devices may be told that a message can never land: there is a dead letter of each.
    pub dead_letters: bool,
}

impl Expects {
    /// What always holds, and no more.
    pub const NOTHING: Expects =
        Expects { pubacks: false, turned_away: false, degraded: None, dead_letters: false };
}

/// A cell by its name.
pub struct Cell {
    pub name: String,
    pub faults: Vec<&'static Fault>,
}

/// What joins the names of two faults at once.
const BOTH: char = '+';

impl Cell {
    /// A fault's name, or two of them with `+` between.
    pub fn named(name: &str) -> Result<Cell, String> {
        let find = |part: &str| {
            let found = cells::all().find(|fault| fault.name == part);
            found.ok_or_else(|| format!("there is no cell {part}: `faults list` names them"))
        };
        let faults: Vec<&Fault> = name.split(BOTH).map(find).collect::<Result<_, _>>()?;
        let cell = Cell { name: name.to_owned(), faults };
        match &cell.faults[..] {
            [_] => Ok(cell),
            [one, other]
                if one.name != other.name
                    && Setting::of(&[one, other], Soak::default()).is_some() =>
            {
                Ok(cell)
            }
            [_, _] => Err(format!("{name}: the two need different rigs, or the same part of one")),
            _ => Err(format!("{name}: one fault, or two")),
        }
    }

    /// Two faults that can stand on one rig, by the seed.
    pub fn drawn(draw: &mut Draw) -> Cell {
        const TRIES: usize = 1000;
        let all: Vec<&Fault> = cells::all().collect();
        for _ in 0..TRIES {
            let name = format!("{}{BOTH}{}", draw.pick(&all).name, draw.pick(&all).name);
            if let Ok(cell) = Cell::named(&name) {
                return cell;
            }
        }
        panic!("no two of {} faults go together", all.len())
    }

    /// What has to hold of each of its faults, and may happen for any.
    pub fn expects(&self) -> Expects {
        let each = || self.faults.iter().map(|fault| fault.expects);
        let alone = self.faults.len() == 1;
        Expects {
            pubacks: each().all(|expects| expects.pubacks),
            turned_away: each().any(|expects| expects.turned_away),
            degraded: each().find_map(|expects| expects.degraded).filter(|_| alone),
            dead_letters: each().any(|expects| expects.dead_letters),
        }
    }

    /// It measures how long others wait, and wants the machine for itself.
    pub fn is_alone(&self) -> bool {
        let setting = Setting::of(&self.faults, Soak::default());
        setting.is_some_and(|setting| setting.brokers > 1)
    }

    pub fn about(&self) -> String {
        let abouts: Vec<&str> = self.faults.iter().map(|fault| fault.about).collect();
        abouts.join("; and ")
    }
}

/// What chance decides, by the seed.
pub struct Draw(StdRng);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(StdRng::seed_from_u64(seed))
    }

    /// One for each of several that draw at the same time.
    pub fn split(&mut self) -> Draw {
        Draw::new(self.0.random())
    }

    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// A length of time between the two, in milliseconds.
    pub fn pause(&mut self, shortest_ms: u64, longest_ms: u64) -> Duration {
        Duration::from_millis(self.0.random_range(shortest_ms..=longest_ms))
    }

    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.0.random_range(0..among.len())]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_found_and_wrong_ones_told() {
        let names: BTreeSet<&str> = cells::all().map(|fault| fault.name).collect();
        assert_eq!(names.len(), cells::all().count(), "two faults have one name");
        for name in names.into_iter().chain(cells::PAIRS) {
            assert_eq!(Cell::named(name).map(|cell| cell.name).as_deref(), Ok(name));
        }
        for (wrong, why) in [
            ("moon-falls", "no cell moon-falls"),
            ("storm+storm", "different rigs"),
            ("storm+kafka-killed+gateway-killed", "one fault, or two"),
            // What stands before Kafka is one thing.
            ("answers-lost+kafka-errors", "different rigs"),
            ("answers-lost+broker-killed", "different rigs"),
            // Both would end the same.
            ("store-killed+descriptors", "different rigs"),
            ("kafka-killed+kafka-paused", "different rigs"),
            ("retention+topic-deleted", "different rigs"),
        ] {
            let told = Cell::named(wrong).map(|cell| cell.name).expect_err(wrong);
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_seed_draws_pairs_that_go_together() {
        let drawn = |seed| Cell::drawn(&mut Draw::new(seed)).name;
        let all: BTreeSet<String> = (0..50).map(drawn).collect();
        assert!(all.len() > 30, "{all:?}");
        assert_eq!(drawn(7), drawn(7));
    }
}
