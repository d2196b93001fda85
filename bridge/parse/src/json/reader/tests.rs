//! The reader of JSON against what the standard says, and against a reader that is not ours.

use proptest::prelude::*;

use super::*;

const RULES: Rules =
    Rules { depth: 128, duplicates: Duplicates::Fail, not_finite: false, tree: usize::MAX };

fn failure(text: &str) -> (Reason, usize) {
    let failure = read(text, &RULES).expect_err(text);
    (failure.reason, failure.at.expect("a fault of JSON has a place"))
}

#[test]
fn faults_have_their_name_and_place() {
    for (text, reason, at) in [
        ("", Reason::Truncated, 0),
        ("  ", Reason::Truncated, 2),
        ("{", Reason::Truncated, 1),
        ("{\"a", Reason::Truncated, 3),
        ("{\"a\"", Reason::Truncated, 4),
        ("{\"a\":", Reason::Truncated, 5),
        ("{\"a\":1", Reason::Truncated, 6),
        ("{\"a\":1,", Reason::Truncated, 7),
        ("{\"a\":1.", Reason::Truncated, 7),
        ("[1e", Reason::Truncated, 3),
        ("[tru", Reason::Truncated, 4),
        ("[n", Reason::Truncated, 2),
        ("\"\\u00", Reason::Truncated, 5),
        ("\"\\ud800\\", Reason::Truncated, 8),
        ("-", Reason::Truncated, 1),
        ("{\"a\":1,}", Reason::NotJson, 7),
        ("[1,]", Reason::NotJson, 3),
        ("[1 2]", Reason::NotJson, 3),
        ("{a:1}", Reason::NotJson, 1),
        ("{\"a\" 1}", Reason::NotJson, 5),
        ("[01]", Reason::NotJson, 2),
        ("[.5]", Reason::NotJson, 1),
        ("[+5]", Reason::NotJson, 1),
        ("[1.x]", Reason::NotJson, 3),
        ("[nan]", Reason::NotJson, 2),
        ("[NaN]", Reason::NotJson, 1),
        ("\"a\nb\"", Reason::NotJson, 2),
        ("\"\\x\"", Reason::NotJson, 2),
        ("\"\\ud800x\"", Reason::NotJson, 1),
        ("\"\\udc00\"", Reason::NotJson, 1),
        ("offline", Reason::NotJson, 0),
        ("{} x", Reason::TrailingData, 3),
        ("{}{}", Reason::TrailingData, 2),
        ("{\"a\":1,\"b\":2,\"\\u0061\":3}", Reason::DuplicateKey, 13),
    ] {
        assert_eq!(failure(text), (reason, at), "{text}");
    }
}

#[test]
fn depth_has_a_limit_and_costs_no_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(128), &RULES).is_ok());
    assert_eq!(failure(&nested(129)), (Reason::TooDeep, 128));
    assert_eq!(failure(&"[".repeat(100_000)), (Reason::TooDeep, 128));
    assert_eq!(failure(&"{\"a\":".repeat(100_000)), (Reason::TooDeep, 640));
}

#[test]
fn doubles_are_as_the_rules_say() {
    let read = |duplicates, text| {
        let document = read(text, &Rules { duplicates, ..RULES }).expect("it is JSON");
        let Kind::Map(entries) = document.kind else { panic!("an object") };
        entries.iter().map(|one| format!("{}={:?}", one.key, one.value.kind)).collect::<Vec<_>>()
    };
    let text = "{\"a\":null,\"b\":true,\"a\":false}";
    assert_eq!(read(Duplicates::First, text), ["a=Null", "b=Bool(true)"]);
    assert_eq!(read(Duplicates::Last, text), ["b=Bool(true)", "a=Bool(false)"]);
    // Beyond what is compared one by one.
    let many: Vec<String> = (0..60).map(|key| format!("\"k{}\":{key}", key % 59)).collect();
    let many = format!("{{{}}}", many.join(","));
    assert_eq!(failure(&many).0, Reason::DuplicateKey);
    assert_eq!(read(Duplicates::Last, &many).len(), 59);
}

