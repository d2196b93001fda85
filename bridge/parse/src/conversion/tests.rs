//! Values by their declared type, and without one.

use super::*;
use crate::json::reader::{Duplicates, Rules, read};

fn words(words: &[&str]) -> Words {
    Words::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn of(target: Target) -> Conversion {
    Conversion { target, ..Conversion::undeclared(Words::default(), NotFinite::Fail) }
}

fn boolean() -> Target {
    Target::Bool { yes: words(&["true", "1", "ON"]), no: words(&["false", "0", "OFF"]) }
}

/// `TYPE VALUE`, or the reason of the failure.
fn converted(conversion: &Conversion, json: &str) -> String {
    let rules =
        Rules { depth: 9, duplicates: Duplicates::Fail, not_finite: true, tree: usize::MAX };
    let json = read(json, &rules).expect("JSON");
    match conversion.one(&json) {
        Err(failure) => failure.reason.label().to_owned(),
        Ok(value) => {
            let shown = match &value {
                Value::Null => String::new(),
                Value::Bool(value) => value.to_string(),
                Value::Int(value) => value.to_string(),
                Value::Double(value) => format!("{value:?}"),
                Value::Decimal(text) | Value::Text(text) => text.to_string(),
                Value::Bytes(bytes) => format!("{bytes:?}"),
                Value::Time(time) => time.to_string(),
                other => format!("{other:?}"),
            };
            format!("{} {shown}", value.type_name()).trim_end().to_owned()
        }
    }
}

#[test]
fn what_is_not_declared_is_what_json_says() {
    let undeclared = of(Target::Undeclared);
    for (json, value) in [
        ("12", "int 12"),
        ("-9223372036854775808", "int -9223372036854775808"),
        ("9223372036854775808", "decimal 9223372036854775808"),
        ("18446744073709551615", "decimal 18446744073709551615"),
        ("1.0", "float 1.0"),
        ("2.5e+01", "float 25.0"),
        ("1e3", "float 1000.0"),
        ("1e999", "does_not_fit"),
        ("\"12\"", "text 12"),
        ("\"\"", "text"),
        ("true", "bool true"),
        ("null", "null"),
        ("NaN", "type_mismatch"),
    ] {
        assert_eq!(converted(&undeclared, json), value, "{json}");
    }
    let list = converted(&undeclared, "[1,{\"a\":null}]");
    assert_eq!(list, "list List([Int(1), Map([(\"a\", Null)])])");
}

#[test]
fn a_declared_type_holds_or_fails() {
    for (target, json, value) in [
        (Target::Int { base: 10 }, "12", "int 12"),
        (Target::Int { base: 10 }, "\" 0012 \"", "int 12"),
        (Target::Int { base: 10 }, "12.0", "int 12"),
        (Target::Int { base: 10 }, "1.2e1", "int 12"),
        (Target::Int { base: 10 }, "12.5", "type_mismatch"),
        (Target::Int { base: 10 }, "\"hot\"", "type_mismatch"),
        (Target::Int { base: 10 }, "true", "type_mismatch"),
        (Target::Int { base: 10 }, "[1]", "type_mismatch"),
        (Target::Int { base: 10 }, "9223372036854775808", "does_not_fit"),
        (Target::Int { base: 16 }, "\"0x1F\"", "int 31"),
        (Target::Int { base: 16 }, "\"ffffffffffffffff\"", "does_not_fit"),
        (Target::Int { base: 16 }, "\"xyz\"", "type_mismatch"),
        (Target::Float, "12", "float 12.0"),
        (Target::Float, "\"100.00\"", "float 100.0"),
        (Target::Float, "\".5\"", "float 0.5"),
        (Target::Float, "\"infinite\"", "type_mismatch"),
        (Target::Float, "\"NaN\"", "type_mismatch"),
        (Target::Float, "\"0x10\"", "type_mismatch"),
        (Target::Float, "\"1e999\"", "does_not_fit"),
        (Target::Decimal, "19.90", "decimal 19.90"),
        (Target::Decimal, "\"004321.987\"", "decimal 4321.987"),
        (Target::Decimal, "1.5e3", "decimal 1500"),
        (Target::Decimal, "-0", "decimal 0"),
        (Target::Decimal, "\"1e99999\"", "does_not_fit"),
        (boolean(), "true", "bool true"),
        (boolean(), "1", "bool true"),
        (boolean(), "0.0", "bool false"),
        (boolean(), "\"OFF\"", "bool false"),
        (boolean(), "\"off\"", "type_mismatch"),
        (boolean(), "2", "type_mismatch"),
        (Target::Text, "4294967040", "text 4294967040"),
        (Target::Text, "1.50", "text 1.50"),
        (Target::Text, "false", "text false"),
        (Target::Text, "{}", "type_mismatch"),
        (Target::Bytes(Encoding::Hex), "\"0aFF\"", "bytes [10, 255]"),
        (Target::Bytes(Encoding::Hex), "\"0A:ff\"", "bytes [10, 255]"),
        (Target::Bytes(Encoding::Hex), "\"abc\"", "type_mismatch"),
        (Target::Bytes(Encoding::Base64), "\"Cv8=\"", "bytes [10, 255]"),
        (Target::Bytes(Encoding::Base64), "\"Cv8\"", "bytes [10, 255]"),
        (Target::Bytes(Encoding::Base64), "\"-_-_\"", "bytes [251, 255, 191]"),
        (Target::Bytes(Encoding::Base64), "\"\"", "bytes []"),
        (Target::Bytes(Encoding::Base64), "\"C*\"", "type_mismatch"),
        (
            Target::Time(vec![Form::Rfc3339 { zone: None }]),
            "\"2026-01-15T08:30:00Z\"",
            "time 2026-01-15T08:30:00Z",
        ),
        (
            Target::Time(vec![Form::Rfc3339 { zone: None }]),
            "\"2026-02-30T08:30:00Z\"",
            "type_mismatch",
        ),
        (Target::List, "[]", "list List([])"),
        (Target::List, "{}", "type_mismatch"),
        (Target::Map, "{}", "map Map([])"),
    ] {
        let conversion = of(target);
        assert_eq!(converted(&conversion, json), value, "{:?} {json}", conversion.target);
        assert_eq!(converted(&conversion, "null"), "null");
    }
}

#[test]
fn scales_notations_and_parts() {
    let scale = Decimal::parse("1e-6");
    for (conversion, json, value) in [
        (
            Conversion { scale: scale.clone(), ..of(Target::Decimal) },
            "52520000",
            "decimal 52.520000",
        ),
        (Conversion { scale: scale.clone(), ..of(Target::Undeclared) }, "52520000", "float 52.52"),
        (Conversion { scale: scale.clone(), ..of(Target::Undeclared) }, "\"x\"", "type_mismatch"),
        (Conversion { scale, ..of(Target::Int { base: 10 }) }, "3000000", "int 3"),
        (Conversion { notation: Notation::Comma, ..of(Target::Float) }, "\"21,4\"", "float 21.4"),
        (
            Conversion { notation: Notation::Comma, ..of(Target::Decimal) },
            "\"1.234.567,80\"",
            "decimal 1234567.80",
        ),
        (Conversion { notation: Notation::Comma, ..of(Target::Float) }, "\"1.5\"", "type_mismatch"),
        (
            Conversion { before: Some("*".into()), ..of(Target::Decimal) },
            "\"00.512*kW\"",
            "decimal 0.512",
        ),
        (
            Conversion {
                after: Some("=".into()),
                before: Some(";".into()),
                ..of(Target::Int { base: 10 })
            },
            "\"a=5;b\"",
            "int 5",
        ),
        (Conversion { nulls: words(&["Error*"]), ..of(Target::Float) }, "\"Error3\"", "null"),
        (Conversion { nulls: words(&["-999"]), ..of(Target::Undeclared) }, "-999.0", "null"),
        (Conversion { not_finite: NotFinite::Null, ..of(Target::Undeclared) }, "NaN", "null"),
        (Conversion { not_finite: NotFinite::Null, ..of(Target::Decimal) }, "\"nan\"", "null"),
        (
            Conversion { not_finite: NotFinite::Null, ..of(Target::Int { base: 10 }) },
            "\"inf\"",
            "null",
        ),
        // Digits of base 36.
        (
            Conversion { not_finite: NotFinite::Null, ..of(Target::Int { base: 36 }) },
            "\"nan\"",
            "int 30191",
        ),
        (Conversion { not_finite: NotFinite::Keep, ..of(Target::Float) }, "\"-inf\"", "float -inf"),
        (
            Conversion { not_finite: NotFinite::Keep, ..of(Target::Int { base: 10 }) },
            "NaN",
            "type_mismatch",
        ),
    ] {
        assert_eq!(converted(&conversion, json), value, "{conversion:?} {json}");
    }
}
