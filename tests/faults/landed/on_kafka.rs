//! The reader on a real Kafka, and its lines. Envelopes are made by the gateway's own crate here, and only here.

use std::thread;
use std::time::Duration;

use prost::Message as _;
use proto::v1::envelope::Payload;
use proto::v1::{Cut, Envelope, Reference};
use sha2::Digest as _;
use tests::kafka::Kafka;
use tests::process::Signal;
use tests::tools::Folder;
use tests::wait;

use super::*;

/// The reader's own start takes a while: Java compiles it first.
const CATCH_UP: Duration = Duration::from_secs(40);

/// Kafka answers a fetch sooner than that, with or without records.
const FETCH: Duration = Duration::from_millis(500);

/// An envelope of device `m1`, under an id that ends with a number.
fn envelope(number: u8, payload: Payload) -> Envelope {
    let mut message_id = vec![0x5a; 16];
    message_id[15] = number;
    Envelope {
        message_id,
        device_id: "m1".to_owned(),
        gateway_id: "gw 1".to_owned(),
        lane: "fast".to_owned(),
        payload: Some(payload),
        ..Envelope::default()
    }
}

fn inline(number: u8) -> Vec<u8> {
    let payload = format!("m1 {number} 60\n{}", "x".repeat(200));
    envelope(number, Payload::Inline(payload.into())).encode_to_vec()
}

fn hash(bytes: &[u8]) -> Option<Sha256> {
    Some(Sha256(sha2::Sha256::digest(bytes).into()))
}

/// Of each record: its generation, partition, offset, and what its payload begins with.
fn places(lines: &Lines, topic: &str) -> Vec<(u32, i32, i64, String)> {
    let of_topic = lines.landed.iter().filter(|landed| &*landed.topic == topic);
    let mut places: Vec<_> = of_topic
        .map(|landed| {
            let head = landed.head.clone().unwrap_or_default();
            (landed.generation, landed.partition, landed.offset, head)
        })
        .collect();
    places.sort();
    places
}

#[test]
fn it_says_what_a_record_holds() {
    let (kafka, folder) = (Kafka::shared(), Folder::new("landed"));
    let topic = tests::kafka::unique("landed.what");
    kafka.create_topic(&topic, 1, &[]);
    let no_text = vec![b'%', b' ', 0xff, b'-'];
    kafka.produce(&topic, b"m1", &inline(1), &[]);
    let reference = Reference {
        uri: "s3://b/Ger%C3%A4te/m 1".to_owned(),
        size: 9_000_000,
        sha256: vec![0xab; 32],
        compression: 0,
    };
    let value = envelope(2, Payload::Reference(reference)).encode_to_vec();
    kafka.produce(&topic, b"m1", &value, &[]);
    let mut cut = envelope(3, Payload::Inline(Vec::new().into()));
    let (field, sha256) = ("payload".to_owned(), vec![0xcd; 32]);
    cut.cut = vec![Cut { field, size: 70, sha256 }];
    kafka.produce(&topic, b"-", &cut.encode_to_vec(), &[("landfall-reason", b"too large: 1 B")]);
    kafka.produce(
        &topic,
        b"",
        &envelope(4, Payload::Inline(no_text.clone().into())).encode_to_vec(),
        &[],
    );
    kafka.produce(&topic, b"m1", b"no envelope", &[]);

    let reader = Reader::start(&kafka.address(), &[&topic], &folder);
    reader.catch_up(CATCH_UP);
    assert_eq!((reader.count(), reader.partitions(&topic)), (5, 1));
    let landed = reader.finish().expect("Kafka is there").landed;
    let id = |number| Some(MessageId(u128::from_be_bytes([0x5a; 16]) & !0xff | number));
    let whole = format!("m1 1 60\n{}", "x".repeat(200));
    let expected = Landed {
        generation: 0,
        topic: topic.as_str().into(),
        partition: 0,
        offset: 0,
        timestamp_ms: landed[0].timestamp_ms,
        is_append_time: false,
        message_id: id(1),
        gateway: Some("gw 1".into()),
        head: Some("m1 1 60".to_owned()),
        size: whole.len() as u64,
        sha256: hash(whole.as_bytes()),
        uri: None,
        reason: None,
    };
    assert_eq!(landed[0], expected);
    assert!(expected.timestamp_ms > 0);
    let (size, sha256) = (9_000_000, Some(Sha256([0xab; 32])));
    let uri = Some("s3://b/Ger%C3%A4te/m 1".to_owned());
    let timestamp_ms = landed[1].timestamp_ms;
    let message_id = id(2);
    let base = Landed { head: None, ..expected };
    assert_eq!(
        landed[1],
        Landed { offset: 1, timestamp_ms, message_id, size, sha256, uri, ..base.clone() }
    );
    let (letter, odd, other) = (&landed[2], &landed[3], &landed[4]);
    assert_eq!((letter.size, letter.sha256, &letter.head), (70, Some(Sha256([0xcd; 32])), &None));
    assert_eq!(letter.reason.as_deref(), Some("too large: 1 B"));
    assert_eq!((odd.head.as_deref(), odd.sha256), (Some("% \u{fffd}-"), hash(&no_text)));
    assert_eq!((other.message_id, &other.gateway, &other.head), (None, &None, &None));
    assert_eq!((other.size, other.sha256), (11, hash(b"no envelope")));
}

