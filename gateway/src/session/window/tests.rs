//! The window against plain models, and its bounds.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn publish(packet_id: u16, qos: u8, group: u8) -> Publish {
    let group = Group(group);
    Publish {
        packet_id,
        qos,
        dup: false,
        fingerprint: packet_id.into(),
        bytes: 10,
        group,
        received_us: 0,
    }
}

fn window(messages: u16) -> Window {
    Window::new(WindowLimits { messages, bytes: 1_000 }, false)
}

fn acknowledged(window: &mut Window) -> Vec<u16> {
    let mut ids = Vec::new();
    let send = |ack: Acknowledgement| {
        ids.push(ack.packet_id);
        true
    };
    window.acknowledge(send).expect("no fault");
    ids
}

#[test]
fn acknowledgements_keep_their_order_within_a_group_only() {
    let mut window = window(10);
    for (id, group) in [(1, 0), (2, 0), (3, 2), (4, 2)] {
        window.open(publish(id, 1, group));
    }
    window.decide(1, Outcome::Landed).expect("landed");
    assert!(acknowledged(&mut window).is_empty(), "1 is before 2");
    window.decide(2, Outcome::Landed).expect("landed");
    assert_eq!(acknowledged(&mut window), [3], "another group does not wait");
    window.decide(0, Outcome::Landed).expect("landed");
    assert_eq!(acknowledged(&mut window), [1, 2]);
    window.decide(3, Outcome::Landed).expect("landed");
    assert_eq!(acknowledged(&mut window), [4]);
    assert_eq!(window.open, 0);
}

#[test]
fn what_may_not_leave_yet_leaves_later() {
    let mut window = window(10);
    window.open(publish(1, 2, 0));
    for _ in 0..3 {
        window.join(&publish(1, 2, 0)).expect("a resend");
    }
    window.open(publish(2, 1, 0));
    window.decide(0, Outcome::Landed).expect("landed");
    window.decide(1, Outcome::Landed).expect("landed");
    let mut left = Vec::new();
    for _ in 0..5 {
        let send = |ack: Acknowledgement| {
            left.push((ack.answer, ack.packet_id));
            false
        };
        window.acknowledge(send).expect("no fault");
    }
    assert_eq!(left[..4], [(Answer::Pubrec, 1); 4]);
    assert_eq!(left[4..], [(Answer::Puback, 2)]);
    assert_eq!((window.open, window.owed), (0, 0));
}

#[test]
fn a_window_at_rest_keeps_what_is_not_released_and_nothing_else() {
    let mut window = window(1000);
    let nothing = window.held_bytes();
    let mut grown = 0;
    for id in 1..=1000 {
        grown += window.growth_bytes();
        window.open(publish(id, 1 + u8::from(id == 7), 0));
    }
    assert!(window.held_bytes() > FREE_BYTES && grown > FREE_BYTES);
    window.rest();
    for slot in 0..1000 {
        window.decide(slot, Outcome::Landed).expect("landed");
    }
    assert_eq!(acknowledged(&mut window).len(), 1000);
    assert!(window.held_bytes() < 3 * FREE_BYTES, "{}", window.held_bytes());
    window.rest();
    let kept = size_of::<Unreleased>() + size_of::<u16>() + size_of::<u128>();
    assert_eq!(window.held_bytes(), nothing + kept);
    assert_eq!(window.release(7), Ok(Released::Done));
    assert_eq!(window.held_bytes(), nothing);
}

#[test]
fn one_that_waits_takes_one_place_however_many_pass_it() {
    let mut window = Window::new(WindowLimits { messages: 3, bytes: 1_000 }, true);
    window.open(publish(1, 1, 1));
    for id in 2..200 {
        for id in [id, id + 1_000] {
            assert_eq!(window.admit(&publish(id, 1, 0)), Admission::New);
            let slot = window.next_slot();
            window.open(publish(id, 1, 0));
            window.decide(slot, Outcome::Landed).expect("landed");
        }
        assert!(window.is_exceeded_by(9_999));
        assert_eq!(acknowledged(&mut window), [id, id + 1_000]);
        assert!(!window.is_exceeded_by(9_999));
    }
    assert!(window.entries.len() <= 3, "what passed leaves nothing behind");
    assert_eq!((window.fingerprint_of(1), window.fingerprint_of(2)), (Some(1), None));
    window.decide(0, Outcome::Landed).expect("landed");
    assert_eq!(acknowledged(&mut window), [1]);
}

