//! How topics and filters look inside the router.
//!
//! rumqttd panics over a topic whose first character is not ASCII and knows no `$` rule behind a
//! prefix, so everything is mounted below one of two ASCII prefixes: what starts with `$` below one,
//! the rest below the other. A filter that starts with a wildcard then cannot reach a `$` topic
//! (MQTT 4.7.2).

const ORDINARY: &str = "t/";
const DOLLAR: &str = "s/";
/// What mounting adds, in bytes.
pub(super) const MOUNT_BYTES: usize = ORDINARY.len();
/// The supervisor's own topic; no mounted filter can match it.
pub(super) const HEARTBEAT: &str = "heartbeat";

/// A topic or filter as the router sees it.
pub(super) fn mount(text: &str) -> String {
    let prefix = if text.starts_with('$') { DOLLAR } else { ORDINARY };
    [prefix, text].concat()
}
