//! The parse role: every event of every message that landed is in its canonical topic, in order, whatever
//! becomes of the role's members; and the metadata stream says what became of each message.
//!
//! What others lost, repeated or stopped at when partitions moved or processes began anew, and what holds it here
//! (`pool`, `desk`, `window` and `group` are tests of the packages `parse` and `bridge`):
//!
//! - the highest offset that was seen is committed: `window`'s property, `pool::what_did_not_land_is_never_committed`,
//!   every storm in which a member is killed;
//! - an offset behind the end is committed, or one goes back: `input::what_retention_took_…`,
//!   `input::raw_topics_grow_go_and_begin_anew`;
//! - what belongs to an earlier assignment keeps its place, or takes something of the next:
//!   `desk::what_an_earlier_assignment_left_behind_…`, `desk::room_is_of_messages_and_of_bytes_…`;
//! - nothing is read after a rebalance, and a paused partition fills the memory:
//!   `input::what_is_held_waits_in_kafka_…`, `pool::what_was_paused_before_a_rebalance_…`;
//! - what was on its way is lost when partitions move one by one: `storms`, with each way of sharing out;
//! - what is sent again overtakes, or is overtaken: `pool::what_waits_for_room_…`, `pool::with_every_fault_of_a_sink_…`;
//! - a commit passes what was not delivered when Kafka comes back, or is never made:
//!   `storms::nothing_is_lost_when_brokers_are_killed`, `group::whoever_works_hears_of_a_commit_that_kafka_refused`.

mod backlog;
mod input;
pub mod rig;
mod storms;

use tests::kafka::Kafka;

use rig::{Member, Protocol, Rig, SETTLE, TOKEN};

fn pages_show_pools_to_operators(member: &Member, rig: &Rig) {
    assert_eq!(member.ask("GET", "/api/v1/parse", None).code, 401);
    let told = member.ask("GET", "/api/v1/parse", Some(TOKEN)).json();
    let pools = told.as_array().expect("a list").iter();
    let pools: Vec<_> = pools
        .map(|pool| {
            let partitions = pool["partitions"].as_array().expect("a list");
            assert!(partitions.iter().all(|one| one["state"] == "running"), "{told}");
            (pool["pool"].as_str().expect("a name"), partitions.len())
        })
        .collect();
    assert_eq!(pools, [("fast", 6), ("slow", 3), ("metadata", 12)], "{told}");
    let at = format!("/api/v1/parse/skip?at={}/0/1", rig.gateway.topic("fast"));
    assert_eq!(member.ask("POST", &at, Some(TOKEN)).code, 409, "nothing stands there");
    assert_eq!(member.ask("POST", "/api/v1/parse/skip?at=x", Some(TOKEN)).code, 400);
    assert_eq!(member.ask("GET", "/api/v1/clients", Some(TOKEN)).code, 404);
    let metrics = member.ask("GET", "/metrics", Some(TOKEN)).body;
    for name in ["messages_total", "events_total", "freshness_seconds", "lag_messages"] {
        assert!(metrics.contains(&format!("landfall_parse_{name}")), "no {name}: {metrics}");
    }
}

#[test]
fn every_event_of_what_landed_is_there_once_and_in_order() {
    let kafka = Kafka::shared();
    let rig = Rig::new(kafka);
    let mut member = rig.member("parse-1", Protocol::Cooperative);
    member.until_ready();
    let mut fleet = rig.fleet("30", "200", "6s");
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());
    let (code, said) = rig.verify(&["--no-doubles"]);
    assert_eq!(code, Some(0), "{said}\n{}", member.process.log());
    pages_show_pools_to_operators(&member, &rig);
    assert_eq!(member.process.terminate(SETTLE), Some(0), "{}", member.process.log());
    // What was committed is not read again.
    let mut again = rig.member("parse-2", Protocol::Cooperative);
    again.until_ready();
    let (code, said) = rig.verify(&["--no-doubles"]);
    assert_eq!(code, Some(0), "{said}\n{}", again.process.log());
    eprintln!("{said}");
}
