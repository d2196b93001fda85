//! The local plane against its promises: deliveries, bounds, and routers that die.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::subscriptions::{CLIENT_FILTERS_MAX, FILTERS_MAX};
use super::*;

const SOON: Duration = Duration::from_secs(10);
/// Long enough for a message that should not come.
const QUIET: Duration = Duration::from_millis(150);

/// Who publishes, where that is all the same.
const SOMEBODY: ClientKey = ClientKey(1);
const SUBSCRIBER: ClientKey = ClientKey(2);

/// A subscriber that can be waited for.
struct Client {
    subscriber: Subscriber,
    woken: mpsc::Receiver<()>,
}

impl Client {
    fn new(plane: &LocalPlane, filters: &[&str]) -> Client {
        let (wake, woken) = mpsc::channel();
        let mut subscriber = plane.subscriber(SUBSCRIBER, move || {
            // The receiver goes with the test.
            let _ = wake.send(());
        });
        for filter in filters {
            subscriber.subscribe(filter, false).unwrap();
        }
        Client { subscriber, woken }
    }

    fn next(&mut self, wait: Duration) -> Option<(String, Vec<u8>)> {
        let until = Instant::now() + wait;
        loop {
            if let Some(delivery) = self.subscriber.message(0) {
                let heard = (delivery.topic.to_string(), delivery.payload.to_vec());
                self.subscriber.remove(0);
                return Some(heard);
            }
            let rest = until.saturating_duration_since(Instant::now());
            self.woken.recv_timeout(rest).ok()?;
        }
    }

    /// Publishes until it comes through: a subscription takes effect a moment after it was made.
    fn until_heard(&mut self, plane: &LocalPlane, topic: &str) {
        let until = Instant::now() + SOON;
        while Instant::now() < until {
            plane.publish(SOMEBODY, topic, b"probe");
            if self.next(QUIET).is_some() {
                while self.next(QUIET).is_some() {}
                return;
            }
        }
        panic!("{topic} is never heard");
    }
}

#[test]
fn only_what_can_match_is_asked_for() {
    let plane = LocalPlane::start().unwrap();
    assert!(!plane.interested("a/b"));
    let mut client = Client::new(&plane, &["a/+"]);
    assert!(plane.interested("a/b"));
    assert!(!plane.interested("b/b"));
    assert!(client.subscriber.unsubscribe("a/+"));
    assert!(!client.subscriber.unsubscribe("a/+"));
    assert!(!plane.interested("a/b"));
    client.subscriber.subscribe("a/+", false).unwrap();
    drop(client);
    assert!(!plane.interested("a/b"));
}

#[test]
fn messages_reach_whoever_asked_for_them_in_order() {
    let plane = LocalPlane::start().unwrap();
    let mut all = Client::new(&plane, &["#"]);
    let mut one = Client::new(&plane, &["devices/+/m-1/power"]);
    let mut dollar = Client::new(&plane, &["$own/#"]);
    all.until_heard(&plane, "probe");
    one.until_heard(&plane, "devices/meter/m-1/power");
    dollar.until_heard(&plane, "$own/probe");
    while all.next(QUIET).is_some() {}
    for number in 0..500_u32 {
        plane.publish(SOMEBODY, "devices/meter/m-1/power", &number.to_be_bytes());
        plane.publish(SOMEBODY, "größe/ä", b"not ASCII");
    }
    plane.publish(SOMEBODY, "$own/x", b"");
    for number in 0..500_u32 {
        let expected = Some(("devices/meter/m-1/power".to_owned(), number.to_be_bytes().to_vec()));
        assert_eq!(one.next(SOON), expected);
        assert_eq!(all.next(SOON), expected);
        assert_eq!(all.next(SOON), Some(("größe/ä".to_owned(), b"not ASCII".to_vec())));
    }
    assert_eq!(dollar.next(SOON), Some(("$own/x".to_owned(), Vec::new())));
    assert_eq!(all.next(QUIET), None, "a wildcard reaches no `$` topic");
    assert!(one.subscriber.unsubscribe("devices/+/m-1/power"));
    thread::sleep(QUIET);
    plane.publish(SOMEBODY, "devices/meter/m-1/power", b"after");
    assert_eq!(one.next(QUIET), None);
    assert!(all.next(SOON).is_some());
}

