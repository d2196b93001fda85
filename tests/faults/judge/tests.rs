//! Fabricated books and records: each finding is found, and what only looks like one is not.

use std::collections::HashMap;

use ::tests::tools::Folder;

use super::times::Latencies;
use super::verdict::Doubles;
use super::*;
use crate::books::{Books, Line, Sha256};
use crate::landed::{Landed, Lines, MessageId};

const ALARMS: &str = "devices/meter/m1/alarm";
const POWER: &str = "devices/meter/m1/power";
/// Messages are sent one after another, so many milliseconds after 1970, and a little later acknowledged.
const BEGIN_MS: u64 = 1_000_000;
const STEP_MS: u64 = 100;
const WAIT_MS: u64 = 20;
const SIZE: u64 = 60;

/// What is to be judged.
#[derive(Default)]
struct Story {
    books: Books,
    lines: Lines,
    evidence: Evidence,
    objects: HashMap<String, Object>,
}

impl Story {
    /// One device, with messages that landed, were acknowledged, and are in order.
    fn of(count: u64) -> Story {
        let mut story = Story::default();
        for seq in 1..=count {
            story.send("m1", seq, 1);
            story.acknowledge("m1", seq);
            story.land("m1", seq);
        }
        story
    }

    fn add(&mut self, line: Line<'_>) {
        self.books.add(line).expect("the books are sound");
    }

    fn send(&mut self, device: &str, seq: u64, qos: u8) {
        self.send_to(device, seq, qos, POWER);
    }

    fn send_to(&mut self, device: &str, seq: u64, qos: u8, topic: &str) {
        let (sha256, size, at) = (hash(device, seq), SIZE as usize, sent_ms(seq));
        self.add(Line::Invoked { device, seq, qos, size, sha256, topic, at });
    }

    fn send_again(&mut self, device: &str, seq: u64) {
        self.add(Line::SentAgain { device, seq, at: sent_ms(seq) + 1 });
    }

    fn acknowledge(&mut self, device: &str, seq: u64) {
        self.acknowledge_at(device, seq, sent_ms(seq) + WAIT_MS);
    }

    fn acknowledge_at(&mut self, device: &str, seq: u64, at: u64) {
        self.add(Line::Acknowledged { device, seq, at, code: 0 });
    }

    fn refuse(&mut self, device: &str, seq: u64, code: u8) {
        self.add(Line::Negative { device, seq, at: sent_ms(seq) + WAIT_MS, code });
    }

    /// The message is the topic's next record, under an id of the message's own.
    fn land(&mut self, device: &str, seq: u64) -> &mut Landed {
        let offset = self.lines.landed.len() as i64;
        self.lines.landed.push(Landed {
            generation: 0,
            topic: "fast".into(),
            partition: 3,
            offset,
            timestamp_ms: sent_ms(seq) as i64,
            is_append_time: false,
            message_id: Some(message_id(seq)),
            gateway: Some("gw-1".into()),
            head: Some(format!("{device} {seq} {SIZE}")),
            size: SIZE,
            sha256: Some(hash(device, seq)),
            uri: None,
            reason: None,
        });
        self.lines.landed.last_mut().expect("it was just put there")
    }

    /// The same in the object store.
    fn refer(&mut self, device: &str, seq: u64) -> &mut Object {
        let uri = format!("s3://faults/{device}/{seq}");
        let landed = self.land(device, seq);
        let head = landed.head.take().expect("each has one");
        landed.uri = Some(uri.clone());
        let object = Object { size: SIZE, sha256: hash(device, seq), head };
        self.objects.entry(uri).or_insert(object)
    }

