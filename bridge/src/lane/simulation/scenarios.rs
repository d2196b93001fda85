//! Faults one by one, where more has to hold than that everything lands.

use super::storm::{self, Kind, Storm};
use super::*;
use crate::lane::partition;
use crate::sink::TimeLimits;

const HOUR_MS: i64 = 3_600_000;
const ROOM: u64 = 1_000_000 * CHARGE;

/// A topic of so many partitions, which each broker leads in turn.
fn world(partitions: usize, brokers: usize, times: Option<TimeLimits>) -> World {
    let mut world = World::new(1, vec![Topic::new("a")], brokers, Settings::of(4000, 1000));
    storm::lead(&mut world, 0, partitions);
    for (at, partition) in world.topics[0].partitions.iter_mut().enumerate() {
        partition.leader = Some(at % brokers);
    }
    world.topics[0].times = times;
    // Nobody tells the gateway what the topic takes.
    world.faults.hides_limits = true;
    world.refresh(0);
    world.learn(0);
    world
}

/// Some messages every now and then.
fn load(messages: usize, pause_ms: u64) -> Load {
    let (devices, burst, payload_bytes) = (20, 10, 100);
    Load { messages, devices, burst, pause_ms, payload_bytes, poison_rate: 0.0 }
}

#[test]
fn a_mass_of_records_that_grew_too_old_costs_one_reset() {
    for partitions in [1, 3] {
        let times = TimeLimits { before_max_ms: 60_000, after_max_ms: HOUR_MS };
        let mut world = world(partitions, 1, Some(times));
        let storm = Storm::with(Kind::BrokerStops, 0, 600_000, &mut world);
        let mut simulation = Simulation::new(world, storm, load(300, 400), ROOM);
        simulation.play().expect("all land");
        // What had gone together before is refused together, which says nothing of times.
        let resets = simulation.world.lock().resets;
        assert!((1..=2).contains(&resets), "{resets} resets with {partitions} partitions");
    }
}

#[test]
fn a_clock_that_was_ahead_is_over_soon_after_it_is_right() {
    const WRONG_MS: u64 = 8000;
    for partitions in [1, 3] {
        let times = TimeLimits { before_max_ms: i64::MAX, after_max_ms: HOUR_MS };
        let mut world = world(partitions, 1, Some(times));
        let mut storm = Storm::with(Kind::Clock, 0, WRONG_MS, &mut world);
        storm.skew_ms = 2 * HOUR_MS;
        let mut simulation = Simulation::new(world, storm, load(300, 400), ROOM);
        simulation.play().expect("all land");
        let world = simulation.world.lock();
        let last_ms = world.messages.landings().map(|(_, _, stored_ms)| stored_ms).max();
        assert!(last_ms < Some(WRONG_MS + 15_000), "the last landed at {last_ms:?} ms");
        assert!(world.resets <= 5, "{} resets with {partitions} partitions", world.resets);
    }
}

#[test]
fn a_topic_is_made_anew_with_other_partitions() {
    for seed in 1..31 {
        let mut simulation = Simulation::of(seed);
        let kinds = vec![Kind::TopicMadeAnew];
        simulation.storm = Storm::of(kinds, &mut simulation.world.lock(), 20_000);
        let played = simulation.play();
        assert_eq!(played, Ok(()), "seed {seed}");
    }
}

#[test]
fn a_partition_that_stands_still_holds_no_other_back() {
    let mut world = world(4, 2, None);
    let storm = Storm::with(Kind::BrokerStops, 0, 60_000, &mut world);
    let mut simulation = Simulation::new(world, storm, load(600, 500), ROOM);
    simulation.play().expect("all land");
    let world = simulation.world.lock();
    let (mut held, mut passed) = (0, 0);
    for (device, submitted_ms, stored_ms) in world.messages.landings() {
        // By then the producer has its id.
        if submitted_ms < 2000 {
            continue;
        }
        let hash = partition::hash(format!("m-{device}").as_bytes());
        let is_held = partition::of(hash, 4).is_multiple_of(2);
        let took_ms = stored_ms - submitted_ms;
        assert!(is_held || took_ms < 1000, "a record of device {device} took {took_ms} ms");
        *(if is_held { &mut held } else { &mut passed }) += 1;
    }
    assert!(held > 0 && passed > 0, "{held} were held, {passed} passed");
}
