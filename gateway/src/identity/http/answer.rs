//! What the service is asked, and what its answer means, in the format of EMQX 5: what is not clearly an
//! `allow` is none. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::{Attributes, NAME_MAX_BYTES, is_attribute_name, is_text};

/// Attributes of one client.
const ATTRIBUTES_MAX: usize = 16;

/// What it is asked. It holds a password: never print it.
#[derive(Serialize)]
pub struct Question<'a> {
    pub clientid: &'a str,
    pub username: Option<&'a str>,
    pub password: &'a str,
    pub peerhost: Option<String>,
    pub cert_common_name: Option<&'a str>,
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Allowed { attributes: Attributes, ends_at_ms: Option<i64> },
    Denied,
}

#[derive(Deserialize)]
struct Written {
    result: String,
    #[serde(default)]
    client_attrs: Option<BTreeMap<String, String>>,
    /// Seconds since 1970 UTC.
    #[serde(default)]
    expire_at: Option<i64>,
    #[serde(default)]
    acl: Option<Value>,
}

impl Answer {
    /// Reads an answer, or says why it is none.
    pub fn read(status: u16, body: &[u8]) -> Result<Answer, String> {
        match status {
            401 | 403 => return Ok(Answer::Denied),
            200..=299 if body.is_empty() => {
                return Ok(Answer::Allowed { attributes: Attributes::new(), ends_at_ms: None });
            }
            200 => {}
            _ => return Err(format!("answers {status}")),
        }
        let written: Written = serde_json::from_slice(body)
            .map_err(|_| "answers something that is no { \"result\": … }".to_owned())?;
        match &*written.result {
            "allow" => {}
            // Nobody else is asked.
            "deny" | "ignore" => return Ok(Answer::Denied),
            _ => return Err("answers a result that is neither allow, deny nor ignore".to_owned()),
        }
        let has_rules = match &written.acl {
            None | Some(Value::Null) => false,
            Some(Value::Array(rules)) => !rules.is_empty(),
            Some(_) => true,
        };
        if has_rules {
            return Err(
                "answers with an acl, which is not held: write the rules in `access`".to_owned()
            );
        }
        let attributes = written.client_attrs.unwrap_or_default();
        let is_good = |(name, value): (&String, &String)| {
            is_attribute_name(name) && is_text(value, NAME_MAX_BYTES)
        };
        if attributes.len() > ATTRIBUTES_MAX || !attributes.iter().all(is_good) {
            return Err(format!(
                "answers client_attrs that cannot be used: at most {ATTRIBUTES_MAX}, names of a-z 0-9 _ other than device_id, texts of at most {NAME_MAX_BYTES} bytes"
            ));
        }
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), value.into()));
        let ends_at_ms = written.expire_at.map(|end_s| end_s.saturating_mul(1000));
        Ok(Answer::Allowed { attributes: attributes.collect(), ends_at_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_lets_anybody_in() {
        let allowed = |attributes: &[(&str, &str)], ends_at_ms| {
            let attributes = attributes.iter().map(|&(name, value)| (name.into(), value.into()));
            Ok(Answer::Allowed { attributes: attributes.collect(), ends_at_ms })
        };
        for (status, body, expected) in [
            (204, "", allowed(&[], None)),
            (200, "", allowed(&[], None)),
            (200, r#"{"result":"allow"}"#, allowed(&[], None)),
            (200, r#"{"result":"allow","is_superuser":true,"acl":[]}"#, allowed(&[], None)),
            (
                200,
                r#"{"result":"allow","client_attrs":{"group":"a"},"expire_at":1800000000}"#,
                allowed(&[("group", "a")], Some(1_800_000_000_000)),
            ),
            (200, r#"{"result":"deny"}"#, Ok(Answer::Denied)),
            (200, r#"{"result":"ignore"}"#, Ok(Answer::Denied)),
            (401, "whatever", Ok(Answer::Denied)),
            (403, "", Ok(Answer::Denied)),
        ] {
            assert_eq!(Answer::read(status, body.as_bytes()), expected, "{status} {body}");
        }
        for (status, body, word) in [
            (200, "ok", "no {"),
            (200, "{}", "no {"),
            (200, r#"{"result":true}"#, "no {"),
            (200, r#"{"result":"Allow"}"#, "neither"),
            (204, r#"{"result":"allow"}"#, "answers 204"),
            (200, r#"{"result":"allow","acl":[{"permission":"allow"}]}"#, "acl"),
            (200, r#"{"result":"allow","acl":"all"}"#, "acl"),
            (200, r#"{"result":"allow","client_attrs":{"device_id":"a"}}"#, "client_attrs"),
            (200, r#"{"result":"allow","client_attrs":{"a/b":"a"}}"#, "client_attrs"),
            (200, r#"{"result":"allow","client_attrs":{"a":"a\u0000"}}"#, "client_attrs"),
            (200, r#"{"result":"allow","expire_at":"never"}"#, "no {"),
            (302, "", "answers 302"),
            (404, "", "answers 404"),
            (500, r#"{"result":"allow"}"#, "answers 500"),
        ] {
            let error = Answer::read(status, body.as_bytes()).expect_err(body);
            assert!(error.contains(word), "{status} {body}: {error}");
        }
    }
}
