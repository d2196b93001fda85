//! Books as they are written, torn, contradictory, and read again.

use std::path::PathBuf;

use super::*;

const HASH: Sha256 = Sha256([0xa5; 32]);

fn lines() -> Vec<Line<'static>> {
    let (device, topic) = ("meter-0007", "devices/meter/meter-0007/power");
    vec![
        Line::Run { run: 1, seed: 9, devices: 20, pid: 77, at: 1 },
        Line::Connected { device, at: 2, wait_ms: 3 },
        Line::Invoked { device, seq: 1, qos: 0, size: 60, sha256: HASH, topic, at: 4 },
        Line::Invoked { device, seq: 2, qos: 1, size: 70, sha256: HASH, topic, at: 5 },
        Line::Invoked { device, seq: 3, qos: 2, size: 80, sha256: HASH, topic, at: 6 },
        Line::Invoked { device, seq: 4, qos: 1, size: 90, sha256: HASH, topic, at: 6 },
        Line::Disconnected { device, at: 7, why: "code-0x8B" },
        Line::SentAgain { device, seq: 2, at: 8 },
        Line::Acknowledged { device, seq: 2, at: 9, code: 0x10 },
        Line::Negative { device, seq: 3, at: 10, code: 0x97 },
        Line::Fault { device, at: 11, what: "PUBACK 5, which answers nothing" },
        Line::GivenUp { device, seq: 4, at: 12, why: "forgotten" },
        Line::Ended { at: 13, open: 0 },
    ]
}

fn text(lines: &[Line<'_>]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Writes books; the name keeps tests that run beside each other apart.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("landfall-books-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("the folder for temporary files can be written");
    path
}

/// Reads them and takes them away.
fn books(name: &str, text: &str) -> Result<Books, String> {
    let path = file(name, text);
    let books = Books::read(&path);
    std::fs::remove_file(path).expect("it was written");
    books
}

#[test]
fn each_line_is_read_as_it_was_written() {
    for line in lines() {
        let text = line.to_string();
        assert_eq!(Line::parse(&text).as_ref(), Ok(&line), "{text}");
    }
}

#[test]
fn the_books_say_what_became_of_each_message() {
    let books = books("fates", &text(&lines())).expect("they are whole");
    let message = |seq| books.message("meter-0007", seq).expect("it was sent");
    assert_eq!(message(1).fate, None);
    assert!(!message(1).is_open(), "nobody waits for an answer to QoS 0");
    assert_eq!(message(2).fate, Some(Fate::Acknowledged { at: 9, code: 0x10 }));
    assert_eq!(message(2).sendings(), 2);
    assert_eq!(message(3).fate, Some(Fate::Negative { at: 10, code: 0x97 }));
    assert_eq!(message(4).fate, Some(Fate::GivenUp { at: 12, why: "forgotten".to_owned() }));
    let device = &books.devices["meter-0007"];
    assert_eq!(device.connects, [Connect { at: 2, wait_ms: 3 }]);
    assert_eq!(device.disconnects, [Disconnect { at: 7, why: "code-0x8B".to_owned() }]);
    assert_eq!(device.faults, [(11, "PUBACK 5, which answers nothing".to_owned())]);
    assert_eq!((books.runs.len(), &books.ends[..]), (1, &[(13, 0)][..]));
}

/// Cut anywhere, they are what the whole lines say, and the length of those is known.
#[test]
fn a_torn_line_is_as_if_it_was_never_written() {
    let whole = text(&lines());
    for size in 0..=whole.len() {
        let path = file("torn", &whole[..size]);
        let mut read_back = Vec::new();
        let length = read(&path, |line| {
            read_back.push(line.to_string());
            Ok(())
        });
        let expected = whole[..size].rfind('\n').map_or(0, |at| at + 1);
        assert_eq!(length, Ok(expected as u64), "cut at {size}");
        assert_eq!(read_back.len(), whole[..expected].lines().count());
        std::fs::remove_file(path).expect("it was written");
    }
}

#[test]
fn what_is_no_line_is_an_error_with_its_number() {
    let hash = HASH.to_string();
    for (wrong, says) in [
        ("z meter-0007 1", "no line begins so"),
        ("", "a field is empty"),
        ("s meter-0007 2", "too few fields"),
        ("s meter-0007 2 3 4", "too much"),
        ("s meter-0007  3", "a field is empty"),
        ("s meter-0007 two 3", "cannot stand there"),
        ("o meter-0007 2 3 0g", "no code"),
        (&format!("i meter-0007 1 1 60 {}0 a/b 4", &hash[1..62]), "cannot stand there"),
        (&format!("i meter-0007 1 1 60 {}g a/b 4", &hash[1..]), "cannot stand there"),
    ] {
        let text = format!("r 1 9 20 77 1\n{wrong}\ne 2 0\n");
        let error = books("wrong", &text).expect_err(wrong);
        assert!(error.contains("line 2: ") && error.contains(says), "{wrong:?}: {error}");
    }
}

#[test]
fn what_contradicts_the_lines_before_it_is_an_error() {
    let sent =
        Line::Invoked { device: "m", seq: 1, qos: 1, size: 60, sha256: HASH, topic: "t", at: 1 };
    let acknowledged = Line::Acknowledged { device: "m", seq: 1, at: 2, code: 0 };
    for (lines, says) in [
        (vec![sent.clone(), sent.clone()], "m sends 1 after 1"),
        (vec![acknowledged.clone()], "m never sent 1"),
        (vec![sent.clone(), acknowledged.clone(), acknowledged], "does not wait for 1 any more"),
        (vec![sent, Line::SentAgain { device: "m", seq: 0, at: 3 }], "m never sent 0"),
        (vec![Line::Run { run: 2, seed: 1, devices: 1, pid: 1, at: 1 }], "run 2 comes after 0"),
    ] {
        let error = books("contradiction", &text(&lines)).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn people_are_told_the_sums_and_the_life_of_a_message() {
    let path = file("show", &text(&lines()));
    let told = |device: Option<&str>, seq| {
        let device = device.map(str::to_owned);
        run(&Options { file: path.clone(), device, seq })
    };
    let sums = told(None, None).expect("they are whole");
    for part in ["4 messages, 300 bytes, 1 sent again", "1 acknowledged with 0x10", "1 QoS 0"] {
        assert!(sums.contains(part), "{part:?} is not in {sums}");
    }
    let device = told(Some("meter-0007"), None).expect("it is there");
    assert!(device.contains("7 gone: code-0x8B"), "{device}");
    let message = told(Some("meter-0007"), Some(2)).expect("it was sent");
    assert!(message.ends_with("sent 5 and [8]: acknowledged with 0x10 after 4 ms"), "{message}");
    assert!(told(Some("meter-0007"), Some(5)).is_err(), "it never sent a fifth");
    std::fs::remove_file(path).expect("it was written");
}