#[test]
fn a_resend_joins_and_another_message_does_not() {
    let mut window = window(10);
    window.open(publish(1, 1, 0));
    let resend = Publish { dup: true, ..publish(1, 1, 0) };
    assert_eq!(window.admit(&resend), Admission::Joined);
    assert_eq!(window.admit(&publish(1, 1, 0)), Admission::PacketIdInUse, "no DUP flag");
    let other = Publish { fingerprint: 99, ..resend };
    assert_eq!(window.admit(&other), Admission::PacketIdInUse);
    window.decide(0, Outcome::Landed).expect("landed");
    acknowledged(&mut window);
    assert_eq!(window.admit(&publish(1, 1, 0)), Admission::New, "the id is free again");
}

/// Everything that may leave now, as the packets that it is.
fn answers(window: &mut Window) -> Vec<(Answer, u16, u8)> {
    let mut answers = Vec::new();
    let send = |ack: Acknowledgement| {
        answers.push((ack.answer, ack.packet_id, ack.code));
        true
    };
    window.acknowledge(send).expect("no fault");
    answers
}

const RECEIVED: (Answer, u16, u8) = (Answer::Pubrec, 1, reason::SUCCESS);

#[test]
fn qos_2_is_taken_once_until_it_is_released() {
    let mut window = window(10);
    window.open(publish(1, 2, 0));
    window.decide(0, Outcome::Landed).expect("landed");
    assert_eq!(answers(&mut window), [RECEIVED]);
    for dup in [true, false] {
        let resend = Publish { dup, ..publish(1, 2, 0) };
        assert_eq!(window.admit(&resend), Admission::Received, "DUP says nothing at QoS 2");
    }
    assert_eq!(window.admit(&publish(1, 1, 0)), Admission::PacketIdInUse);
    assert_eq!(window.release(1), Ok(Released::Done));
    assert_eq!(window.release(1), Ok(Released::Unknown));
    assert_eq!(window.admit(&publish(1, 2, 0)), Admission::New);
}

#[test]
fn every_publish_of_an_open_qos_2_message_gets_its_pubrec() {
    let mut window = window(10);
    window.open(publish(1, 2, 0));
    for dup in [true, false] {
        let resend = Publish { dup, ..publish(1, 2, 0) };
        assert_eq!(window.admit(&resend), Admission::Joined);
        window.join(&resend).expect("no limit is reached");
    }
    assert!(answers(&mut window).is_empty(), "nothing is durable");
    window.decide(0, Outcome::Landed).expect("landed");
    assert_eq!(answers(&mut window), [RECEIVED; 3]);
    assert_eq!((window.owed, window.unreleased()), (0, 1));
}

#[test]
fn other_content_under_a_qos_2_id_lands_too() {
    let mut window = window(10);
    let other = Publish { fingerprint: 99, ..publish(1, 2, 0) };
    window.open(publish(1, 2, 0));
    assert_eq!(window.admit(&other), Admission::New);
    window.open(other);
    window.decide(0, Outcome::Landed).expect("landed");
    assert_eq!(answers(&mut window), [RECEIVED], "the other is not durable");
    assert_eq!(window.admit(&publish(1, 2, 0)), Admission::Received);
    assert_eq!(window.admit(&other), Admission::Joined);
    window.decide(1, Outcome::Landed).expect("landed");
    assert_eq!(answers(&mut window), [RECEIVED]);
    for known in [publish(1, 2, 0), other] {
        assert_eq!(window.admit(&known), Admission::Received);
    }
    assert_eq!(window.release(1), Ok(Released::Done));
    for known in [publish(1, 2, 0), other] {
        assert_eq!(window.admit(&known), Admission::New);
    }
}

/// Else a client that was told PUBCOMP could take the PUBREC that comes then for its next message's.
#[test]
fn a_pubrel_that_comes_too_early_waits_for_the_pubrec() {
    let mut window = window(10);
    window.open(publish(1, 2, 0));
    assert_eq!(window.release(1), Ok(Released::Later));
    assert!(answers(&mut window).is_empty());
    window.decide(0, Outcome::Landed).expect("landed");
    let completed = (Answer::Pubcomp, 1, reason::SUCCESS);
    assert_eq!(answers(&mut window), [RECEIVED, completed]);
    assert_eq!(window.admit(&publish(1, 2, 0)), Admission::New);
}

