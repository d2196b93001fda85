//! The parse role: every event of every message that landed is in its canonical topic, in order, whatever
//! becomes of the role's members; and the metadata stream says what became of each message.

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
