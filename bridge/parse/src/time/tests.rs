//! Times of events: used, flagged, absent, and counted from the received one.

use super::*;
use crate::decimal::Notation;
use crate::json::reader::{Duplicates, Rules, read};
use crate::time::zone::Zone;

const FACTS: Facts<'_> = Facts {
    topic: "t",
    received_ms: 1_772_366_400_000,
    device_id: "d",
    verified: false,
    attributes: &[],
};

fn plan(fields: &[&str], forms: Vec<Form>) -> TimePlan {
    TimePlan {
        fields: fields.iter().map(|path| Path::parse(path).expect("a path")).collect(),
        forms,
        offset: None,
        relative_below_ns: None,
        earliest: "2000-01-01T00:00:00Z".parse().expect("a time"),
        ahead_ns: 86_400_000_000_000,
        valid: None,
        required: false,
        nulls: Words::default(),
    }
}

fn epoch(unit: &str) -> Form {
    let unit = Unit::parse(unit).expect("a unit");
    Form::Epoch { unit, base: 10, notation: Notation::Point }
}

/// The time as `SOURCE TIME FLAG OFFSET`.
fn found(plan: &TimePlan, payload: &str) -> String {
    let rules =
        Rules { depth: 9, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };
    let payload = read(payload, &rules).expect("JSON");
    let scope = Scope {
        record: &payload,
        payload: &payload,
        parents: &[],
        keys: &[],
        index: None,
        facts: &FACTS,
    };
    match plan.find(&scope) {
        Err(failure) => failure.reason.label().to_owned(),
        Ok(EventTime { at, source, flag, offset_ns }) => {
            let flag = flag.map_or("", TimeFlag::label);
            let offset = offset_ns.map_or(String::new(), |offset| offset.to_string());
            format!("{} {at} {flag} {offset}", source.label()).trim_end().to_owned()
        }
    }
}

const RECEIVED: &str = "received 2026-03-01T12:00:00Z";