#[test]
fn a_refused_qos_2_message_ends_with_the_pubrec_that_says_so() {
    for (is_v5, after) in [(true, Admission::New), (false, Admission::Received)] {
        let limits = WindowLimits { messages: 10, bytes: 1_000 };
        let mut window = Window::new(limits, is_v5);
        window.open(publish(1, 2, 0));
        window.decide(0, Outcome::DeadLettered(Fault::Topic)).expect("decided");
        assert_eq!(answers(&mut window), [(Answer::Pubrec, 1, reason::TOPIC_NAME_INVALID)]);
        // A v3 client saw no code: for it the id is in use until its PUBREL.
        assert_eq!(window.admit(&publish(1, 2, 0)), after, "v5: {is_v5}");
    }
}

#[test]
fn resends_that_wait_for_their_pubrec_are_bounded() {
    let mut window = window(10);
    window.open(publish(1, 2, 0));
    for _ in 0..OWED_MAX {
        window.join(&publish(1, 2, 0)).expect("below the limit");
    }
    let fault = WindowFault::TooManyResends;
    assert_eq!(window.join(&publish(1, 2, 0)), Err(fault));
    for _ in 0..RELEASING_MAX {
        assert_eq!(window.release(1), Ok(Released::Later));
    }
    assert_eq!(window.release(1), Err(fault));
}

#[test]
fn an_id_is_found_wherever_it_stands() {
    let ids: Vec<u16> = (1..=200).chain([7]).collect();
    for id in (1..=200).filter(|id| *id != 7) {
        assert_eq!(positions(&ids, id).collect::<Vec<_>>(), [usize::from(id) - 1]);
    }
    assert_eq!(positions(&ids, 7).collect::<Vec<_>>(), [6, 200]);
    assert_eq!(positions(&ids, 201).next(), None);
}

#[test]
fn the_window_is_bounded_by_count_and_bytes() {
    let mut small = window(2);
    small.open(publish(1, 1, 0));
    small.open(publish(2, 1, 0));
    assert_eq!(small.admit(&publish(3, 1, 0)), Admission::Full);
    let mut bytes = window(10);
    let large = Publish { bytes: 5_000, ..publish(1, 1, 0) };
    assert_eq!(bytes.admit(&large), Admission::New, "alone it passes");
    bytes.open(large);
    assert_eq!(bytes.admit(&publish(2, 1, 0)), Admission::Full);
}

#[test]
fn a_failed_message_ends_the_connection() {
    let mut window = window(2);
    window.open(publish(1, 1, 0));
    assert_eq!(window.decide(0, Outcome::Failed), Err(WindowFault::MessageFailed));
}

