//! What Kafka says of a topic that a lane has to know before it hands a record over.

/// The partitions of a topic and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub partitions: u32,
    /// Those without a leader, in their order.
    pub leaderless: Vec<u32>,
    /// Bytes of the largest batch; None while Kafka has not told it.
    pub max_message_bytes: Option<u32>,
    /// None while Kafka has not told them, and where the topic writes timestamps of its own
    /// (`message.timestamp.type=LogAppendTime`).
    pub times: Option<TimeLimits>,
}

/// How far a record's own timestamp may be from the broker's clock, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Earlier by so much (`message.timestamp.before.max.ms`).
    pub before_max_ms: i64,
    /// Later by so much (`message.timestamp.after.max.ms`).
    pub after_max_ms: i64,
}

impl TopicFacts {
    /// Takes from what was known before what this answer lacks: partitions are told to everyone who may
    /// write, limits only to who may ask for them.
    pub(super) fn with_limits_of(mut self, before: Option<&TopicFacts>) -> TopicFacts {
        if self.max_message_bytes.is_none()
            && let Some(before) = before
        {
            self.max_message_bytes = before.max_message_bytes;
            self.times = self.times.or(before.times);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: TimeLimits = TimeLimits { before_max_ms: 1, after_max_ms: 2 };

    fn facts(max_message_bytes: Option<u32>, times: Option<TimeLimits>) -> TopicFacts {
        TopicFacts { partitions: 3, leaderless: Vec::new(), max_message_bytes, times }
    }

    #[test]
    fn what_an_answer_lacks_is_kept() {
        let before = facts(Some(7), Some(TIMES));
        let kept = facts(None, None).with_limits_of(Some(&before));
        assert_eq!(kept, before);
        assert_eq!(facts(None, None).with_limits_of(None), facts(None, None));
        // The topic writes its own times by now.
        assert_eq!(facts(Some(8), None).with_limits_of(Some(&before)), facts(Some(8), None));
    }
}
