//! What librdkafka tells in no other way than by a line of its log: that a producer has its id, that a
//! topic has fewer partitions, and why a batch that is sent again and again was not taken. The lines come with `debug` and are as few as what they
//! tell of; its statistics tell the first too, but grow with partitions and come when their time is.

/// Which lines librdkafka has to write (`debug`).
pub(crate) const DEBUG: &str = "broker,eos";

/// A line that is more than news.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogLine<'m> {
    /// The producer got its id, or has none any more.
    ProducerId { is_there: bool },
    /// A topic has fewer partitions than before, or none. librdkafka numbers anew what goes to those that come back,
    /// under the same producer id, and Kafka takes it for what it has already.
    FewerPartitions,
    /// A produce request failed; why.
    NotTaken(&'m str),
}

impl LogLine<'_> {
    pub(crate) fn read<'m>(facility: &str, message: &'m str) -> Option<LogLine<'m>> {
        match facility {
            "IDEMPSTATE" => {
                let (_, state) = message.split_once("state change ")?.1.split_once(" -> ")?;
                Some(LogLine::ProducerId { is_there: state == "Assigned" })
            }
            "REQERR" => {
                let (_, told) = message.split_once("ProduceRequest failed: ")?;
                let end = told.rfind(": explicit actions").or_else(|| told.rfind(": actions"))?;
                Some(LogLine::NotTaken(&told[..end]))
            }
            "PARTCNT" => {
                let (_, told) = message.split_once("partition count changed from ")?;
                let (before, after) = told.split_once(" to ")?;
                let count = |text: &str| text.trim().parse::<u32>().ok();
                (count(after)? < count(before)?).then_some(LogLine::FewerPartitions)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_producer_are_read_and_no_others() {
        let read = LogLine::read;
        let state = |to| format!("[thrd:main]: Idempotent producer state change WaitPID -> {to}");
        assert_eq!(
            read("IDEMPSTATE", &state("Assigned")),
            Some(LogLine::ProducerId { is_there: true })
        );
        for to in ["WaitTransport", "FatalError", "DrainReset"] {
            assert_eq!(
                read("IDEMPSTATE", &state(to)),
                Some(LogLine::ProducerId { is_there: false })
            );
        }
        let why = "Broker: Not enough in-sync replicas";
        for actions in ["explicit actions Retry,MsgNotPersisted", "actions Permanent"] {
            let line =
                format!("[thrd:b]: 127.0.0.1:9092/1: ProduceRequest failed: {why}: {actions}");
            assert_eq!(read("REQERR", &line), Some(LogLine::NotTaken(why)));
        }
        let metadata = "127.0.0.1:9092/1: MetadataRequest failed: Local: Timed out: actions Retry";
        assert_eq!(read("REQERR", metadata), None);
        let count =
            |change| format!("[thrd:main]: Topic a.b partition count changed from {change}");
        assert_eq!(read("PARTCNT", &count("24 to 0")), Some(LogLine::FewerPartitions));
        assert_eq!(read("PARTCNT", &count("0 to 5")), None);
        assert_eq!(read("CONNECT", "state change a -> Assigned"), None);
    }
}