#[test]
fn bounds_hold_and_losses_are_counted() {
    let plane = LocalPlane::start().unwrap();
    let mut client = Client::new(&plane, &["a"]);
    client.until_heard(&plane, "a");
    let too_long = "x".repeat(TOPIC_MAX_BYTES + 1);
    assert_eq!(client.subscriber.subscribe(&too_long, false), Err(SubscribeError::FilterTooLong));
    for number in 1..CLIENT_FILTERS_MAX {
        client.subscriber.subscribe(&format!("f/{number}"), false).unwrap();
    }
    assert_eq!(
        client.subscriber.subscribe("one more", false),
        Err(SubscribeError::TooManyForClient)
    );
    let mut others = Vec::new();
    for number in 0..FILTERS_MAX - CLIENT_FILTERS_MAX {
        others.push(Client::new(&plane, &[&format!("g/{number}")]));
    }
    let mut last = Client::new(&plane, &["a"]);
    assert_eq!(last.subscriber.subscribe("one more", false), Err(SubscribeError::TooManyInAll));
    let before = plane.shared.counts.delivered.load(Ordering::Relaxed);
    let (mut published, until) = (0, Instant::now() + 6 * SOON);
    while plane.shared.counts.dropped_slow.load(Ordering::Relaxed) == 0 {
        for _ in 0..100 {
            plane.publish(SOMEBODY, "a", &[0; 1000]);
            published += 1;
        }
        assert!(Instant::now() < until, "a client that never reads is never cut short");
        // The plane's threads have their turn too, on whatever machine.
        thread::sleep(Duration::from_millis(1));
    }
    let delivered = plane.shared.counts.delivered.load(Ordering::Relaxed) - before;
    assert!(delivered <= published * 2);
    plane.publish(SOMEBODY, "a", &vec![0; PAYLOAD_MAX_BYTES + 1]);
    assert_eq!(plane.shared.counts.dropped_too_large.load(Ordering::Relaxed), 1);
    drop((client, last, others));
    assert_eq!(plane.shared.queued_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn subscribers_that_do_not_keep_up_take_nothing_from_one_that_does() {
    const SLOW: usize = 12;
    const PAYLOAD: usize = 10_000;
    let plane = LocalPlane::start().unwrap();
    let slow: Vec<Client> = (0..SLOW).map(|_| Client::new(&plane, &["#"])).collect();
    let mut honest = Client::new(&plane, &["#"]);
    honest.until_heard(&plane, "probe");
    let dropped = || plane.shared.counts.dropped_memory.load(Ordering::Relaxed);
    let mut number = 0_u32;
    let mut publish_and_hear = || {
        number += 1;
        let payload = [&number.to_be_bytes()[..], &[0; PAYLOAD]].concat();
        plane.publish(SOMEBODY, "a", &payload);
        let heard = honest.next(SOON).expect("the one that keeps up gets every message");
        assert!(heard.1 == payload, "{number} is another one's turn");
    };
    while dropped() == 0 {
        publish_and_hear();
    }
    for _ in 0..200 {
        publish_and_hear();
    }
    let queued = plane.shared.queued_bytes.load(Ordering::Relaxed);
    assert!(queued <= queue::ALL_BYTES_MAX && queued > queue::ALL_BYTES_MAX - 2 * PAYLOAD);
    drop(slow);
}

#[test]
fn a_message_counts_until_it_is_sent() {
    let plane = LocalPlane::start().unwrap();
    let mut client = Client::new(&plane, &["a"]);
    client.until_heard(&plane, "a");
    plane.publish(SOMEBODY, "a", &[0; 1000]);
    let counted = 1 + 1000 + DELIVERY_COST;
    let queued = || plane.shared.queued_bytes.load(Ordering::Relaxed);
    let until = Instant::now() + SOON;
    while client.subscriber.message(0).is_none() {
        assert!(Instant::now() < until, "nothing comes");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(queued(), counted);
    client.subscriber.remove(0);
    assert_eq!(queued(), 0);
}

#[test]
fn a_router_that_is_full_is_replaced_and_nobody_notices() {
    let plane = LocalPlane::start().unwrap();
    let mut all = Client::new(&plane, &["#"]);
    all.until_heard(&plane, "probe");
    let topics = 3 * 10_000_u32;
    let (mut sent, mut heard) = (0, 0);
    let until = Instant::now() + 6 * SOON;
    while heard < topics {
        assert!(Instant::now() < until, "{heard} of {topics} heard");
        while sent < topics && sent - heard < 900 {
            plane.publish(SOMEBODY, &format!("many/{sent}"), b"");
            sent += 1;
        }
        let (topic, _) = all.next(SOON).expect("a message for each topic");
        assert_eq!(topic, format!("many/{heard}"));
        heard += 1;
    }
    assert!(plane.shared.counts.rebuilt_full.load(Ordering::Relaxed) >= 2);
    assert_eq!(plane.shared.counts.dropped_router.load(Ordering::Relaxed), 0);
}

#[test]
fn closing_waits_for_nobody() {
    let plane = LocalPlane::start().unwrap();
    let mut client = Client::new(&plane, &["a"]);
    client.until_heard(&plane, "a");
    let started = Instant::now();
    drop(plane);
    assert!(started.elapsed() < SOON);
    assert_eq!(client.next(QUIET), None);
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn fifty_rebuilds_leave_threads_and_memory_flat() {
    const LINKS: usize = 100;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let lifetime = |generation| {
        runtime.block_on(async {
            let mut router = router::Router::start(generation).await.unwrap();
            let mut links = Vec::new();
            for number in 0..LINKS {
                let mut link = router.link().await.unwrap();
                link.subscribe(&format!("rebuilds/{number}/#")).unwrap();
                links.push(link);
            }
            router.beat().await.unwrap();
            for number in 0..LINKS {
                router.lay_out(&format!("rebuilds/{number}/x"), number as u64);
            }
            router.beat().await.unwrap();
            router.beat().await.unwrap();
            for (number, link) in links.iter_mut().enumerate() {
                assert_eq!(link.next(), Some(number as u64));
            }
            router.end();
        });
    };
    let name = |generation: usize| format!("router-{generation}\n");
    let alive = |generation| {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks.filter_map(|task| comm(task.ok()?).ok()).any(|comm| comm == name(generation))
    };
    // Numbers of their own, so that other tests' routers do not count.
    let first = 9000;
    for generation in first..first + 10 {
        lifetime(generation);
    }
    let before = resident();
    for generation in first + 10..first + 60 {
        lifetime(generation);
    }
    let until = Instant::now() + SOON;
    while (first..first + 60).any(alive) {
        assert!(Instant::now() < until, "threads of old routers are still there");
        thread::sleep(Duration::from_millis(10));
    }
    let growth = resident().saturating_sub(before);
    // One router with its links costs about 4 MB, so 50 that stayed would be 200 MB.
    assert!(growth < 32 * 1024 * 1024, "50 rebuilds cost {growth} bytes");
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it_and_from_nobody_else() {
    let plane = LocalPlane::start().unwrap();
    let mut own = Client::new(&plane, &[]);
    own.subscriber.subscribe("a/+", true).unwrap();
    let mut other = Client::new(&plane, &["a/+"]);
    other.until_heard(&plane, "a/b");
    own.until_heard(&plane, "a/b");
    let texts = |client: &mut Client| {
        let mut texts = Vec::new();
        while let Some((_, payload)) = client.next(QUIET) {
            texts.push(String::from_utf8(payload).unwrap());
        }
        texts.retain(|text| text != "probe");
        texts
    };
    plane.publish(SUBSCRIBER, "a/b", b"mine");
    plane.publish(SOMEBODY, "a/b", b"theirs");
    assert_eq!(texts(&mut own), ["theirs"]);
    // It has the same key here, but did not ask for it.
    assert_eq!(texts(&mut other), ["mine", "theirs"]);

    // A filter that wants them brings them, once.
    own.subscriber.subscribe("a/#", false).unwrap();
    own.subscriber.subscribe("x", false).unwrap();
    own.until_heard(&plane, "x");
    plane.publish(SUBSCRIBER, "a/b", b"mine");
    assert_eq!(texts(&mut own), ["mine"]);
    assert!(own.subscriber.unsubscribe("a/#"));
    // What was said last counts.
    own.subscriber.subscribe("a/+", false).unwrap();
    own.subscriber.subscribe("y", false).unwrap();
    own.until_heard(&plane, "y");
    plane.publish(SUBSCRIBER, "a/b", b"mine");
    assert_eq!(texts(&mut own), ["mine"]);
    own.subscriber.subscribe("a/+", true).unwrap();
    own.subscriber.subscribe("z", false).unwrap();
    own.until_heard(&plane, "z");
    plane.publish(SUBSCRIBER, "a/b", b"mine");
    assert_eq!(texts(&mut own), Vec::<String>::new());
}
