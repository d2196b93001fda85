//! The syntax of topic names, and of topic filters as clients write them (v5 4.7 and 4.8.2).

use bridge::topic::filter::is_filter;

use super::{Malformed, Version};

const SHARE_PREFIX: &str = "$share/";

/// Whether a string can be published to: not empty and without wildcards.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && !has_wildcard(text)
}

/// One pass without branches, which the compiler turns into vector instructions; topics are short.
#[inline]
pub(super) fn has_wildcard(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte == b'+') | (byte == b'#'))
}

/// Checks a filter of SUBSCRIBE or UNSUBSCRIBE and says whether it is a shared subscription.
///
/// Shared subscriptions came with v5, but brokers take them in v3 too; there a malformed one is
/// just a filter under `$share`.
pub(super) fn check_filter(version: Version, text: &str) -> Result<bool, Malformed> {
    let (filter, shared) = match split_share(text) {
        None => (text, false),
        Some((name, filter)) if is_share(name, filter) => (filter, true),
        Some(_) if version == Version::V5 => return Err(Malformed::ShareName),
        Some(_) => (text, false),
    };
    if is_filter(filter) { Ok(shared) } else { Err(Malformed::TopicFilter) }
}

/// Whether a filter that was checked is a shared subscription.
pub(super) fn is_shared(text: &str) -> bool {
    split_share(text).is_some_and(|(name, filter)| is_share(name, filter))
}

fn is_share(name: &str, filter: &str) -> bool {
    is_name(name) && !filter.is_empty()
}

/// The share name and the filter of `$share/NAME/FILTER`; both can still be wrong.
fn split_share(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(SHARE_PREFIX)?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}
