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

/// Seconds since the oldest raw message was received that is at hand and not finished, by pool; 0 where there is
/// none.
pub const LAG_SECONDS: &str = "landfall_parse_lag_seconds";

/// Seconds within which a message is to be parsed, by pool.
pub const FRESHNESS_TARGET: &str = "landfall_parse_freshness_target_seconds";

/// Raw messages that are at hand, by pool: under way, or waiting for their turn.
pub const WINDOW_MESSAGES: &str = "landfall_parse_window_messages";

/// Bytes of what was made and has not landed, and of what waits, by pool.
pub const WINDOW_BYTES: &str = "landfall_parse_window_used_bytes";

/// Bytes of those that are at hand at most before nothing more is begun, by pool.
pub const WINDOW_LIMIT: &str = "landfall_parse_window_limit_bytes";

/// Partitions that are assigned, by pool and state: `running`, `held` or `stopped`.
pub const PARTITIONS: &str = "landfall_parse_partitions";

/// Raw messages that were gone before they were read, by pool: retention was shorter than the lag.
pub const MISSED: &str = "landfall_parse_missed_messages_total";

/// How often a partition was read again from its commit, by pool, because a record did not land.
pub const REWINDS: &str = "landfall_parse_rewinds_total";
