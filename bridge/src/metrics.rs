//! The names of the metrics that the bridge records; everything else it counts is read from its
//! accounts.

/// Seconds from a message's submission to its landing, by lane.
pub const LANDING_LATENCY: &str = "landfall_landing_latency_seconds";
