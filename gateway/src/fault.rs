//! What is wrong in a configuration or in a file that it names: each fault at its place, and all of them at
//! once.

use std::fmt;

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Such as `lanes.fast.inline_size`.
    pub place: String,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// Everything wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push(Fault { place: place.into(), text: text.into() });
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { place, text }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{place}: {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
