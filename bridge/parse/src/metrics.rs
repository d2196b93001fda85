//! The names of the metrics that the parse role records.

/// Raw messages that were parsed, by pool, parser and outcome; the parser is empty where none took one.
pub const MESSAGES: &str = "landfall_parse_messages_total";

/// Events that were made, by pool and parser.
pub const EVENTS: &str = "landfall_parse_events_total";

/// Messages that failed, by parser and reason.
pub const FAILURES: &str = "landfall_parse_failures_total";

/// Bad records that were left out of messages that were read, by parser.
pub const SKIPPED_RECORDS: &str = "landfall_parse_skipped_records_total";

/// Payloads that something was taken off because it costs nothing, by parser and what: `mark` or `zeros`.
pub const DIRT: &str = "landfall_parse_dirt_total";

/// Seconds from a message's receipt by its gateway until all of it landed, by pool.
pub const FRESHNESS: &str = "landfall_parse_freshness_seconds";

/// Raw messages that are not finished, by pool: as many as Kafka has behind what was committed.
pub const LAG: &str = "landfall_parse_lag_messages";

/// Partitions that are assigned, by pool and state: `running`, `held` or `stopped`.
pub const PARTITIONS: &str = "landfall_parse_partitions";

/// Raw messages that were gone before they were read, by pool: retention was shorter than the lag.
pub const MISSED: &str = "landfall_parse_missed_messages_total";

/// How often a partition was read again from its commit, by pool, because a record did not land.
pub const REWINDS: &str = "landfall_parse_rewinds_total";