    fn case<T>(&self, look: impl FnOnce(&Case<'_>) -> T) -> T {
        let open = |uri: &str| {
            self.objects.get(uri).cloned().ok_or_else(|| "there is no such object".to_owned())
        };
        look(&Case::of(&self.books, &self.lines, &open))
    }

    fn verdict(&self) -> Verdict {
        self.case(|case| case.verdict(&self.evidence))
    }

    #[track_caller]
    fn is_clean(&self) -> Verdict {
        let verdict = self.verdict();
        assert!(verdict.findings.is_empty(), "{verdict}");
        verdict
    }

    /// It finds so many of this kind, and nothing else.
    #[track_caller]
    fn finds_each(&self, kind: Kind, count: usize) {
        let verdict = self.verdict();
        let found: Vec<_> =
            verdict.findings.each().map(|(kind, found)| (kind, found.count)).collect();
        assert_eq!(found, [(kind, count)], "{verdict}");
    }

    /// It finds one of this kind, and nothing else; what it says of it has all these words.
    #[track_caller]
    fn finds(&self, kind: Kind, words: &[&str]) -> Verdict {
        let verdict = self.verdict();
        let found: Vec<_> = verdict.findings.each().collect();
        let [(only, examples)] = found[..] else { panic!("not one finding: {verdict}") };
        assert_eq!((only, examples.count), (kind, 1), "{verdict}");
        let text = &examples.examples[0];
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
        verdict
    }
}

fn sent_ms(seq: u64) -> u64 {
    BEGIN_MS + STEP_MS * seq
}

fn message_id(seq: u64) -> MessageId {
    MessageId(0x0197_0000 + u128::from(seq))
}

fn hash(device: &str, seq: u64) -> Sha256 {
    let mut hash = [device.bytes().fold(7, |sum, byte| byte ^ sum << 1); 32];
    hash[..8].copy_from_slice(&seq.to_be_bytes());
    Sha256(hash)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let verdict = Story::of(5).is_clean();
    let numbers =
        (verdict.numbers.messages, verdict.numbers.sendings, verdict.numbers.acknowledged);
    assert_eq!(numbers, (5, 5, 5));
    assert_eq!((verdict.numbers.landed, verdict.numbers.lost), (5, 0));
    assert_eq!(verdict.doubles, Doubles::default());
}

#[test]
fn what_was_acknowledged_and_is_nowhere_is_lost() {
    let mut story = Story::of(3);
    story.lines.landed.remove(1);
    let verdict = story.finds(
        Kind::Lost,
        &["m1 2 (QoS 1, 60 bytes", "sent at 1000200", "acknowledged at 1000220"],
    );
    assert_eq!(verdict.numbers.lost, 1);
}

#[test]
fn a_dead_letter_holds_its_message() {
    let mut story = Story::of(3);
    let letter = &mut story.lines.landed[1];
    letter.reason = Some("no route".to_owned());
    letter.topic = "dead-letter".into();
    assert_eq!(story.is_clean().numbers.dead_letters, 1);
    // One that had no room for the payload names it by its hash.
    story.lines.landed[1].head = None;
    story.is_clean();
}

#[test]
fn a_message_without_an_acknowledgement_may_be_gone() {
    let mut story = Story::of(2);
    story.send("m1", 3, 0);
    story.send("m1", 4, 1);
    story.send("m1", 5, 2);
    story.add(Line::GivenUp { device: "m1", seq: 5, at: sent_ms(9), why: "end" });
    assert_eq!(story.is_clean().numbers.lost, 0);
}

#[test]
fn a_torn_line_says_nothing() {
    let path = std::env::temp_dir().join(format!("landfall-judge-torn-{}", std::process::id()));
    let hash = hash("m1", 1);
    let text = format!("r 1 2 3 4 5\ni m1 1 1 60 {hash} {POWER} {BEGIN_MS}\no m1 1 100002");
    std::fs::write(&path, text).expect("the folder for temporary files can be written");
    let books = Books::read(&path).expect("they are whole but for their last line");
    std::fs::remove_file(&path).expect("it was written");
    let story = Story { books, ..Story::default() };
    let numbers = story.is_clean().numbers;
    assert_eq!((numbers.messages, numbers.acknowledged), (1, 0));
}

#[test]
fn what_nobody_sent_is_foreign() {
    let mut story = Story::of(2);
    story.land("m1", 3);
    story.finds(Kind::Foreign, &["fast-3@2", "\"m1 3 60\""]);
    story.lines.landed[2].head = Some("m7 1 60".to_owned());
    story.finds(Kind::Foreign, &["m7 1 60"]);
    // What is no envelope has neither.
    story.lines.landed[2].head = None;
    story.lines.landed[2].message_id = None;
    story.finds(Kind::Foreign, &["no id", "nothing to read"]);
}

#[test]
fn content_that_is_not_what_was_sent_is_changed() {
    let mut story = Story::of(2);
    story.lines.landed[1].sha256 = Some(hash("m1", 9));
    story.finds(Kind::Changed, &["m1 2 ", "fast-3@1"]);
    let mut story = Story::of(2);
    story.lines.landed[1].size = SIZE - 1;
    story.finds(Kind::Changed, &["says 59 bytes"]);
}

#[test]
fn a_reference_has_to_lead_to_what_was_sent() {
    let mut story = Story::of(0);
    story.send("m1", 1, 1);
    story.acknowledge("m1", 1);
    story.refer("m1", 1);
    assert_eq!(story.is_clean().numbers.references, 1);
    let uri = "s3://faults/m1/1";
    let whole = story.objects[uri].clone();
    story.objects.insert(uri.to_owned(), Object { size: SIZE - 1, ..whole.clone() });
    story.finds(Kind::Changed, &["m1 1 ", uri, "of 59 bytes"]);
    story.objects.insert(uri.to_owned(), Object { sha256: hash("m1", 2), ..whole });
    story.finds(Kind::Changed, &[uri]);
    story.objects.clear();
    story.finds(Kind::Unresolved, &["m1 1 ", uri, "there is no such object"]);
    // Nobody sent it, and nothing is there.
    story.lines.landed[0].sha256 = None;
    story.books = Books::default();
    story.finds(Kind::Foreign, &[uri]);
}

#[test]
fn a_device_is_out_of_order_where_a_later_message_is_there_first() {
    let mut story = Story::of(4);
    story.lines.landed[1].offset = 2;
    story.lines.landed[2].offset = 1;
    story.finds(Kind::Order, &["m1 2 ", "fast-3@2", "comes after 3 at fast-3@1"]);
}

#[test]
fn what_comes_again_does_not_come_first() {
    let mut story = Story::of(4);
    story.books = Books::default();
    for seq in 1..=4 {
        story.send("m1", seq, 1);
    }
    story.send_again("m1", 2);
    (1..=4).for_each(|seq| story.acknowledge("m1", seq));
    story.land("m1", 2).message_id = Some(MessageId(77));
    assert_eq!(story.is_clean().doubles.by_resend, 1);
}

#[test]
fn the_order_is_that_of_one_device_in_one_topic_of_one_gateway() {
    let mut story = Story::of(2);
    story.send_to("m1", 3, 1, ALARMS);
    story.send("m1", 4, 1);
    story.land("m1", 4);
    // The alarm overtakes nobody in its own topic, though it is later in all.
    story.land("m1", 3).topic = "priority".into();
    story.is_clean();
    // Another device has another row.
    story.send("m2", 1, 1);
    story.land("m2", 1);
    story.is_clean();
    // So has another gateway.
    story.send("m1", 5, 1);
    story.send("m1", 6, 1);
    story.land("m1", 6).gateway = Some("gw-2".into());
    story.land("m1", 5);
    story.is_clean();
    story.lines.landed.last_mut().expect("it landed").gateway = Some("gw-2".into());
    story.finds(Kind::Order, &["m1 5 "]);
}

/// Four messages of a device in a topic that grew between the second and the third, by Kafka's own times.
fn grown(times_ms: [i64; 4]) -> Story {
    let mut story = Story::of(4);
    story.lines.sizes.insert(("fast".into(), 0), [6, 24].into());
    for (landed, at_ms) in story.lines.landed.iter_mut().zip(times_ms) {
        landed.timestamp_ms = at_ms;
        landed.is_append_time = true;
    }
    story.lines.landed[2..].iter_mut().for_each(|landed| landed.partition = 9);
    story
}

#[test]
fn a_device_keeps_its_order_across_the_partitions_of_a_topic() {
    grown([10, 11, 12, 13]).is_clean();
    grown([10, 12, 11, 13]).finds(Kind::Order, &["m1 2 ", "fast-3@1", "comes after 3 at fast-9@2"]);
    // What Kafka took in one millisecond may have come in any order.
    grown([10, 11, 11, 11]).is_clean();
    grown([11, 12, 9, 10]).finds_each(Kind::Order, 2);
    // The producer's own times say nothing of it.
    let mut story = grown([10, 12, 11, 13]);
    story.lines.landed.iter_mut().for_each(|landed| landed.is_append_time = false);
    story.is_clean();
}

#[test]
fn what_comes_again_in_another_partition_does_not_come_first() {
    let mut story = grown([10, 11, 20, 21]);
    // The second is there once more, in the new partition and behind all others.
    story.evidence.handed_over_again.insert(message_id(2));
    let again = story.land("m1", 2);
    (again.partition, again.timestamp_ms, again.is_append_time) = (9, 30, true);
    assert_eq!(story.is_clean().doubles.by_gateway, 1);
}

#[test]
fn a_message_is_out_of_order_once_however_it_is_looked_at() {
    let mut story = grown([10, 13, 11, 12]);
    // The third overtook the second, and the fourth did so within a partition too.
    story.lines.landed[1].partition = 9;
    story.lines.landed[1].offset = 9;
    story.lines.landed[3].partition = 3;
    story.finds(Kind::Order, &["m1 2 ", "comes after 3 at fast-9@2"]);
}

#[test]
fn references_and_dead_letters_come_when_they_come() {
    for is_letter in [false, true] {
        let mut story = Story::of(3);
        story.lines.landed[1].offset = 9;
        if is_letter {
            story.lines.landed[1].reason = Some("why".to_owned());
        } else {
            let landed = story.lines.landed.remove(1);
            story.refer("m1", 2);
            story.lines.landed.last_mut().expect("it landed").offset = landed.offset;
        }
        story.is_clean();
    }
}

#[test]
fn qos_0_has_its_place_too() {
    let mut story = Story::of(1);
    (2..=3).for_each(|seq| story.send("m1", seq, 0));
    (2..=3).rev().for_each(|seq| drop(story.land("m1", seq).clone()));
    story.finds(Kind::Order, &["m1 2 (QoS 0"]);
}

#[test]
fn a_device_is_in_one_partition_until_its_topic_grows() {
    let mut story = Story::of(3);
    story.lines.landed[2].partition = 5;
    story.finds(Kind::Scattered, &["m1 is in 2 partitions of fast", "fast-3@0", "fast-5@2"]);
    story.lines.sizes.insert(("fast".into(), 0), [6, 24].into());
    story.is_clean();
}

#[test]
fn a_double_is_explained_by_a_resend_that_was_accepted_again() {
    let mut story = Story::of(0);
    story.send("m1", 1, 1);
    story.send_again("m1", 1);
    story.acknowledge("m1", 1);
    story.land("m1", 1);
    story.land("m1", 1).message_id = Some(MessageId(2));
    assert_eq!(story.is_clean().doubles, Doubles { by_resend: 1, ..Doubles::default() });
    // There were two sendings, and the gateway made three of them.
    story.land("m1", 1).message_id = Some(MessageId(3));
    let verdict = story.finds(Kind::Double, &["2 sendings, 3 ids", "fast-3@2"]);
    assert_eq!((verdict.doubles.by_resend, verdict.doubles.unexplained), (1, 1));
}

#[test]
fn a_record_comes_twice_only_when_the_gateway_said_so() {
    let mut story = Story::of(2);
    story.land("m1", 2);
    let verdict =
        story.finds(Kind::Double, &["m1 2 ", "not handed over again", "fast-3@1", "fast-3@2"]);
    assert_eq!(verdict.doubles.unexplained, 1);
    story.evidence.handed_over_again.insert(message_id(1));
    story.finds(Kind::Double, &["m1 2 "]);
    story.evidence.handed_over_again.insert(message_id(2));
    assert_eq!(story.is_clean().doubles, Doubles { by_gateway: 1, ..Doubles::default() });
}

#[test]
fn a_message_with_qos_0_may_be_lost_and_not_be_there_twice() {
    let mut story = Story::of(1);
    story.send("m1", 2, 0);
    story.is_clean();
    story.land("m1", 2);
    story.land("m1", 2).message_id = Some(MessageId(5));
    story.finds(Kind::Double, &["m1 2 (QoS 0"]);
}

#[test]
fn what_a_gateway_could_not_tell_before_it_was_killed_counts_apart() {
    let mut story = Story::of(2);
    story.land("m1", 2);
    let acknowledged_ms = sent_ms(2) + WAIT_MS;
    for (killed_ms, is_explained) in [
        (sent_ms(2) - 1, false),
        (sent_ms(2), true),
        (acknowledged_ms + 3_000, true),
        (acknowledged_ms + 3_001, false),
    ] {
        story.evidence.killed_ms = vec![killed_ms];
        if is_explained {
            assert_eq!(story.is_clean().doubles, Doubles { by_kill: 1, ..Doubles::default() });
        } else {
            story.finds(Kind::Double, &["m1 2 "]);
        }
    }
}

#[test]
fn a_list_that_was_too_short_explains_and_counts_apart() {
    let mut story = Story::of(2);
    story.land("m1", 2);
    story.evidence.overflowed = true;
    assert_eq!(story.is_clean().doubles, Doubles { by_overflow: 1, ..Doubles::default() });
    // It does not explain an id more than there were sendings.
    story.lines.landed[2].message_id = Some(MessageId(5));
    story.finds(Kind::Double, &["1 sendings, 2 ids"]);
}

#[test]
fn what_was_acknowledged_while_its_topic_was_deleted_may_be_gone() {
    let mut story = Story::of(3);
    story.lines.landed.remove(1);
    let acknowledged_ms = sent_ms(2) + WAIT_MS;
    story.evidence.deleted = vec![("fast".to_owned(), acknowledged_ms..acknowledged_ms + 1)];
    let numbers = story.is_clean().numbers;
    assert_eq!((numbers.lost, numbers.deleted), (0, 1));
    // Not when another topic was, or at another time.
    story.evidence.deleted[0].0 = "priority".to_owned();
    story.finds(Kind::Lost, &["m1 2 "]);
    story.evidence.deleted[0] = ("fast".to_owned(), sent_ms(1)..acknowledged_ms);
    story.finds(Kind::Lost, &["m1 2 "]);
}

#[test]
fn what_landed_in_an_earlier_generation_was_deleted() {
    let mut story = Story::of(2);
    story.lines.landed[1].generation = 1;
    story.lines.landed[1].offset = 0;
    let numbers = story.is_clean().numbers;
    assert_eq!((numbers.lost, numbers.deleted), (0, 1));
    // It was read before it was known that the topic is another one.
    let mut story = Story::of(2);
    let mut again = story.lines.landed[1].clone();
    again.generation = 1;
    story.lines.landed.push(again);
    let verdict = story.is_clean();
    assert_eq!((verdict.numbers.landed, verdict.doubles), (2, Doubles::default()));
}

#[test]
fn a_refusal_needs_a_dead_letter_or_leave() {
    let mut story = Story::of(1);
    story.send("m1", 2, 1);
    story.refuse("m1", 2, 0x97);
    let verdict = story.finds(Kind::Refused, &["m1 2 ", "refused at 1000220 with 0x97"]);
    assert_eq!(verdict.numbers.refused, 1);
    story.evidence.refusals = vec![0x97];
    story.is_clean();
    story.evidence.refusals = vec![0x80];
    story.finds(Kind::Refused, &["m1 2 "]);
    // In its lane it is no dead letter.
    story.land("m1", 2);
    story.finds(Kind::Refused, &["m1 2 "]);
    story.lines.landed[1].reason = Some("too large".to_owned());
    story.is_clean();
}

#[test]
fn what_a_gateway_must_not_send_is_found() {
    let mut story = Story::of(1);
    story.add(Line::Fault { device: "m1", at: 7, what: "PUBACK 5, which answers nothing" });
    story.finds(Kind::Protocol, &["m1 was sent at 7: PUBACK 5"]);
}

#[test]
fn examples_are_bounded_and_everything_is_counted() {
    let mut story = Story::of(50);
    story.lines.landed.clear();
    let verdict = story.verdict();
    let found: Vec<_> = verdict.findings.each().map(|(_, found)| found).collect();
    assert_eq!((found[0].count, found[0].examples.len()), (50, 20));
    assert!(verdict.to_string().contains("50 acknowledged and nowhere"), "{verdict}");
    assert!(verdict.to_string().ends_with("and 30 more\n"), "{verdict}");
}

#[test]
fn the_recovery_is_that_of_the_device_that_waits_longest() {
    let mut story = Story::default();
    let healed_ms = sent_ms(100);
    story.evidence.healed_ms = Some(healed_ms);
    // One waits for what it sent during the fault, one sends something new after it.
    story.send("waits", 1, 1);
    story.acknowledge_at("waits", 1, healed_ms + 70);
    for (seq, at) in [(1, healed_ms - 2), (2, healed_ms + 90), (3, healed_ms + 95)] {
        let (sha256, topic) = (hash("new", seq), POWER);
        story.add(Line::Invoked { device: "new", seq, qos: 1, size: 60, sha256, topic, at });
        story.acknowledge_at("new", seq, at + 1);
    }
    // One had nothing to wait for, one was idle for long, and one sends what is never answered.
    story.send("done", 1, 1);
    story.acknowledge("done", 1);
    story.send("zero", 1, 0);
    let (sha256, at) = (hash("idle", 1), healed_ms - 3_000);
    story.add(Line::Invoked { device: "idle", seq: 1, qos: 1, size: 60, sha256, topic: POWER, at });
    story.acknowledge_at("idle", 1, at + 9);
    (1..=3).for_each(|seq| drop(story.land("new", seq).clone()));
    for device in ["waits", "done", "idle"] {
        story.land(device, 1).topic = device.into();
    }
    story
        .lines
        .landed
        .iter_mut()
        .enumerate()
        .for_each(|(at, landed)| landed.message_id = Some(MessageId(at as u128)));
    let recovery = story.is_clean().recovery.expect("it was asked for");
    let worst = recovery.worst_device.as_deref();
    assert_eq!((recovery.devices, recovery.worst_ms, worst), (2, Some(91), Some("new")));
    story.send("deaf", 1, 2);
    let verdict = story.finds(Kind::Recovery, &["deaf", &healed_ms.to_string()]);
    assert_eq!(verdict.recovery.map(|recovery| recovery.never), Some(1));
}

#[test]
fn latencies_are_those_of_a_time_and_of_partitions() {
    let mut story = Story::default();
    for seq in 1..=200 {
        story.send("m1", seq, 1);
        story.acknowledge_at("m1", seq, sent_ms(seq) + seq);
        story.land("m1", seq);
    }
    story.send("m2", 1, 1);
    story.send("m2", 2, 0);
    story.land("m2", 1).partition = 4;
    let all = story.case(|case| case.latencies(&(sent_ms(1)..sent_ms(101)), None));
    let expected = Latencies { count: 100, p50_ms: 50, p99_ms: 99, max_ms: 100, unanswered: 1 };
    assert_eq!(all, expected);
    let of = |partition| {
        let among = [("fast".to_owned(), partition)];
        story.case(|case| case.latencies(&(0..u64::MAX), Some(&among)))
    };
    assert_eq!((of(3).count, of(3).max_ms, of(3).unanswered), (200, 200, 0));
    assert_eq!((of(4).count, of(4).unanswered), (0, 1));
    assert_eq!(of(5), Latencies::default());
}

/// Of the files that a cell left, all of them.
#[test]
fn a_case_is_judged_again_from_files() {
    let folder = Folder::new("judge");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the test's folder can be written");
        path
    };
    let payload = "m1 1 7\n";
    std::fs::create_dir_all(folder.join("buckets/b/a b"))
        .expect("the test's folder can be written");
    let object = write("buckets/b/a b/1", payload);
    let hash =
        Object::of_uri(&folder.join("buckets"), "s3://b/a%20b/1").expect("it is there").sha256;
    let books = write("books", &format!("i m1 1 1 7 {hash} t 100\no m1 1 120 00\n"));
    let line = |offset| {
        let id = "0197ab00-0000-7000-8000-00000000000f";
        format!("l 0 slow 0 {offset} 100 0 m1 {id} slow gw 0 - 7 {hash} s3://b/a%2520b/1 -\n")
    };
    let landed = write("landed.out", &(line(0) + &line(1)));
    let mut evidence = Evidence { healed_ms: Some(110), ..Evidence::default() };
    evidence.handed_over_again.extend(
        ["0197ab00-0000-7000-8000-00000000000f".parse::<MessageId>()].into_iter().flatten(),
    );
    let kept = folder.join("evidence.json");
    evidence.write(&kept).expect("the test's folder can be written");
    let options =
        Options { books, landed, evidence: Some(kept), buckets: Some(folder.join("buckets")) };
    let verdict = run(&options).expect("all of them are there");
    assert!(verdict.findings.is_empty(), "{verdict}");
    assert_eq!((verdict.numbers.references, verdict.doubles.by_gateway), (2, 1));
    assert_eq!(verdict.recovery.and_then(|recovery| recovery.worst_ms), Some(10));
    std::fs::write(object, "m1 1 6\n").expect("the test's folder can be written");
    let verdict = run(&options).expect("all of them are there");
    assert_eq!(verdict.findings.count(Kind::Changed), 2, "{verdict}");
    let verdict =
        run(&Options { buckets: None, evidence: None, ..options }).expect("it needs no more");
    assert_eq!(verdict.findings.count(Kind::Unresolved), 2, "{verdict}");
    assert_eq!(verdict.findings.count(Kind::Double), 1, "{verdict}");
}

#[test]
fn a_reference_leads_into_its_bucket() {
    let folder = Path::new("buckets");
    for (uri, says) in [
        ("file:///etc/passwd", "no S3 URI"),
        ("s3://b/%zz", "no S3 URI"),
        ("s3://b/../../x", "out of its bucket"),
        ("s3:///etc/passwd", "out of its bucket"),
        ("s3://b/nothing", "buckets/b/nothing: "),
    ] {
        let error = Object::of_uri(folder, uri).expect_err(uri);
        assert!(error.contains(says), "{uri}: {error}");
    }
}