#[test]
fn a_time_is_used_or_flagged() {
    let seconds = plan(&["t"], vec![epoch("s")]);
    for (payload, result) in [
        (r#"{"t":1770149645}"#, "payload 2026-02-03T20:14:05Z"),
        (r#"{"t":"1770149645.5"}"#, "payload 2026-02-03T20:14:05.5Z"),
        (r#"{"t":1772452800}"#, "payload 2026-03-02T12:00:00Z"),
        (r#"{"t":1772452801}"#, &format!("{RECEIVED} out_of_range")),
        (r#"{"t":0}"#, &format!("{RECEIVED} out_of_range")),
        (r#"{"t":-62135596800}"#, &format!("{RECEIVED} out_of_range")),
        (r#"{"t":4102444800}"#, &format!("{RECEIVED} out_of_range")),
        (r#"{"t":1e30}"#, &format!("{RECEIVED} out_of_range")),
        (r#"{"t":"soon"}"#, &format!("{RECEIVED} not_valid")),
        (r#"{"t":[1]}"#, &format!("{RECEIVED} not_valid")),
        (r#"{"t":null}"#, RECEIVED),
        ("{}", RECEIVED),
    ] {
        assert_eq!(found(&seconds, payload), result, "{payload}");
    }
    let required = TimePlan { required: true, ..seconds };
    assert_eq!(found(&required, r#"{"t":null}"#), "field_missing");
}

#[test]
fn the_first_form_that_can_be_used_counts() {
    let zone = Some(Zone::parse("Europe/Berlin").expect("a zone"));
    let fleet = plan(&["t"], vec![epoch("s"), epoch("ms"), Form::Rfc3339 { zone }]);
    for (payload, result) in [
        (r#"{"t":1770149645}"#, "payload 2026-02-03T20:14:05Z"),
        (r#"{"t":1770149645123}"#, "payload 2026-02-03T20:14:05.123Z"),
        (r#"{"t":"2026-01-15T09:30:00"}"#, "payload 2026-01-15T08:30:00Z"),
        (r#"{"t":"2026-01-15T09:30:00Z"}"#, "payload 2026-01-15T09:30:00Z"),
        (r#"{"t":"2025-03-30T02:30:00"}"#, &format!("{RECEIVED} no_such_time")),
        (r#"{"t":17701496451234567}"#, &format!("{RECEIVED} out_of_range")),
    ] {
        assert_eq!(found(&fleet, payload), result, "{payload}");
    }
}

#[test]
fn a_time_may_be_a_sum_or_relative() {
    let unit = |unit| Unit::parse(unit).expect("a unit");
    let offset = Some((Path::parse("dt").expect("a path"), unit("ms")));
    let sum = TimePlan { offset: offset.clone(), ..plan(&["t"], vec![epoch("s")]) };
    assert_eq!(found(&sum, r#"{"t":1770149645,"dt":1500}"#), "payload 2026-02-03T20:14:06.5Z");
    assert_eq!(found(&sum, r#"{"t":1770149645,"dt":-0.5}"#), "payload 2026-02-03T20:14:04.9995Z");
    assert_eq!(found(&sum, r#"{"t":1770149645}"#), "payload 2026-02-03T20:14:05Z");
    assert_eq!(found(&sum, r#"{"t":1770149645,"dt":"x"}"#), format!("{RECEIVED} not_valid"));

    let clockless = TimePlan { offset, ..plan(&[], Vec::new()) };
    assert_eq!(
        found(&clockless, r#"{"dt":-60000}"#),
        "received 2026-03-01T11:59:00Z  -60000000000"
    );
    assert_eq!(found(&clockless, "{}"), RECEIVED);

    let below = unit("s").nanoseconds("268435456");
    let senml = TimePlan { relative_below_ns: below, ..plan(&["t"], vec![epoch("s")]) };
    assert_eq!(found(&senml, r#"{"t":-60}"#), "received 2026-03-01T11:59:00Z  -60000000000");
    assert_eq!(found(&senml, r#"{"t":0}"#), format!("{RECEIVED}  0"));
    assert_eq!(found(&senml, r#"{"t":1770149645}"#), "payload 2026-02-03T20:14:05Z");
    assert_eq!(found(&senml, r#"{"t":200000}"#), format!("{RECEIVED} out_of_range"));
    // What counts is the sum: a base may be absent, and the offset be the whole time.
    let offset = Some((Path::parse("dt").expect("a path"), unit("s")));
    let senml = TimePlan { offset, ..senml };
    assert_eq!(found(&senml, r#"{"t":0,"dt":1770149645}"#), "payload 2026-02-03T20:14:05Z");
    assert_eq!(found(&senml, r#"{"t":0,"dt":-60}"#), "received 2026-03-01T11:59:00Z  -60000000000");
    assert_eq!(found(&senml, r#"{"t":1770149645.57,"dt":0.1}"#), "payload 2026-02-03T20:14:05.67Z");
}

#[test]
fn a_time_may_stand_in_two_places() {
    let zone = Some(Zone::parse("UTC").expect("a zone"));
    let pattern = Form::pattern("%d/%m/%Y %H:%M:%S%.f", zone).expect("a pattern");
    let both = plan(&["Date", "Time"], vec![pattern]);
    let payload = r#"{"Date":"15/01/2026","Time":"08:30:00.250"}"#;
    assert_eq!(found(&both, payload), "payload 2026-01-15T08:30:00.25Z");
    assert_eq!(found(&both, r#"{"Date":"15/01/2026"}"#), RECEIVED);
}

#[test]
fn a_device_may_say_that_its_clock_is_wrong() {
    let valid = Condition {
        path: Path::parse("synch").expect("a path"),
        equals: Some(Words::new(&["1".to_owned()])),
        unlike: None,
        exists: None,
    };
    let plan = TimePlan { valid: Some(valid), ..plan(&["t"], vec![epoch("s")]) };
    assert_eq!(found(&plan, r#"{"t":1770149645,"synch":1}"#), "payload 2026-02-03T20:14:05Z");
    assert_eq!(found(&plan, r#"{"t":1770149645,"synch":0}"#), format!("{RECEIVED} not_valid"));
    assert_eq!(found(&plan, r#"{"t":1770149645}"#), format!("{RECEIVED} not_valid"));
}
