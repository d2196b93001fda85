//! Storms: members of the role are killed, stand still until their group has given them up, come and go, and
//! brokers and the store fail under them, while a fleet talks. Afterwards every event of every message that
//! landed is there, in the order of its key, and a metadata record of each message; what is there twice has the
//! same id.
//!
//! Short ones, unless `make rebalances` says otherwise.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tests::kafka::Kafka;
use tests::process::{Process, Signal};
use tests::s3::S3;
use tests::wait;

use super::rig::{Member, Protocol, Rig, SETTLE};

/// Pools of a member, with the partitions that their groups share out.
const POOLS: [(&str, usize); 3] = [("fast", 6), ("slow", 3), ("metadata", 12)];
/// Members at once: with one more there would be one without work, where topics are shared out one by one.
const MEMBERS_MAX: usize = 3;
/// How long a member that stood still is left alone with what it read before, when somebody else has its
/// partitions.
const GIVEN_UP: Duration = Duration::from_secs(1);

/// A number that `make rebalances` gives.
fn told(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// Rebalances that each storm is to have at least.
fn rebalances() -> u32 {
    told("LANDFALL_STORM_REBALANCES", 5)
}

/// Messages of the fleet in a second.
fn rate() -> String {
    told("LANDFALL_STORM_RATE", 80).to_string()
}

/// A fleet that talks, and members that make events of it.
struct Storm<'r> {
    rig: &'r Rig,
    fleet: Process,
    members: Vec<Member>,
    /// Members that ended, for their logs.
    started: u32,
    random: StdRng,
    /// How often partitions were shared out anew, in each of the role's groups.
    rebalances: u32,
}

impl Storm<'_> {
    fn begin(rig: &Rig, protocol: Protocol) -> Storm<'_> {
        let fleet = rig.fleet("30", &rate(), "0s");
        let random = StdRng::seed_from_u64(11);
        let mut storm =
            Storm { rig, fleet, members: Vec::new(), started: 0, random, rebalances: 0 };
        storm.add(protocol);
        storm
    }

    /// Starts a member, and waits until it has its share.
    fn add(&mut self, protocol: Protocol) {
        self.start(protocol);
        self.until_shared_out("a member came");
    }

    fn start(&mut self, protocol: Protocol) {
        self.started += 1;
        let member = self.rig.member(&format!("parse-{}", self.started), protocol);
        self.members.push(member);
    }

    /// Each partition is one member's, and each member has some of each group.
    #[track_caller]
    fn until_shared_out(&mut self, what: &str) {
        let begun = Instant::now();
        wait::until_true(&format!("{what}: shared out anew"), SETTLE, || {
            POOLS.iter().all(|(pool, partitions)| self.is_shared_out(pool, *partitions))
        });
        self.rebalances += 1;
        let (count, took) = (self.members.len(), begun.elapsed());
        eprintln!("{}. {what}: {count} share the work after {took:.1?}", self.rebalances);
        for member in &mut self.members {
            assert!(member.process.ended().is_none(), "{}", member.process.tail());
        }
    }

    fn is_shared_out(&self, pool: &str, partitions: usize) -> bool {
        let shares: Vec<_> = self.members.iter().map(|member| member.partitions(pool)).collect();
        let places = shares.iter().flatten();
        let places: Vec<_> =
            places.map(|one| (one["topic"].to_string(), one["partition"].to_string())).collect();
        places.len() == partitions
            && places.iter().collect::<BTreeSet<_>>().len() == partitions
            && shares.iter().all(|share| !share.is_empty())
    }

    /// One thing happens to the members.
    fn turn(&mut self, protocol: Protocol) {
        let which = self.random.random_range(0..self.members.len());
        // Somewhere between two commits.
        thread::sleep(Duration::from_millis(self.random.random_range(0..1500)));
        if self.members.len() == 1 {
            return self.add(protocol);
        }
        match self.random.random_range(0..4) {
            0 if self.members.len() < MEMBERS_MAX => self.add(protocol),
            1 => {
                let mut member = self.members.remove(which);
                let code = member.process.terminate(SETTLE);
                assert_eq!(code, Some(0), "{}", member.process.tail());
                self.until_shared_out("a member ended");
            }
            2 => {
                self.members.remove(which).process.kill();
                self.until_shared_out("a member was killed");
            }
            _ => {
                let member = self.members.remove(which);
                member.process.signal(Signal::STOP);
                self.until_shared_out("a member stands still");
                thread::sleep(GIVEN_UP);
                member.process.signal(Signal::CONT);
                self.members.push(member);
                self.until_shared_out("it goes on");
            }
        }
    }

    /// The fleet falls silent, and everything that it said is looked for.
    fn end(mut self, what: &str, more: &[&str]) {
        self.fleet.signal(Signal::INT);
        assert_eq!(self.fleet.wait(SETTLE).code(), Some(0), "{}", self.fleet.log());
        let (code, said) = self.rig.verify(more);
        let logs: Vec<String> = self.members.iter().map(|member| member.process.tail()).collect();
        assert_eq!(code, Some(0), "{what}: {said}\n{}", logs.join("\n"));
        eprintln!("{what}: {} rebalances of {} groups\n{said}", self.rebalances, POOLS.len());
    }
}

