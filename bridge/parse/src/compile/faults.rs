//! What is wrong with what is written, all of it at once: each with its place.

use std::fmt;

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys that lead to it, such as `fields.temperature.type`.
    pub place: String,
    /// What is wrong, and what to write instead.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)
    }
}

/// Faults as they are found.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    /// The place that is looked at.
    place: String,
}

/// The place of a key, or of an element such as `[0]`, under another.
pub fn join(place: &str, key: &str) -> String {
    match key {
        "" => place.to_owned(),
        _ if place.is_empty() => key.to_owned(),
        _ if key.starts_with('[') => format!("{place}{key}"),
        _ => format!("{place}.{key}"),
    }
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn all(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    pub fn add(&mut self, key: &str, text: &str) {
        self.faults.push(Fault { place: join(&self.place, key), text: text.to_owned() });
    }

    /// Takes what is right, and notes what is wrong.
    pub fn take<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.add(key, &text)).ok()
    }

    /// Looks at something under a key.
    pub fn within<T>(&mut self, key: &str, look: impl FnOnce(&mut Faults) -> T) -> T {
        let place = join(&self.place, key);
        let outer = std::mem::replace(&mut self.place, place);
        let seen = look(self);
        self.place = outer;
        seen
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(written) = written else { return default };
        match choices.iter().find(|(word, _)| *word == written) {
            Some((_, choice)) => *choice,
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                self.add(key, &format!("{written:?} is not known: write {}", words.join(" or ")));
                default
            }
        }
    }
}
