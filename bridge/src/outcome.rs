//! What became of a message, and why not what was wanted.

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable in its lane.
    Landed,
    /// It can never land in its lane; it is durable in the dead-letter lane.
    DeadLettered(Fault),
    /// Nothing is known to be durable: the device has to send it again.
    Failed,
}

/// Why a message can never land in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing routes its topic, or the Kafka topic it asks for is illegal or unlisted.
    Topic,
    /// Its payload is not what its route declares.
    Payload,
    /// It is larger than its lane or Kafka takes.
    Size,
    /// Kafka refused the record for good.
    Record,
}

/// Why a message was turned away before it had a receipt: it has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// QoS 0 beyond the lane's share of memory.
    Shed,
    /// Larger than anything Landfall may land.
    TooLarge,
    /// No route takes its topic, and `unrouted: refuse`.
    Unrouted,
    /// Its sender may not publish to its topic.
    NotAuthorized,
}

impl Refusal {
    /// All of them, in the order of their counters.
    pub const ALL: [Refusal; 4] =
        [Refusal::Shed, Refusal::TooLarge, Refusal::Unrouted, Refusal::NotAuthorized];

    /// What says so to people.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Shed => "there is no room for it in its lane",
            Refusal::TooLarge => "larger than anything that can be taken: the connection ends",
            Refusal::Unrouted => "no route matches the topic",
            Refusal::NotAuthorized => "its sender may not publish to its topic",
        }
    }

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Refusal::Shed => "shed",
            Refusal::TooLarge => "too_large",
            Refusal::Unrouted => "unrouted",
            Refusal::NotAuthorized => "not_authorized",
        }
    }
}