#[test]
fn what_is_not_finite_is_taken_where_it_is_declared() {
    let rules = Rules { not_finite: true, ..RULES };
    let text = "[nan,NaN,-Infinity,+inf,-nan,1,-2,null,true]";
    let Kind::List(items) = read(text, &rules).expect("declared").kind else { panic!("a list") };
    let finite = items.iter().filter(|one| !matches!(one.kind, Kind::NotFinite(_))).count();
    assert_eq!(finite, 4);
    assert!(matches!(items[2].kind, Kind::NotFinite(value) if value == f64::NEG_INFINITY));
    for text in ["[nano]", "[infinite]", "[--inf]", "[+1]"] {
        assert!(read(text, &rules).is_err(), "{text}");
    }
}

#[test]
fn documents_follow_each_other() {
    let text = " {\"a\":1}{\"a\":2} [3]4 ";
    let (mut at, mut count) = (0, 0);
    while let Some((_, end)) = read_next(text, at, &RULES).expect("four documents") {
        (at, count) = (end, count + 1);
    }
    assert_eq!(count, 4);
}

/// The same value, by serde_json.
fn foreign(json: &Json<'_>) -> serde_json::Value {
    match &json.kind {
        Kind::Null | Kind::NotFinite(_) | Kind::Bytes(_) => serde_json::Value::Null,
        Kind::Bool(value) => (*value).into(),
        Kind::Number(digits) => serde_json::from_str(digits).expect("a number"),
        Kind::Text(text) => text.as_ref().into(),
        Kind::List(items) => items.iter().map(foreign).collect(),
        Kind::Map(entries) => {
            let entry = |one: &Entry<'_>| (one.key.to_string(), foreign(&one.value));
            serde_json::Value::Object(entries.iter().map(entry).collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// It takes what serde_json takes, refuses what that refuses, and reads the same.
    #[test]
    fn it_reads_as_a_foreign_reader_does(text in r#"([\[\]{},:]|"[a-c\\n"]{0,3}"|"\\u00e[0-9]"|-?[0-9]{1,3}(\.[0-9])?(e[+-]?[0-9])?|true|null|[ \n]|x){0,12}"#) {
        let rules = Rules { duplicates: Duplicates::Last, ..RULES };
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (read(&text, &rules), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(foreign(&ours), theirs),
            (Err(ours), Err(theirs)) => {
                prop_assert_eq!(ours.reason == Reason::Truncated, theirs.is_eof(), "{}", ours);
            }
            // What a number's size means is not the reader's question.
            (Ok(_), Err(theirs)) if theirs.to_string().contains("out of range") => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
    }

    /// Every part of a document is told from a wrong one: it is cut, or it is whole.
    #[test]
    fn a_part_of_a_document_is_truncated(end in 0_usize..86) {
        let whole = r#"{"a":[1,-2.5e+3,true,null,{"b":"x\u00e4\n"}],"long key":[[],{}],"c":"\ud83d\ude00"}  "#;
        let part = &whole[..end.min(whole.len())];
        match read(part, &RULES) {
            Ok(_) => prop_assert!(end >= whole.trim_end().len()),
            Err(failure) => {
                prop_assert_eq!((failure.reason, failure.at), (Reason::Truncated, Some(part.len())));
            }
        }
    }
}

#[test]
fn a_tree_has_its_bound_whatever_it_is_made_of() {
    let rules = Rules { tree: 64 * 1024, ..RULES };
    let many = |one: &str, count: usize| format!("[{}0]", format!("{one},").repeat(count));
    for one in ["0", "[]", "{}", "[0]", "{\"\":0}", "[[[0]]]", "{\"a\":1,\"b\":{\"c\":[2]}}"] {
        assert!(read(&many(one, 90), &rules).is_ok(), "{one}");
        let failure = read(&many(one, 2_000), &rules).expect_err(one);
        assert_eq!((failure.reason, failure.at), (Reason::TooLarge, Some(0)), "{one}");
        // Each document has all of it.
        let text = format!("{0} {0}", many(one, 90));
        let (_, end) = read_next(&text, 0, &rules).expect("it is small").expect("it is there");
        assert!(read_next(&text, end, &rules).is_ok_and(|next| next.is_some()), "{one}");
    }
    // What is told is where the document begins.
    let text = format!("1 {}", many("0", 2_000));
    let (_, end) = read_next(&text, 0, &rules).expect("it is small").expect("it is there");
    assert_eq!(read_next(&text, end, &rules).expect_err("it is large").at, Some(2));
}
