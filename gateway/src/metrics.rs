//! Every metric's name and help in one place, and the recorder behind the `metrics` facade.
//!
//! Histograms are fixed buckets of atomics: recording costs a few nanoseconds and no memory, however
//! many messages pass. Labels are bounded: never a client id, never a topic.

mod recorder;

use bridge::metrics::{DEAD_LETTER_CUTS, LANDING_LATENCY, OBJECT_STORE_LATENCY};
use parse::metrics as parsing;

#[cfg(test)]
pub use recorder::tests;
pub use recorder::{BOUNDS_S, Counts, MetricsHandle, Recorded, Series, install};

pub const ACCESS_DENIED: &str = "landfall_access_denied_total";
pub const ACKNOWLEDGEMENT_LATENCY: &str = "landfall_acknowledgement_latency_seconds";
pub const AUDIT_FAILURES: &str = "landfall_audit_write_failures_total";
pub const AUDIT_LEFT_OUT: &str = "landfall_audit_left_out_total";
pub const CONNECTIONS: &str = "landfall_connections";
pub const CONNECTIONS_LIMIT: &str = "landfall_connections_limit";
pub const LISTENER_CONNECTIONS: &str = "landfall_listener_connections";
pub const LISTENER_CONNECTIONS_LIMIT: &str = "landfall_listener_connections_limit";
pub const MQTT_CONNECTIONS: &str = "landfall_mqtt_connections";
pub const SILENT_SOCKETS: &str = "landfall_silent_sockets";
pub const CONNECTIONS_CLOSED: &str = "landfall_connections_closed_total";
pub const TAKEOVERS: &str = "landfall_takeovers_total";
pub const AUTHENTICATIONS: &str = "landfall_authentications_total";
pub const AUTHENTICATION_PROBLEMS: &str = "landfall_authentication_problems";
pub const KEY_FETCHES: &str = "landfall_authentication_key_fetches_total";
pub const EVENT_TIMES_UNUSABLE: &str = "landfall_event_times_unusable_total";
pub const SESSIONS_MEMORY_USED: &str = "landfall_sessions_memory_used_bytes";
pub const SESSIONS_MEMORY_LIMIT: &str = "landfall_sessions_memory_limit_bytes";
pub const TLS_HANDSHAKES: &str = "landfall_tls_handshakes_total";
pub const TLS_HANDSHAKES_REFUSED: &str = "landfall_tls_handshakes_refused_total";
pub const TLS_CERTIFICATE_ENDS: &str = "landfall_tls_certificate_ends_timestamp_seconds";
pub const TLS_LISTS_END: &str = "landfall_tls_revocation_lists_end_timestamp_seconds";
pub const PACKETS_MALFORMED: &str = "landfall_packets_malformed_total";
pub const MESSAGES_RECEIVED: &str = "landfall_messages_received_total";
pub const MESSAGES_LANDED: &str = "landfall_messages_landed_total";
pub const MESSAGES_DEAD_LETTERED: &str = "landfall_messages_dead_lettered_total";
pub const MESSAGES_REFUSED: &str = "landfall_messages_refused_total";
pub const MESSAGES_FAILED: &str = "landfall_messages_failed_total";
pub const MESSAGES_IN_FLIGHT: &str = "landfall_messages_in_flight";
pub const LANE_MEMORY_USED: &str = "landfall_lane_memory_used_bytes";
pub const LANE_MEMORY_LIMIT: &str = "landfall_lane_memory_limit_bytes";
pub const LANE_WAITING: &str = "landfall_lane_waiting_connections";
pub const LANE_AWAY: &str = "landfall_lane_partitions_away";
pub const LANE_BACKLOG: &str = "landfall_lane_backlog_records";
pub const LANE_RESETS: &str = "landfall_lane_producer_resets_total";
pub const LANE_HANDED_OVER_AGAIN: &str = "landfall_lane_records_handed_over_again_total";
pub const LANE_OLDEST: &str = "landfall_lane_oldest_message_seconds";
pub const LANE_STALLED: &str = "landfall_lane_stalled_seconds";
pub const PANICS: &str = "landfall_panics_total";
pub const BUILD_INFO: &str = "landfall_build_info";
pub const READY: &str = "landfall_ready";
pub const DRAINING: &str = "landfall_draining";
pub const DEGRADED: &str = "landfall_degraded";
pub const MEMORY_LIMIT: &str = "landfall_memory_limit_bytes";
pub const KAFKA_PRODUCER_READY: &str = "landfall_kafka_producer_ready";
pub const KAFKA_QUEUE_MESSAGES: &str = "landfall_kafka_queue_messages";
pub const KAFKA_REQUESTS: &str = "landfall_kafka_requests_total";
pub const KAFKA_SENT_BYTES: &str = "landfall_kafka_sent_bytes_total";
pub const KAFKA_ROUND_TRIP: &str = "landfall_kafka_round_trip_p99_seconds";
pub const KAFKA_BROKERS_UP: &str = "landfall_kafka_brokers_up";
pub const OBJECT_STORE_REQUESTS: &str = "landfall_object_store_requests_total";
pub const OBJECT_STORE_ATTEMPTS: &str = "landfall_object_store_attempts_total";
pub const OBJECT_STORE_UP: &str = "landfall_object_store_up";
pub const OBJECT_STORE_OPEN: &str = "landfall_object_store_open_requests";
pub const OBJECT_STORE_OLDEST: &str = "landfall_object_store_oldest_request_seconds";
pub const ROUTER_REBUILDS: &str = "landfall_router_rebuilds_total";
pub const LOCAL_SUBSCRIPTIONS: &str = "landfall_local_subscriptions";
pub const LOCAL_DELIVERED: &str = "landfall_local_delivered_total";
pub const LOCAL_DROPPED: &str = "landfall_local_dropped_total";
pub const LOCAL_TOO_LARGE_FOR_CLIENT: &str = "landfall_local_too_large_for_client_total";