#[test]
fn it_follows_topics_that_grow_and_are_made_anew_and_a_broker_that_dies() {
    let (kafka, folder) = (Kafka::start(), Folder::new("landed"));
    kafka.create_topic("grows", 1, &[]);
    kafka.create_topic("anew", 2, &[]);
    kafka.produce_to("grows", 0, &inline(1));
    (1..=3).for_each(|number| kafka.produce_to("anew", 0, &inline(number)));
    let reader = Reader::start(&kafka.address(), &["grows", "anew", "late"], &folder);
    reader.catch_up(CATCH_UP);
    assert_eq!(reader.count(), 4);

    kafka.grow_topic("grows", 2);
    kafka.produce_to("grows", 1, &inline(2));
    // It has at once more than the reader had read of the old one.
    kafka.delete_topic("anew");
    kafka.create_topic("anew", 1, &[]);
    (4..=8).for_each(|number| kafka.produce_to("anew", 0, &inline(number)));
    reader.begin("anew");
    kafka.create_topic("late", 1, &[]);
    kafka.produce_to("late", 0, &inline(9));
    reader.catch_up(CATCH_UP);

    kafka.kill();
    kafka.start_again();
    kafka.produce_to("grows", 0, &inline(3));
    // Nobody tells of this one.
    kafka.delete_topic("late");
    kafka.create_topic("late", 1, &[]);
    kafka.produce_to("late", 0, &inline(10));
    let lines = reader.finish().expect("Kafka is there again");

    let grows: Vec<_> = [(0, 0, 1), (0, 1, 3), (1, 0, 2)]
        .map(|(partition, offset, number)| (0, partition, offset, format!("m1 {number} 60")))
        .into();
    assert_eq!(places(&lines, "grows"), grows);
    assert_eq!(lines.sizes[&("grows".into(), 0)], [1, 2].into());
    // What came while it did not know yet that the topic is another one, it may have said before.
    let anew: Vec<_> = places(&lines, "anew").into_iter().filter(|place| place.0 == 1).collect();
    let expected: Vec<_> =
        (4..=8).map(|number| (1, 0, number - 4, format!("m1 {number} 60"))).collect();
    assert_eq!(anew, expected);
    let late: Vec<_> = [(0, 9), (1, 10)]
        .map(|(generation, number)| (generation, 0, 0, format!("m1 {number} 60")))
        .into();
    assert_eq!(places(&lines, "late"), late);
}

#[test]
fn it_says_whose_time_a_record_has() {
    let (kafka, folder) = (Kafka::shared(), Folder::new("landed"));
    let topics = ["producer", "append"].map(|name| tests::kafka::unique(&format!("landed.{name}")));
    let [of_producer, of_append] = topics.each_ref().map(String::as_str);
    kafka.create_topic(of_producer, 1, &[]);
    kafka.create_topic(of_append, 1, &[("message.timestamp.type", "LogAppendTime")]);
    topics.iter().for_each(|topic| kafka.produce_to(topic, 0, &inline(1)));
    let reader = Reader::start(&kafka.address(), &topics, &folder);
    let lines = reader.finish().expect("Kafka is there");
    let told = |topic: &str| {
        let landed = lines.landed.iter().find(|landed| &*landed.topic == topic);
        landed.expect("it was written").is_append_time
    };
    assert_eq!((told(of_producer), told(of_append)), (false, true));
}

