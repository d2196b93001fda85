//! The verdict: numbers, and what was found, counted whole and with a few examples.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::times::Recovery;

/// Of each kind of finding.
const EXAMPLES_MAX: usize = 20;

#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    #[serde(flatten)]
    pub numbers: Numbers,
    pub doubles: Doubles,
    pub recovery: Option<Recovery>,
    pub findings: Findings,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    pub messages: usize,
    /// Every time that a message was sent.
    pub sendings: usize,
    pub acknowledged: usize,
    /// With a reason code that says so.
    pub refused: usize,
    /// Records, all of them.
    pub landed: usize,
    /// Records whose payload is in the object store.
    pub references: usize,
    pub dead_letters: usize,
    /// Acknowledged, and nowhere.
    pub lost: usize,
    /// Acknowledged, and deleted from Kafka on purpose.
    pub deleted: usize,
}

/// Records beyond the first of a message, by what explains them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Doubles {
    /// Its device sent it again.
    pub by_resend: usize,
    /// The gateway handed it over to Kafka again, and said so.
    pub by_gateway: usize,
    /// The gateway was killed before anybody could ask.
    pub by_kill: usize,
    /// More was handed over again than the gateway's list holds.
    pub by_overflow: usize,
    /// Nothing.
    pub unexplained: usize,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Lost,
    Foreign,
    Changed,
    Unresolved,
    Order,
    Scattered,
    Double,
    Refused,
    Protocol,
    Recovery,
}

impl Kind {
    /// What it says of so many.
    pub fn says(self) -> &'static str {
        match self {
            Kind::Lost => "acknowledged and nowhere",
            Kind::Foreign => "landed, and nobody sent it",
            Kind::Changed => "landed with another content than was sent",
            Kind::Unresolved => "a reference to an object that cannot be read",
            Kind::Order => "out of order",
            Kind::Scattered => "a device in more partitions than its topic had sizes",
            Kind::Double => "double, and nothing explains it",
            Kind::Refused => "refused, with neither a dead letter nor a leave to do so",
            Kind::Protocol => "sent to a device, and must not be",
            Kind::Recovery => "not answered again after the fault",
        }
    }
}

/// By kind: how many there are, and a few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings(BTreeMap<Kind, Found>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub count: usize,
    pub examples: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let found = self.0.entry(kind).or_default();
        found.count += 1;
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(example());
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.0.get(&kind).map_or(0, |found| found.count)
    }

    pub fn each(&self) -> impl Iterator<Item = (Kind, &Found)> {
        self.0.iter().map(|(kind, found)| (*kind, found))
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (kind, found) in self.each() {
            writeln!(f, "{} {}:", found.count, kind.says())?;
            for example in &found.examples {
                writeln!(f, "    {example}")?;
            }
            let more = found.count - found.examples.len();
            if more > 0 {
                writeln!(f, "    and {more} more")?;
            }
        }
        Ok(())
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Numbers { messages, sendings, acknowledged, refused, landed, .. } = self.numbers;
        let Numbers { references, dead_letters, lost, deleted, .. } = self.numbers;
        writeln!(
            f,
            "{messages} messages in {sendings} sendings: {acknowledged} acknowledged, {refused} refused"
        )?;
        writeln!(
            f,
            "{landed} records: {references} references, {dead_letters} dead letters; {lost} lost, {deleted} deleted"
        )?;
        let Doubles { by_resend, by_gateway, by_kill, by_overflow, unexplained } = self.doubles;
        writeln!(
            f,
            "doubles: {by_resend} by resends, {by_gateway} by the gateway, {by_kill} by kills, {by_overflow} by overflow, {unexplained} unexplained"
        )?;
        if let Some(Recovery {
            devices,
            worst_ms: Some(worst_ms),
            worst_device: Some(device),
            ..
        }) = &self.recovery
        {
            writeln!(f, "recovery: {worst_ms} ms ({device}), of {devices} devices")?;
        }
        write!(f, "{}", self.findings)
    }
}