/// Members are killed, stand still until their group has given them up, come and go.
fn members_come_and_go(protocol: Protocol) {
    let rig = Rig::new(Kafka::shared());
    let mut storm = Storm::begin(&rig, protocol);
    while storm.rebalances < rebalances() {
        storm.turn(protocol);
    }
    storm.end(&format!("{protocol:?}"), &[]);
}

#[test]
fn nothing_is_lost_where_members_keep_what_they_have() {
    members_come_and_go(Protocol::Cooperative);
}

#[test]
fn nothing_is_lost_where_everybody_gives_everything_back() {
    members_come_and_go(Protocol::Eager);
}

#[test]
fn nothing_is_lost_where_kafka_shares_out() {
    members_come_and_go(Protocol::Consumer);
}

/// From one way of sharing out to the next, with members that are replaced one after another: whoever asks for
/// another way than the group has waits until it may join.
#[test]
fn nothing_is_lost_when_a_group_changes_its_protocol() {
    let rig = Rig::new(Kafka::shared());
    let mut storm = Storm::begin(&rig, Protocol::Eager);
    storm.add(Protocol::Eager);
    for next in [Protocol::Cooperative, Protocol::Consumer] {
        let old = storm.members.split_off(0);
        storm.start(next);
        storm.start(next);
        for mut member in old {
            thread::sleep(Duration::from_secs(1));
            let code = member.process.terminate(SETTLE);
            assert_eq!(code, Some(0), "{}", member.process.tail());
        }
        storm.until_shared_out(&format!("{next:?} members took over"));
    }
    storm.end("the group's protocol changed", &[]);
}

/// Two members with one name in their group: Kafka shuts out who was there first, for good. It ends, so that
/// whoever looks after it sees that, and the other does the work.
#[test]
fn a_member_that_its_group_shuts_out_ends_and_says_why() {
    let rig = Rig::new(Kafka::shared());
    let mut storm = Storm::begin(&rig, Protocol::Named("one"));
    storm.start(Protocol::Named("one"));
    let mut first = storm.members.remove(0);
    assert_eq!(first.process.wait(SETTLE).code(), Some(1), "{}", first.process.tail());
    let log = first.process.log();
    assert!(log.contains("its group has shut this member out"), "{log}");
    storm.until_shared_out("another has its name");
    storm.end("a member was shut out", &[]);
}

/// One node after another of three is killed and comes back; leaders move, of what is read, of what is written
/// and of what was committed.
#[test]
fn nothing_is_lost_when_brokers_are_killed() {
    let nodes = Kafka::start_cluster();
    let servers: Vec<String> = nodes.iter().map(Kafka::address).collect();
    let rig = Rig::with(&nodes[0], &servers.join(","), S3::shared());
    let mut storm = Storm::begin(&rig, Protocol::Cooperative);
    storm.add(Protocol::Cooperative);
    for round in 0..told("LANDFALL_STORM_BROKERS", 3) as usize {
        let node = &nodes[round % nodes.len()];
        node.kill();
        thread::sleep(Duration::from_secs(2));
        if round == 1 {
            // Whoever comes has to find its group without that node.
            storm.members.remove(0).process.kill();
            storm.add(Protocol::Cooperative);
        }
        node.start_again();
        let topics = [rig.raw_topics(), vec!["__consumer_offsets".to_owned()]].concat();
        wait::until_true("all nodes have everything", SETTLE, || {
            topics.iter().all(|topic| node.is_in_sync(topic))
        });
    }
    storm.end("brokers were killed", &[]);
}

/// The store dies, hangs and comes back while payloads are read from it.
#[test]
fn nothing_is_lost_or_made_twice_when_the_store_dies() {
    let (kafka, s3) = (Kafka::shared(), S3::start());
    let rig = Rig::with(kafka, &kafka.address(), &s3);
    // First it lands, among it what is in the store.
    let mut fleet = rig.fleet("30", "200", "6s");
    assert_eq!(fleet.wait(SETTLE).code(), Some(0), "{}", fleet.log());
    s3.kill();
    let member = rig.member("parse-1", Protocol::Cooperative);
    let held = |member: &Member| {
        let all = member.partitions("slow").into_iter();
        all.filter(|one| one["state"] == "held").count()
    };
    wait::until_true("partitions are held", SETTLE, || held(&member) > 0);
    // What needs no store waits for none.
    wait::until_true("the fast pool is done", SETTLE, || {
        let all = member.partitions("fast");
        all.len() == 6 && all.iter().all(|one| one["lag"] == 0)
    });
    let ready = member.ask("GET", "/readyz", None).body;
    assert!(ready.contains("partitions are held"), "{ready}");
    for _ in 0..3 {
        s3.start_again();
        thread::sleep(Duration::from_millis(700));
        s3.signal(Signal::STOP);
        thread::sleep(Duration::from_millis(700));
        s3.signal(Signal::CONT);
        thread::sleep(Duration::from_millis(300));
        s3.kill();
    }
    s3.start_again();
    let (code, said) = rig.verify(&["--no-doubles"]);
    assert_eq!(code, Some(0), "{said}\n{}", member.process.log());
    eprintln!("{said}");
}