proptest! {
    /// Against a plain model, with messages coming while others are decided in any order: each is
    /// acknowledged once, never before its outcome, and in order within its group; slots are used
    /// again, and never by two.
    #[test]
    fn every_message_is_acknowledged_once_and_in_order(
        steps in prop::collection::vec((0..4_u8, any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        const MESSAGES: u16 = 20;
        let mut window = Window::new(WindowLimits { messages: MESSAGES, bytes: u32::MAX }, false);
        // Slot, packet id and group of what is not decided; what is decided and not acknowledged.
        let mut undecided: Vec<(u32, u16, u8)> = Vec::new();
        let mut decided: HashMap<u16, u8> = HashMap::new();
        let mut last = [0; 4];
        let mut next_id = 1;
        let finish = steps.iter().map(|(_, _, pick)| (0, false, *pick));
        for (group, opens, pick) in steps.iter().copied().chain(finish) {
            if opens && window.admit(&publish(next_id, 1, group)) == Admission::New {
                let slot = window.next_slot();
                prop_assert!(undecided.iter().all(|(known, ..)| *known != slot));
                undecided.push((slot, next_id, group));
                window.open(publish(next_id, 1, group));
                next_id += 1;
            } else if !opens && !undecided.is_empty() {
                let (slot, id, group) = undecided.remove(pick.index(undecided.len()));
                window.decide(slot, Outcome::Landed).expect("landed");
                decided.insert(id, group);
            }
            for id in acknowledged(&mut window) {
                let group = decided.remove(&id);
                prop_assert!(group.is_some(), "{} was acknowledged unasked or twice", id);
                let last = &mut last[usize::from(group.unwrap_or(0))];
                prop_assert!(id > *last, "{} came after {}", id, last);
                *last = id;
            }
            prop_assert_eq!(window.open as usize, undecided.len() + decided.len());
        }
        prop_assert!(undecided.is_empty() && decided.is_empty(), "{:?} {:?}", undecided, decided);
        prop_assert_eq!(window.bytes, 0);
    }

    /// Against a plain model, in both versions, with few packet ids and contents: what is a resend
    /// never lands again, every PUBLISH of QoS 2 gets its PUBREC and every PUBREL its PUBCOMP, and
    /// none before what it confirms is decided.
    #[test]
    fn packet_ids_mean_what_the_standard_says(
        is_v5 in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        const MESSAGES: u16 = 500;
        let mut window = Window::new(WindowLimits { messages: MESSAGES, bytes: u32::MAX }, is_v5);
        let mut model = Model { is_v5, ..Model::default() };
        for step in steps {
            match step {
                Step::Publish(publish) => {
                    let slot = window.next_slot();
                    let expected = model.publish(&publish, slot);
                    prop_assert_eq!(window.admit(&publish), expected, "{:?}", publish);
                    match expected {
                        Admission::New => prop_assert_eq!(window.open(publish), slot),
                        Admission::Joined => window.join(&publish).expect("few resends"),
                        _ => {}
                    }
                }
                Step::Decide { pick, refuse } => {
                    if let Some(slot) = model.decide(|count| pick.index(count), refuse) {
                        window.decide(slot, outcome(refuse)).expect("decided");
                    }
                }
                Step::Release(packet_id) => {
                    let expected = model.release(packet_id);
                    prop_assert_eq!(window.release(packet_id), Ok(expected));
                }
            }
            let (mut is, mut expected) = (answers(&mut window), model.answers());
            let completed = is.iter().position(|(answer, ..)| *answer == Answer::Pubcomp);
            if let Some(at) = completed {
                let id = is[at].1;
                let late = |(answer, other, _): &(Answer, u16, u8)| *answer != Answer::Pubcomp && *other == id;
                prop_assert!(!is[at..].iter().any(late), "PUBCOMP is the last: {:?}", is);
            }
            is.sort();
            expected.sort();
            prop_assert_eq!(is, expected);
        }
        while let Some(slot) = model.decide(|_| 0, false) {
            window.decide(slot, Outcome::Landed).expect("landed");
            let (mut is, mut expected) = (answers(&mut window), model.answers());
            is.sort();
            expected.sort();
            prop_assert_eq!(is, expected);
        }
        let releasing = window.unreleased.as_ref().map_or(0, |known| known.releasing.len());
        prop_assert_eq!((window.open, window.owed, releasing), (0, 0, 0));
        prop_assert_eq!(window.unreleased(), model.received.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Publish),
    Decide { pick: prop::sample::Index, refuse: bool },
    Release(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let publish = (1..4_u16, 1..3_u8, any::<bool>(), 0..3_u128, 0..2_u8).prop_map(
        |(packet_id, qos, dup, fingerprint, group)| {
            Step::Publish(Publish { dup, fingerprint, ..publish(packet_id, qos, group) })
        },
    );
    let decide = (any::<prop::sample::Index>(), any::<bool>())
        .prop_map(|(pick, refuse)| Step::Decide { pick, refuse });
    prop_oneof![3 => publish, 2 => decide, 1 => (1..4_u16).prop_map(Step::Release)]
}

fn outcome(refuse: bool) -> Outcome {
    if refuse { Outcome::DeadLettered(Fault::Topic) } else { Outcome::Landed }
}

/// The rules, told without any thought of speed.
#[derive(Default)]
struct Model {
    is_v5: bool,
    open: Vec<ModelMessage>,
    /// What landed at QoS 2 and is not released: packet id and content.
    received: Vec<(u16, u128)>,
    /// Packet ids whose PUBREL came too early.
    released: Vec<u16>,
}

struct ModelMessage {
    slot: u32,
    publish: Publish,
    publishes: usize,
    decided: Option<bool>,
}

impl Model {
    fn publish(&mut self, publish: &Publish, slot: u32) -> Admission {
        let Publish { packet_id, qos, fingerprint, dup, .. } = *publish;
        let mut under = self.open.iter_mut().filter(|open| open.publish.packet_id == packet_id);
        if qos == 1 {
            let admission = match under.next() {
                Some(open) => {
                    let same = open.publish.qos == 1 && open.publish.fingerprint == fingerprint;
                    if same && dup { Admission::Joined } else { Admission::PacketIdInUse }
                }
                None if self.received.iter().any(|(id, _)| *id == packet_id) => {
                    Admission::PacketIdInUse
                }
                None => Admission::New,
            };
            if admission == Admission::New {
                self.take(*publish, slot);
            }
            return admission;
        }
        let mut under: Vec<&mut ModelMessage> = under.collect();
        if under.iter().any(|open| open.publish.qos == 1) {
            return Admission::PacketIdInUse;
        }
        let same = under.iter_mut().find(|open| open.publish.fingerprint == fingerprint);
        if let Some(same) = same {
            same.publishes += 1;
            return Admission::Joined;
        }
        if self.received.contains(&(packet_id, fingerprint)) {
            return Admission::Received;
        }
        self.take(*publish, slot);
        Admission::New
    }

    fn take(&mut self, publish: Publish, slot: u32) {
        self.open.push(ModelMessage { slot, publish, publishes: 1, decided: None });
    }

    fn decide(&mut self, pick: impl Fn(usize) -> usize, refuse: bool) -> Option<u32> {
        let mut undecided: Vec<_> =
            self.open.iter_mut().filter(|open| open.decided.is_none()).collect();
        if undecided.is_empty() {
            return None;
        }
        let index = pick(undecided.len());
        undecided[index].decided = Some(refuse);
        Some(undecided[index].slot)
    }

    fn release(&mut self, packet_id: u16) -> Released {
        let waits =
            |open: &ModelMessage| open.publish.packet_id == packet_id && open.publish.qos == 2;
        if self.open.iter().any(waits) {
            self.released.push(packet_id);
            return Released::Later;
        }
        let before = self.received.len();
        self.received.retain(|(id, _)| *id != packet_id);
        if self.received.len() < before { Released::Done } else { Released::Unknown }
    }

    fn answers(&mut self) -> Vec<(Answer, u16, u8)> {
        let mut answers = Vec::new();
        while let Some(index) = (0..self.open.len()).find(|index| {
            let group = self.open[*index].publish.group;
            let first = self.open.iter().position(|open| open.publish.group == group);
            first == Some(*index) && self.open[*index].decided.is_some()
        }) {
            let ModelMessage { publish, publishes, decided, .. } = self.open.remove(index);
            let refused = decided == Some(true);
            let Publish { packet_id, qos, fingerprint, .. } = publish;
            let code = if refused { reason::TOPIC_NAME_INVALID } else { reason::SUCCESS };
            if qos == 1 {
                answers.push((Answer::Puback, packet_id, code));
                continue;
            }
            answers.extend(vec![(Answer::Pubrec, packet_id, code); publishes]);
            if self.is_v5 && refused {
                self.received.retain(|(id, _)| *id != packet_id);
            } else {
                self.received.push((packet_id, fingerprint));
            }
            if !self.open.iter().any(|open| open.publish.packet_id == packet_id) {
                let before = self.released.len();
                self.released.retain(|id| *id != packet_id);
                for _ in self.released.len()..before {
                    self.received.retain(|(id, _)| *id != packet_id);
                    answers.push((Answer::Pubcomp, packet_id, reason::SUCCESS));
                }
            }
        }
        answers
    }
}

/// In debug builds a panic, elsewhere an error in the log and sums that stay at zero.
#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "a slot was given back that was not taken"))]
fn a_slot_that_is_given_back_twice_is_found() {
    let mut window = window(2);
    window.open(publish(1, 1, 0));
    window.decide(0, Outcome::Landed).expect("landed");
    window.give_back(0, 10);
    window.give_back(0, 10);
    assert_eq!((window.open, window.decided, window.bytes), (0, 0, 0));
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "a slot that waits for none"))]
fn a_message_that_is_decided_twice_is_found() {
    let mut window = window(2);
    window.open(publish(1, 1, 0));
    for _ in 0..2 {
        window.decide(0, Outcome::Landed).expect("landed");
    }
    assert_eq!(acknowledged(&mut window), [1]);
    assert_eq!((window.open, window.decided), (0, 0));
}

#[test]
fn each_lane_has_a_group_for_small_messages_and_one_for_large_ones() {
    let lanes = bridge::Lanes::built_in(|lane, _| lane);
    let mut groups: Vec<u8> = lanes
        .values()
        .flat_map(|lane| [Carriage::Inline, Carriage::Large].map(|way| Group::of(*lane, way).0))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(groups.len(), 2 * lanes.count());
}