pub const ADMIN_DENIED: &str = "landfall_admin_denied_total";
pub const RELOADS: &str = "landfall_reloads_total";
pub const RELOAD_FAILING: &str = "landfall_reload_failing";
pub const RELOAD_LAST_SUCCESS: &str = "landfall_reload_last_success_timestamp_seconds";

/// Name, type and help of everything on `/metrics`.
const DESCRIPTIONS: &[(&str, &str, &str)] = &[
    (
        MESSAGES_RECEIVED,
        "counter",
        "Messages received, by lane; the sum of what became of them and of what is in flight.",
    ),
    (MESSAGES_LANDED, "counter", "Messages durable in their lane."),
    (MESSAGES_DEAD_LETTERED, "counter", "Messages of the lane that are durable as dead letters."),
    (
        DEAD_LETTER_CUTS,
        "counter",
        "Dead letters of which something was left out so that they fit, by part.",
    ),
    (MESSAGES_REFUSED, "counter", "Messages turned away before anything was promised, by reason."),
    (
        ACCESS_DENIED,
        "counter",
        "What clients wanted to do and may not, by action: publish (wills too), subscribe.",
    ),
    (AUDIT_FAILURES, "counter", "Lines of the audit log that could not be written."),
    (
        AUDIT_LEFT_OUT,
        "counter",
        "Lines of the audit log that were left out, because too many came, by kind of event.",
    ),
    (MESSAGES_FAILED, "counter", "Messages whose device has to send them again."),
    (MESSAGES_IN_FLIGHT, "gauge", "Messages whose outcome is open."),
    (
        ACKNOWLEDGEMENT_LATENCY,
        "histogram",
        "Seconds from receiving a QoS 1 or 2 message to sending its PUBACK or PUBREC, by lane.",
    ),
    (LANDING_LATENCY, "histogram", "Seconds from submitting a message to its landing, by lane."),
    (CONNECTIONS, "gauge", "Open sockets."),
    (CONNECTIONS_LIMIT, "gauge", "Sockets that may be open."),
    (LISTENER_CONNECTIONS, "gauge", "Open sockets, by listener."),
    (LISTENER_CONNECTIONS_LIMIT, "gauge", "Sockets that may be open, by listener."),
    (
        MQTT_CONNECTIONS,
        "gauge",
        "Connections whose CONNECT was accepted, by listener and version of MQTT.",
    ),
    (SILENT_SOCKETS, "gauge", "Open sockets of which no whole ClientHello or CONNECT came yet."),
    (CONNECTIONS_CLOSED, "counter", "Connections that ended, by reason."),
    (
        TAKEOVERS,
        "counter",
        "Connections that took a client id over, once or again and again, by kind.",
    ),
    (
        AUTHENTICATIONS,
        "counter",
        "Times that a client's evidence of who it is was looked at, by kind: ok, or why not, by result.",
    ),
    (
        AUTHENTICATION_PROBLEMS,
        "gauge",
        "Services that know clients and do not answer, or know none: a key server, a key set without keys, the HTTP service.",
    ),
    (KEY_FETCHES, "counter", "Times that the key server was asked for its keys, by result."),
    (
        EVENT_TIMES_UNUSABLE,
        "counter",
        "Messages with an event time that counts as absent, by reason.",
    ),
    (TLS_HANDSHAKES, "counter", "TLS handshakes that succeeded, by listener, version and kind."),
    (TLS_HANDSHAKES_REFUSED, "counter", "TLS handshakes that failed, by listener and reason."),
    (
        TLS_CERTIFICATE_ENDS,
        "gauge",
        "When the first of the listener's own certificates ends, in seconds since 1970.",
    ),
    (
        TLS_LISTS_END,
        "gauge",
        "When the first of the listener's lists of revoked certificates should be replaced, in seconds since 1970.",
    ),
    (
        SESSIONS_MEMORY_USED,
        "gauge",
        "Bytes that sessions keep beyond what each may without asking.",
    ),
    (SESSIONS_MEMORY_LIMIT, "gauge", "Bytes that sessions may keep beyond that."),
    (
        PACKETS_MALFORMED,
        "counter",
        "Packets that ended their connection because they broke the standard, by reason.",
    ),
    (LANE_MEMORY_USED, "gauge", "Bytes of the lane's share of memory in use, by class."),
    (LANE_MEMORY_LIMIT, "gauge", "Bytes of the lane's share of memory, by class."),
    (
        LANE_WAITING,
        "gauge",
        "Connections that are not read because they wait for the lane's memory, by class.",
    ),
    (
        LANE_AWAY,
        "gauge",
        "Partitions of which nothing landed for 5 s although there are messages for them.",
    ),
    (LANE_BACKLOG, "gauge", "Records that wait to be sent to Kafka again."),
    (LANE_RESETS, "counter", "Times the lane's producer was started anew."),
    (
        LANE_HANDED_OVER_AGAIN,
        "counter",
        "Records that went to the lane's producer again after one had taken them: they may be in Kafka twice.",
    ),
    (
        LANE_OLDEST,
        "gauge",
        "Age of the oldest message that came to the lane and has not landed, in seconds; 0 without one.",
    ),
    (
        LANE_STALLED,
        "gauge",
        "Seconds in which nothing landed although the lane has messages to land; 0 below 5.",
    ),
    (PANICS, "counter", "Threads and tasks that ended in a panic, by thread: a fault of Landfall."),
    (
        BUILD_INFO,
        "gauge",
        "1, with the role of the process (gateway or parse) and the version of the program.",
    ),
    (READY, "gauge", "1 while /readyz answers 200."),
    (DRAINING, "gauge", "1 while the gateway drains before its end."),
    (DEGRADED, "gauge", "Reasons why the gateway is degraded, as on /readyz."),
    (MEMORY_LIMIT, "gauge", "Bytes that the process may take, by limits.memory."),
    (KAFKA_PRODUCER_READY, "gauge", "1 while the lane's producer has its id from Kafka."),
    (KAFKA_QUEUE_MESSAGES, "gauge", "Records in the lane's Kafka client."),
    (KAFKA_REQUESTS, "counter", "Requests that the lane's Kafka client sent."),
    (KAFKA_SENT_BYTES, "counter", "Bytes that the lane's Kafka client sent."),
    (
        KAFKA_ROUND_TRIP,
        "gauge",
        "99th percentile of the brokers' answer times, in seconds, worst broker.",
    ),
    (KAFKA_BROKERS_UP, "gauge", "Brokers to which the lane's Kafka client is connected."),
    (
        OBJECT_STORE_REQUESTS,
        "counter",
        "Requests to the object store, by result: what failed, failed for good.",
    ),
    (
        OBJECT_STORE_ATTEMPTS,
        "counter",
        "Tries of requests to the object store, by result: a failed one is made again for 30 s.",
    ),
    (
        OBJECT_STORE_LATENCY,
        "histogram",
        "Seconds that a request to the object store took, with all its tries.",
    ),
    (
        OBJECT_STORE_UP,
        "gauge",
        "1 while the object store takes what is written; it is asked at the start, and while it fails.",
    ),
    (OBJECT_STORE_OPEN, "gauge", "Requests to the object store that are under way."),
    (OBJECT_STORE_OLDEST, "gauge", "Age of the oldest request under way, in seconds."),
    (ROUTER_REBUILDS, "counter", "Times the router of the local plane was built anew, by reason."),
    (LOCAL_SUBSCRIPTIONS, "gauge", "Local subscriptions."),
    (LOCAL_DELIVERED, "counter", "Messages queued for local subscribers."),
    (LOCAL_DROPPED, "counter", "Messages lost to local subscribers, by reason."),
    (LOCAL_TOO_LARGE_FOR_CLIENT, "counter", "Messages larger than their local subscriber takes."),
    (ADMIN_DENIED, "counter", "Requests to the admin port that were not let in, by reason."),
    (
        RELOADS,
        "counter",
        "Times that changed files were read anew, by result: of what failed, everything stays as it was.",
    ),
    (
        RELOAD_FAILING,
        "gauge",
        "Parts of the configuration whose files were not taken when they were read last.",
    ),
    (
        RELOAD_LAST_SUCCESS,
        "gauge",
        "When all that files say was last what holds, in seconds since unix epoch.",
    ),
    (
        parsing::MESSAGES,
        "counter",
        "Raw messages that were parsed, by pool, parser (empty: none took it) and outcome.",
    ),
    (parsing::EVENTS, "counter", "Events that were made, by pool and parser."),
    (parsing::FAILURES, "counter", "Raw messages that failed, by parser and reason."),
    (
        parsing::SKIPPED_RECORDS,
        "counter",
        "Bad records that were left out of messages that were read, by parser.",
    ),
    (
        parsing::DIRT,
        "counter",
        "Payloads that something was taken off because it costs nothing, by parser and kind of dirt.",
    ),
    (
        parsing::FRESHNESS,
        "histogram",
        "Seconds from a message's receipt by its gateway until all that was made of it landed, by pool.",
    ),
    (
        parsing::FRESHNESS_TARGET,
        "gauge",
        "Seconds within which a message is to be parsed, by pool, as parse.pools.NAME.freshness says.",
    ),
    (
        parsing::LAG,
        "gauge",
        "Raw messages of the process's partitions that are not finished, by pool.",
    ),
    (
        parsing::LAG_SECONDS,
        "gauge",
        "Seconds since the oldest message was received that is at hand and not finished, by pool.",
    ),
    (parsing::PARTITIONS, "gauge", "Partitions that the process has, by pool and state."),
    (parsing::WINDOW_MESSAGES, "gauge", "Raw messages at hand, under way or waiting, by pool."),
    (
        parsing::WINDOW_BYTES,
        "gauge",
        "Bytes of what was made and has not landed, and of what waits, by pool.",
    ),
    (parsing::WINDOW_LIMIT, "gauge", "Bytes from which on a pool begins nothing more, by pool."),
    (
        parsing::MISSED,
        "counter",
        "Raw messages that were gone before they were read, by pool: retention was shorter than the lag.",
    ),
    (
        parsing::REWINDS,
        "counter",
        "Times a partition was read again from its commit, because Kafka never takes a record of it or an operator decided, by pool.",
    ),
    ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    ("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    ("process_open_fds", "gauge", "Number of open file descriptors."),
    ("process_max_fds", "gauge", "Maximum number of open file descriptors."),
    ("process_threads", "gauge", "Number of OS threads in the process."),
    (
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
    ),
];
