//! What a device sends after a reconnect, in which order and under which packet ids, by session and QoS.

use super::*;
use crate::fleet::draw::Draw;

const START: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(5);
/// More than any window.
const ALL: usize = 65_535;

fn message(seq: u64, qos: u8) -> Message {
    Message { seq, qos, size: 60, topic: "a/b".to_owned() }
}

/// An outbox that sent messages with these QoS, from the sequence number 1 and the packet id 1.
fn sent(session: Session, qos: &[u8]) -> Outbox {
    let mut outbox = Outbox::new(session, 20);
    outbox.connected(ALL, START);
    for (seq, qos) in (1..).zip(qos) {
        outbox.send(message(seq, *qos), START);
    }
    outbox
}

/// What it sends again: sequence number, packet id, DUP.
fn again(outbox: &mut Outbox) -> Vec<(u64, u16, bool)> {
    std::iter::from_fn(|| outbox.next_again(LATER))
        .map(|sending| (sending.message.seq, sending.packet_id, sending.dup))
        .collect()
}

#[test]
fn a_kept_session_goes_on_with_the_same_packets() {
    let mut outbox = sent(Session::Kept, &[1, 2, 0, 1, 2]);
    assert_eq!(outbox.puback(1), Answer::Settled(1));
    assert_eq!(outbox.pubrec(2, START), Answer::Settled(2));
    assert_eq!(outbox.open(), 2, "nobody waits for QoS 0");

    assert_eq!(outbox.connected(ALL, LATER), [2], "the PUBREL that had no PUBCOMP");
    assert!(!outbox.takes(1), "nothing new before what is open");
    assert_eq!(again(&mut outbox), [(4, 3, true), (5, 4, true)]);
    assert!(outbox.takes(1));
    assert_eq!(outbox.send(message(6, 1), LATER).packet_id, 5);
    assert!(outbox.pubcomp(2));
    assert!(!outbox.pubcomp(2), "it was released");
}

#[test]
fn a_fresh_session_sends_new_packets_in_the_same_order() {
    let mut outbox = sent(Session::Fresh, &[1, 2, 0, 1, 2]);
    assert_eq!(outbox.puback(1), Answer::Settled(1));
    assert_eq!(outbox.pubrec(2, START), Answer::Settled(2));
    assert!(outbox.connected(ALL, LATER).is_empty(), "the new session knows of no PUBREC");
    assert_eq!(again(&mut outbox), [(4, 1, false), (5, 2, false)]);
    assert_eq!(outbox.send(message(6, 2), LATER).packet_id, 3);
}

#[test]
fn what_an_earlier_process_left_is_sent_first_and_as_new() {
    for session in [Session::Kept, Session::Fresh] {
        let mut outbox = Outbox::new(session, 4);
        for seq in [7, 9] {
            outbox.take_up(message(seq, 1));
        }
        assert!(outbox.connected(ALL, START).is_empty());
        assert_eq!(again(&mut outbox), [(7, 1, false), (9, 2, false)]);
        assert_eq!(outbox.puback(1), Answer::Settled(7));
    }
}

#[test]
fn no_more_is_open_than_the_window_and_the_gateway_take() {
    let mut outbox = Outbox::new(Session::Kept, 4);
    outbox.connected(ALL, START);
    for seq in 1..=4 {
        assert!(outbox.takes(2));
        outbox.send(message(seq, 2), START);
    }
    assert!(!outbox.takes(1) && outbox.takes(0));
    outbox.pubrec(1, START);
    assert!(!outbox.takes(1), "QoS 2 counts until its PUBCOMP");
    outbox.pubcomp(1);
    assert!(outbox.takes(1));

    // The next connection takes two: the others follow as these are answered.
    outbox.connected(2, LATER);
    assert_eq!(again(&mut outbox), [(2, 2, true), (3, 3, true)]);
    outbox.pubrec(2, LATER);
    assert_eq!(again(&mut outbox), []);
    outbox.pubcomp(2);
    assert_eq!(again(&mut outbox), [(4, 4, true)]);
}

#[test]
fn a_connection_that_ended_before_all_was_sent_again_changes_no_order() {
    let mut outbox = sent(Session::Kept, &[1; 5]);
    outbox.connected(2, LATER);
    assert_eq!(again(&mut outbox).len(), 2);
    assert_eq!(outbox.puback(2), Answer::Settled(2));
    outbox.connected(ALL, LATER);
    assert_eq!(again(&mut outbox), [(1, 1, true), (3, 3, true), (4, 4, true), (5, 5, true)]);
}

#[test]
fn what_answers_nothing_is_told_apart() {
    let mut outbox = sent(Session::Kept, &[1, 2]);
    assert_eq!(outbox.puback(2), Answer::Stray, "a PUBACK for QoS 2");
    assert_eq!(outbox.pubrec(1, START), Answer::Stray, "a PUBREC for QoS 1");
    assert_eq!(outbox.puback(3), Answer::Stray);
    assert_eq!(outbox.puback(1), Answer::Settled(1));
    assert_eq!(outbox.puback(1), Answer::Stray, "it was sent once");
    assert_eq!(outbox.pubrec(2, START), Answer::Settled(2));
    assert_eq!(outbox.pubrec(2, START), Answer::Stray, "it was sent once");
    outbox.connected(ALL, LATER);
    assert!(outbox.pubcomp(2), "it was released again on this connection");

    let mut outbox = sent(Session::Kept, &[1]);
    outbox.connected(ALL, LATER);
    assert_eq!(outbox.puback(1), Answer::Stray, "it was not sent on this connection yet");
}

