//! What each error of Kafka's answer to a produce request means for a record, once and for all.
//!
//! librdkafka tries again by itself what says nothing of the record and cannot change the order: those come here
//! only when a producer is purged, under a code of librdkafka's own. Whatever else fails a batch breaks the
//! producer, since gaps are not allowed (`enable.gapless.guarantee`).
//!
//! Which record of a batch Kafka did not take is known only of one that was alone in it. Seen with Kafka 4.3 and
//! librdkafka 2.12.1: with one culprit in a batch all its records come back with the culprit's code,
//! INVALID_TIMESTAMP or INVALID_RECORD; with two or more, each culprit comes back with INVALID_RECORD, also for
//! its time, and the others with a code of librdkafka's own. The text of the answer would tell more, and must not
//! be read: `rd_kafka_message_produce_errstr` points to memory that was freed before the report came.

use rdkafka::error::RDKafkaErrorCode as Code;

/// What is done about a record after Kafka's answer; one for each reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Kafka has it.
    Landed,
    /// It may still land: nothing is wrong with it, and the code says what is.
    Again,
    /// It is larger than the topic takes, or its batch is: for ever, if it was alone.
    TooLarge,
    /// Kafka does not take it, or another in its batch: for ever, if it was alone.
    Refused,
    /// Its timestamp, or one in its batch, is too far from the broker's clock: it lands with another.
    Untimely,
    /// Another in its batch was not taken.
    Neighbour,
    /// The producer and the broker do not agree any more, or the producer is at its end: nothing is wrong with the
    /// record, and another producer sends it.
    Broken,
}

/// The reaction to a code of a delivery report.
pub(crate) fn answer(code: Code) -> Answer {
    match code {
        // librdkafka takes the second for a success by itself: Kafka had it before.
        Code::NoError | Code::DuplicateSequenceNumber => Answer::Landed,

        // The second: larger than a segment of the topic.
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Answer::TooLarge,
        Code::InvalidTimestamp => Answer::Untimely,
        Code::InvalidRecord => Answer::Refused,
        Code::InvalidDifferentRecord => Answer::Neighbour,

        Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced
        | Code::Fenced
        | Code::InvalidTransactionalState
        | Code::ConcurrentTransactions
        | Code::Inconsistent
        | Code::GaplessGuarantee
        | Code::Fatal
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::BrokerDestroy
        | Code::BadMessage => Answer::Broken,

        // Everything else may pass: a leader that is gone, replicas out of sync, rights taken away, a disk, a
        // policy, a configuration that somebody will mend, and every code that is not known here. Only what Kafka
        // says of this record, and says as its last word, is refused.
        _ => Answer::Again,
    }
}

#[cfg(test)]
mod tests;
