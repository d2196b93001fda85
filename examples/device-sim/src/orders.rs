//! What the fleet is told: by the course of its run, and by whoever sits at the terminal. Pure.

use std::time::Duration;

/// How much faster a flood is, and how long it lasts.
pub const FLOOD_TIMES: u32 = 10;
pub const FLOOD: Duration = Duration::from_secs(10);

/// What the whole fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Devices have something to say.
    Talking,
    /// They say nothing new, and send until all is acknowledged.
    Settling,
    /// They end.
    Ended,
}

/// How fast devices talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Usual,
    /// They say nothing and publish nothing, and keep their connections.
    Stopped,
    /// [`FLOOD_TIMES`] as fast, each as far as its acknowledgements let it.
    Flood,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    pub stage: Stage,
    /// Of a fleet that talks; the others have the usual one.
    pub pace: Pace,
    /// How often all connections were cut: whoever has one from before drops it, without a goodbye.
    pub cuts: u64,
}

impl Orders {
    pub fn first() -> Orders {
        Orders { stage: Stage::Talking, pace: Pace::Usual, cuts: 0 }
    }

    /// The fleet falls silent, or ends; what was stopped goes on.
    pub fn enter(&mut self, stage: Stage) {
        (self.stage, self.pace) = (stage, Pace::Usual);
    }

    /// Devices have something new to say.
    pub fn lets_say(&self) -> bool {
        self.stage == Stage::Talking && self.pace != Pace::Stopped
    }

    /// Devices hand over what they keep.
    pub fn lets_publish(&self) -> bool {
        self.pace != Pace::Stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_fleet_gets_its_acknowledgements_in_the_end() {
        let mut orders = Orders::first();
        assert!(orders.lets_say() && orders.lets_publish());
        orders.pace = Pace::Stopped;
        assert!(!orders.lets_say() && !orders.lets_publish());
        orders.enter(Stage::Settling);
        assert!(!orders.lets_say() && orders.lets_publish());
    }
}