#[test]
fn records_that_are_forgotten_are_passed_over() {
    let (kafka, folder) = (Kafka::shared(), Folder::new("landed"));
    let topic = tests::kafka::unique("landed.forgotten");
    kafka.create_topic(&topic, 1, &[]);
    (1..=5).for_each(|number| kafka.produce_to(&topic, 0, &inline(number)));
    kafka.forget_before(&topic, 0, 3);
    let reader = Reader::start(&kafka.address(), &[&topic], &folder);
    reader.catch_up(CATCH_UP);
    assert_eq!(reader.count(), 2);
    // It stands still while what it would read next comes and goes.
    reader.running().process.signal(Signal::STOP);
    thread::sleep(FETCH);
    (6..=8).for_each(|number| kafka.produce_to(&topic, 0, &inline(number)));
    kafka.forget_before(&topic, 0, 7);
    reader.running().process.signal(Signal::CONT);
    let lines = reader.finish().expect("Kafka is there");
    let offsets: Vec<i64> = lines.landed.iter().map(|landed| landed.offset).collect();
    // Kafka may have answered it already when a busy machine stopped it.
    assert!(offsets.starts_with(&[3, 4]) && offsets.ends_with(&[7]), "{offsets:?}");
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
}

#[test]
fn it_gives_up_and_says_what_it_could_not_read() {
    let (kafka, folder) = (Kafka::start(), Folder::new("landed"));
    kafka.create_topic("away", 1, &[]);
    let patience = Duration::from_secs(5);
    let reader = Reader::start_with(&kafka.address(), &["away"], &folder, patience);
    wait::until_true("it knows the topic", CATCH_UP, || reader.partitions("away") == 1);
    kafka.kill();
    let error = reader.finish().expect_err("there is no Kafka");
    assert!(error.contains("not read within 5 s: the ends of the topics are not known"), "{error}");
}

#[test]
fn what_is_no_line_is_an_error() {
    let hash = "ab".repeat(32);
    let whole = format!("l 0 t 1 2 3 0 m1 - fast gw 0 m1%201%2060 9 {hash} - -");
    let mut lines = Lines::default();
    lines.take(&whole).expect("it is whole");
    assert_eq!(lines.landed[0].head.as_deref(), Some("m1 1 60"));
    for wrong in [
        "",
        "z",
        "e 1",
        "a x",
        "p t 0",
        &whole.replace("l 0", "l x"),
        &whole.replace("3 0 m1", "3 2 m1"),
        &whole.replace("%20", "%2g"),
        &whole.replace("m1 - fast", "m1 0123 fast"),
        &whole.replace(&hash, "abab"),
        &whole[..whole.len() - 2],
        &format!("{whole} -"),
    ] {
        let error = lines.take(wrong).expect_err(wrong);
        assert!(error.contains(wrong), "{error}");
    }
    assert_eq!(lines.landed.len(), 1);
    let text = "0197ab00-0000-7000-8000-00000000000f";
    let id = MessageId(0x0197_ab00_0000_7000_8000_0000_0000_000f);
    assert_eq!((text.parse(), id.to_string()), (Ok(id), text.to_owned()));
    assert!(
        text[1..].parse::<MessageId>().is_err() && "+".repeat(32).parse::<MessageId>().is_err()
    );
}

#[test]
fn the_lines_of_a_reader_that_was_killed_are_read_up_to_the_torn_one() {
    let folder = Folder::new("landed");
    let path = folder.join("landed.out");
    std::fs::write(&path, "p t 0 3\np t 0 6\nl 0 t 1 2 3 0 m1 -")
        .expect("the folder can be written");
    let lines = Lines::read(&path).expect("the rest is whole");
    assert_eq!((lines.landed.len(), &lines.sizes[&("t".into(), 0)]), (0, &[3, 6].into()));
    std::fs::write(&path, "p t 0\n").expect("the folder can be written");
    assert!(Lines::read(&path).is_err());
}
