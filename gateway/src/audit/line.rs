//! One line of the audit log. Its fields keep their names, their meaning and their order; more may come. Pure.

use bridge::text::escape;
use jiff::Timestamp;
use serde::Serialize;

/// Bytes of a text that a client chose, escaped; the rest is left out.
const TEXT_MAX_BYTES: usize = 512;
/// Files that one line names.
const FILES_MAX: usize = 32;

/// What is told of an event; what does not belong to it is left out.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// Where the client came in.
    pub listener: Option<&'a str>,
    pub address: Option<String>,
    /// As the client says it; empty: none is known.
    pub client_id: &'a str,
    /// As it was proved.
    pub identity: Option<&'a str>,
    /// How it was proved.
    pub way: Option<&'static str>,
    /// A word of a closed list.
    pub reason: Option<&'static str>,
    /// `publish` or `subscribe`.
    pub action: Option<&'static str>,
    /// The topic or filter that it wanted.
    pub topic: Option<&'a str>,
    /// Who wanted it: the operator, by the name of its token; or what made the gateway do it.
    pub by: Option<&'a str>,
    /// What was read anew, by the places in the configuration.
    pub places: &'a [&'a str],
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    places: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Entry<'_> {
    /// Without the end of the line.
    pub fn line(&self, now: Timestamp, event: &str) -> String {
        let client_id = Some(self.client_id).filter(|id| !id.is_empty());
        written(&Line {
            time: time(now),
            event,
            listener: self.listener,
            address: self.address.as_deref(),
            client_id: client_id.map(shown),
            identity: self.identity.map(shown),
            way: self.way,
            reason: self.reason,
            action: self.action,
            topic: self.topic.map(shown),
            by: self.by,
            places: &self.places[..self.places.len().min(FILES_MAX)],
            of: None,
            count: None,
        })
    }
}

/// So many lines of an event were not written.
pub fn left_out(now: Timestamp, of: &str, count: u64) -> String {
    let none = Entry::default();
    written(&Line {
        time: time(now),
        event: "left_out",
        listener: None,
        address: None,
        client_id: None,
        identity: None,
        way: None,
        reason: None,
        action: None,
        topic: None,
        by: None,
        places: none.places,
        of: Some(of),
        count: Some(count),
    })
}

fn written(line: &Line<'_>) -> String {
    serde_json::to_string(line).expect("texts and numbers are always JSON")
}

/// RFC 3339, in UTC, to the millisecond.
fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A text of a client, escaped and cut.
fn shown(text: &str) -> String {
    // No character becomes shorter by it.
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut shown = escape(&text[..end]);
    let is_cut = end < text.len() || shown.len() > TEXT_MAX_BYTES;
    if shown.len() > TEXT_MAX_BYTES {
        let mut end = TEXT_MAX_BYTES;
        while !shown.is_char_boundary(end) {
            end -= 1;
        }
        shown.truncate(end);
    }
    if is_cut {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T06:30:00.1239Z".parse().expect("a time")
    }

    fn client<'a>() -> Entry<'a> {
        Entry {
            listener: Some("fleet"),
            address: Some("10.0.0.7:50123".to_owned()),
            client_id: "m-1",
            identity: Some("m-1"),
            way: Some("certificate"),
            ..Entry::default()
        }
    }

    /// Whoever reads the log relies on it.
    #[test]
    fn the_form_does_not_change() {
        let refused = Entry {
            identity: None,
            way: None,
            reason: Some("bad_credentials"),
            address: Some("[2001:db8::1]:5000".to_owned()),
            ..client()
        };
        let denied = Entry {
            action: Some("publish"),
            topic: Some("devices/meter/m-2/power"),
            reason: Some("not_authorized"),
            ..client()
        };
        let operator =
            Entry { by: Some("ops"), client_id: "m-1", reason: Some("end"), ..Entry::default() };
        let reloaded = Entry {
            reason: Some("failed"),
            by: Some("signal"),
            places: &["access_file.mosquitto"],
            ..Entry::default()
        };
        let lines = [
            client().line(now(), "connected"),
            refused.line(now(), "refused"),
            denied.line(now(), "denied"),
            Entry { reason: Some("rights_changed"), ..client() }.line(now(), "ended"),
            operator.line(now(), "operator"),
            reloaded.line(now(), "reloaded"),
            left_out(now(), "refused", 900),
        ];
        let expected = [
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"connected","listener":"fleet","address":"10.0.0.7:50123","client_id":"m-1","identity":"m-1","way":"certificate"}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"refused","listener":"fleet","address":"[2001:db8::1]:5000","client_id":"m-1","reason":"bad_credentials"}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"denied","listener":"fleet","address":"10.0.0.7:50123","client_id":"m-1","identity":"m-1","way":"certificate","reason":"not_authorized","action":"publish","topic":"devices/meter/m-2/power"}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"ended","listener":"fleet","address":"10.0.0.7:50123","client_id":"m-1","identity":"m-1","way":"certificate","reason":"rights_changed"}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"operator","client_id":"m-1","reason":"end","by":"ops"}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"reloaded","reason":"failed","by":"signal","places":["access_file.mosquitto"]}"#,
            r#"{"time":"2026-11-27T06:30:00.123Z","event":"left_out","of":"refused","count":900}"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_a_client_says_is_escaped_and_cut() {
        let escaped = Entry { client_id: "a\n\u{1b}[2J\"\u{202e}", ..Entry::default() };
        let line = escaped.line(now(), "connected");
        assert!(line.contains(r#""client_id":"a\\n\\u{1b}[2J\"\\u{202e}""#), "{line}");
        for text in ["x", "\u{1b}", "ä", "\"", "\u{e0041}", "🚜"] {
            let long = text.repeat(60_000);
            let entry =
                Entry { client_id: &long, identity: Some(&long), topic: Some(&long), ..client() };
            let line = entry.line(now(), "denied");
            assert!(line.len() <= 4 * 1024 && line.contains('…'), "{} bytes", line.len());
            assert!(!line.contains('\n'));
        }
    }
}
