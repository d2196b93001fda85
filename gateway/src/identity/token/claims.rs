//! What a token claims: for whom, by whom, for how long, and what of it is the identity. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::TokenFault;
use super::TokenSettings;
use crate::identity::{Attributes, NAME_MAX_BYTES, is_text};

/// Clocks of others may be behind by so many seconds.
const SKEW_S: i64 = 5 * 60;

/// What a token says that holds now.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    pub name: Box<str>,
    pub attributes: Attributes,
    pub ends_at_ms: i64,
}

impl Claims {
    /// Reads them; `now_s` is in seconds since 1970 UTC. The signature is another matter.
    pub fn check(token: &str, settings: &TokenSettings, now_s: i64) -> Result<Claims, TokenFault> {
        let body = token.split('.').nth(1).ok_or(TokenFault::Malformed)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenFault::Malformed)?;
        let claims: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|_| TokenFault::Malformed)?;
        let end_s = claims.get("exp").and_then(seconds).ok_or(TokenFault::Expired)?;
        if end_s <= now_s {
            return Err(TokenFault::Expired);
        }
        if let Some(begin) = claims.get("nbf") {
            let begin_s = seconds(begin).ok_or(TokenFault::NotYetValid)?;
            if begin_s > now_s.saturating_add(SKEW_S) {
                return Err(TokenFault::NotYetValid);
            }
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&*settings.issuer) {
            return Err(TokenFault::Issuer);
        }
        let is_for = |audience: &Value| audience.as_str() == Some(&*settings.audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(is_for),
            Some(one) => is_for(one),
            None => false,
        };
        if !is_for_us {
            return Err(TokenFault::Audience);
        }
        let name = claims.get(&settings.identity).and_then(text).ok_or(TokenFault::Claims)?;
        if name.is_empty() || !is_text(&name, NAME_MAX_BYTES) {
            return Err(TokenFault::Claims);
        }
        let mut attributes = Attributes::new();
        for (attribute, claim) in &settings.attributes {
            let value = match claims.get(claim) {
                // It could have said so and did not: nobody may claim it instead.
                None | Some(Value::Null) => String::new(),
                Some(value) => text(value).ok_or(TokenFault::Claims)?,
            };
            if !is_text(&value, NAME_MAX_BYTES) {
                return Err(TokenFault::Claims);
            }
            attributes.push((attribute.as_str().into(), value.into()));
        }
        Ok(Claims { name: name.into(), attributes, ends_at_ms: end_s.saturating_mul(1000) })
    }
}

/// RFC 7519's NumericDate: seconds, perhaps with a fraction.
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite())?;
        // A number beyond the type's is its largest or smallest.
        Some(seconds as i64)
    })
}

/// A text, or what is as good as one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::super::keys::Algorithm;
    use super::*;
    use crate::identity::token::KeySource;

    const NOW_S: i64 = 1_800_000_000;

    pub(crate) fn settings() -> TokenSettings {
        TokenSettings {
            keys: KeySource::File("keys".into()),
            issuer: "us".to_owned(),
            audience: "landfall".to_owned(),
            algorithms: vec![Algorithm::ES256],
            identity: "sub".to_owned(),
            attributes: vec![("group".to_owned(), "tenant".to_owned())],
        }
    }

    fn check(claims: &Value) -> Result<Claims, TokenFault> {
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        Claims::check(&token, &settings(), NOW_S)
    }

    fn good() -> Value {
        json!({ "sub": "dev1", "iss": "us", "aud": "landfall", "exp": NOW_S + 1, "tenant": "acme" })
    }

    #[test]
    fn a_token_says_who_it_is_for_and_until_when() {
        let attribute = |value: &str| vec![("group".into(), value.into())];
        let expected =
            |attributes| Claims { name: "dev1".into(), attributes, ends_at_ms: (NOW_S + 1) * 1000 };
        assert_eq!(check(&good()), Ok(expected(attribute("acme"))));
        for (key, value, group) in [
            ("aud", json!(["others", "landfall"]), "acme"),
            ("nbf", json!(NOW_S + SKEW_S), "acme"),
            ("exp", json!(NOW_S as f64 + 1.5), "acme"),
            ("tenant", json!(7), "7"),
            ("tenant", Value::Null, ""),
        ] {
            let mut claims = good();
            claims[key] = value;
            assert_eq!(check(&claims), Ok(expected(attribute(group))), "{claims}");
        }
    }

    #[test]
    fn what_is_not_for_us_or_not_now_is_no_token() {
        for (key, value, fault) in [
            ("exp", json!(NOW_S), TokenFault::Expired),
            ("exp", json!(NOW_S - 1), TokenFault::Expired),
            ("exp", Value::Null, TokenFault::Expired),
            ("exp", json!("2099-01-01"), TokenFault::Expired),
            ("exp", json!(-1e300), TokenFault::Expired),
            ("nbf", json!(NOW_S + SKEW_S + 1), TokenFault::NotYetValid),
            ("nbf", json!("now"), TokenFault::NotYetValid),
            ("iss", json!("others"), TokenFault::Issuer),
            ("iss", json!(["us"]), TokenFault::Issuer),
            ("iss", Value::Null, TokenFault::Issuer),
            ("aud", json!("others"), TokenFault::Audience),
            ("aud", json!([]), TokenFault::Audience),
            ("aud", json!({ "landfall": true }), TokenFault::Audience),
            ("sub", Value::Null, TokenFault::Claims),
            ("sub", json!(""), TokenFault::Claims),
            ("sub", json!("dev\u{0}1"), TokenFault::Claims),
            ("sub", json!("d".repeat(NAME_MAX_BYTES + 1)), TokenFault::Claims),
            ("sub", json!(["dev1"]), TokenFault::Claims),
            ("tenant", json!({ "a": 1 }), TokenFault::Claims),
        ] {
            let mut claims = good();
            claims[key] = value;
            assert_eq!(check(&claims), Err(fault), "{claims}");
        }
        for token in ["", "e30", "e30.e3.x", "e30.W10.x", "e30.!.x"] {
            let checked = Claims::check(token, &settings(), NOW_S);
            assert_eq!(checked, Err(TokenFault::Malformed), "{token}");
        }
    }
}