#[test]
fn a_refused_message_of_qos_2_frees_its_packet_id() {
    let mut outbox = sent(Session::Kept, &[2]);
    assert_eq!(outbox.pubrec_negative(1), Answer::Settled(1));
    assert!(!outbox.pubcomp(1));
    assert!(outbox.connected(ALL, LATER).is_empty());
}

#[test]
fn what_is_repeated_on_a_connection_may_be_answered_as_often() {
    let after = Duration::from_secs(3);
    let mut outbox = sent(Session::Kept, &[1, 2]);
    assert_eq!(outbox.repeat_at(after), Some(after));
    assert_eq!(outbox.repeat(Duration::from_secs(2), after), None);
    for id in [1, 2] {
        let again = outbox.repeat(after, after).expect("it is due");
        assert_eq!((again.packet_id, again.dup), (id, true));
    }
    assert_eq!(outbox.repeat(after, after), None);

    assert_eq!(outbox.puback(1), Answer::Settled(1));
    assert_eq!(outbox.puback(1), Answer::Again);
    assert_eq!(outbox.puback(1), Answer::Stray);

    assert_eq!(outbox.pubrec(2, LATER), Answer::Settled(2));
    assert_eq!(outbox.pubrec(2, LATER), Answer::Again, "a PUBREL follows each");
    assert_eq!(outbox.pubrec(2, LATER), Answer::Stray);
    assert!(outbox.pubcomp(2) && outbox.pubcomp(2) && !outbox.pubcomp(2));
}

/// The gateway answered the first one whole, and took the second one for another message.
#[test]
fn a_repeat_of_qos_2_that_comes_behind_its_release_is_released_too() {
    let mut outbox = sent(Session::Kept, &[2]);
    outbox.repeat(LATER, LATER).expect("it is due");
    assert_eq!(outbox.pubrec(1, LATER), Answer::Settled(1));
    assert!(outbox.pubcomp(1));
    // Packet ids went all the way round meanwhile.
    outbox.last_id = 0;
    assert_eq!(outbox.send(message(2, 2), LATER).packet_id, 2, "the repeat may yet be answered");
    assert_eq!(outbox.pubrec(1, LATER), Answer::Again);
    assert!(outbox.pubcomp(1));
    assert!(!outbox.pubcomp(1));
}

#[test]
fn a_message_is_repeated_only_so_often() {
    let mut outbox = sent(Session::Kept, &[1]);
    let times = (1..100).filter(|n| outbox.repeat(LATER * *n, LATER).is_some()).count();
    assert_eq!(times, REPEATS_MAX as usize);
    assert_eq!(outbox.repeat_at(LATER), None);
    outbox.connected(ALL, LATER);
    assert_eq!(again(&mut outbox), [(1, 1, true)], "the next connection begins anew");
}

#[test]
fn packet_ids_go_round_and_none_stands_for_two() {
    let mut outbox = Outbox::new(Session::Kept, 4);
    outbox.connected(ALL, START);
    let first = outbox.send(message(1, 1), START).packet_id;
    for seq in 2..=70_000 {
        let id = outbox.send(message(seq, 1), START).packet_id;
        assert!(id != 0 && id != first, "{id} at {seq}");
        assert_eq!(outbox.puback(id), Answer::Settled(seq));
    }
}

/// Whatever comes in whatever order: nothing is sent twice but as it may, all is answered in the end, and first
/// sendings and those of each connection rise.
#[test]
fn a_device_under_random_faults_gets_everything_answered_in_order() {
    for seed in 0..300 {
        let mut draw = Draw::of(&[seed]);
        let session = if draw.percent(50) { Session::Kept } else { Session::Fresh };
        let window = [1, 4, 20][draw.below(3) as usize];
        let mut outbox = Outbox::new(session, window);
        // What the gateway holds of this connection: packet id, QoS, sequence number.
        let mut held: Vec<(u16, u8, u64)> = Vec::new();
        let (mut seq, mut settled, mut last) = (0, 0, 0);
        outbox.connected(ALL, START);
        while settled < 200 {
            match draw.below(10) {
                0 => {
                    held.clear();
                    last = 0;
                    let limit = draw.between(1, 30) as usize;
                    held.extend(outbox.connected(limit, START).iter().map(|id| (*id, 3, 0)));
                }
                1..4 if outbox.takes(2) => {
                    seq += 1;
                    let sending = outbox.send(message(seq, draw.between(1, 2) as u8), START);
                    assert!(last < seq && !sending.dup);
                    last = seq;
                    held.push((sending.packet_id, sending.message.qos, seq));
                }
                4..7 => {
                    if let Some(sending) = outbox.next_again(START) {
                        assert!(last < sending.message.seq, "seed {seed}: out of order");
                        last = sending.message.seq;
                        held.push((sending.packet_id, sending.message.qos, last));
                    }
                }
                _ if !held.is_empty() => {
                    let (id, qos, seq) = held.remove(draw.below(held.len() as u64) as usize);
                    let is_other = |other: &(u16, u8, u64)| other.0 != id;
                    assert!(held.iter().all(is_other), "seed {seed}: {id} stands for two");
                    match qos {
                        1 => assert_eq!(outbox.puback(id), Answer::Settled(seq)),
                        2 => {
                            assert_eq!(outbox.pubrec(id, START), Answer::Settled(seq));
                            held.push((id, 3, 0));
                        }
                        _ => assert!(outbox.pubcomp(id), "seed {seed}: {id} was released"),
                    }
                    settled += u64::from(qos < 3);
                }
                _ => {}
            }
            assert!(outbox.open() <= window);
            assert_eq!(seq - settled, outbox.open() as u64);
        }
    }
}
