//! The names of the metrics that the bridge records; everything else it counts is read from its
//! accounts.

/// Seconds from a message's submission to its landing, by lane.
pub const LANDING_LATENCY: &str = "landfall_landing_latency_seconds";

/// Seconds that a request to the object store took, its retries included.
pub const OBJECT_STORE_LATENCY: &str = "landfall_object_store_latency_seconds";

/// Dead letters of which something was left out so that they fit, by part: `texts` or `payload`.
pub const DEAD_LETTER_CUTS: &str = "landfall_dead_letter_cuts_total";
