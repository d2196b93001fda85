//! A panic is told, and costs no more than the thread or task that it ends; where nothing can go on without that,
//! `/livez` or the end of the process says so, and the process is started again.

use std::net::TcpStream;
use std::time::Duration;

use tests::fail_points::FailPoints;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::Kafka;
use tests::mqtt::{Client, Publish, Version};
use tests::wait::{SOON, START, until_true};

const TOPIC: &str = "devices/meter/m-1/power";
/// A task that has answered ends its turn within this.
const AT_REST: Duration = Duration::from_millis(500);
/// The message failed: whoever sent it sends it again.
const FAILED: u8 = 0x83;

fn start() -> (Gateway, FailPoints, Client) {
    let points = FailPoints::start();
    let gateway = GatewayConfig::new(Kafka::shared()).fail_points(&points).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged(TOPIC, 1, b"21");
    (gateway, points, client)
}

/// The panics of a kind of thread that people were told of.
fn told(gateway: &Gateway, thread: &str) -> f64 {
    assert!(gateway.log().contains("panicked"), "{}", gateway.log());
    gateway.metrics().sum("landfall_panics_total", &[("thread", thread)])
}

#[test]
fn a_lane_without_its_thread_fails_what_it_has_and_is_not_alive() {
    let (gateway, points, mut client) = start();
    points.once("lane-fast");
    client.publish(&Publish::new(TOPIC, b"22").qos1(2));
    client.expect_disconnect(FAILED, SOON);
    until_true("it says so", SOON, || gateway.page("/livez").code == 503);
    assert!(gateway.page("/livez").body.contains("lane fast"));
    assert_eq!(told(&gateway, "lane-fast"), 1.0);
    let fast = gateway.lane("fast");
    assert_eq!((&fast["landed"], &fast["in_flight"]), (&1.into(), &0.into()), "{fast}");
    assert_eq!(fast["memory_used_bytes"], 0, "what it had is given back: {fast}");
    let mut other = Client::connect(gateway.mqtt(), Version::V5, "m-2");
    other.publish_acknowledged("devices/meter/m-2/alarm", 1, b"another lane goes on");
}

#[test]
fn a_connection_whose_task_panics_ends_alone() {
    let (gateway, points, mut client) = start();
    let mut other = Client::connect(gateway.mqtt(), Version::V5, "m-2");
    other.ping();
    other.expect_pingresp();
    // Its task has nothing more to do: the next that comes to its turn is the other.
    std::thread::sleep(AT_REST);
    points.once("edge");
    client.publish(&Publish::new(TOPIC, b"22").qos1(2));
    client.expect_closed(SOON);
    other.publish_acknowledged(TOPIC, 1, b"23");
    until_true("its place is free", SOON, || gateway.status()["connections"] == 1);
    assert_eq!((told(&gateway, "edge"), gateway.page("/livez").code), (1.0, 200));
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged(TOPIC, 2, b"22");
}

#[test]
fn a_local_plane_that_panics_begins_again() {
    let (gateway, points, mut client) = start();
    points.once("local-plane");
    until_true("it came to its turn", START, || points.came("local-plane"));
    client.subscribe(2, "a/b", 0);
    client.expect_packet();
    let mut other = Client::connect(gateway.mqtt(), Version::V5, "m-2");
    until_true("subscriptions work again", START, || {
        other.publish(&Publish::new("a/b", b"hello"));
        matches!(client.read(Duration::from_millis(200)), tests::mqtt::Seen::Packet(_))
    });
    assert_eq!((told(&gateway, "local-plane"), gateway.page("/livez").code), (1.0, 200));
}

#[test]
fn a_gateway_without_a_listener_ends() {
    let (mut gateway, points, _client) = start();
    points.once("listener");
    // It comes to its turn after the next socket.
    let _next = TcpStream::connect(gateway.mqtt()).expect("it listens");
    let code = gateway.wait(START);
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    assert!(gateway.log().contains("a listener ended by itself"), "{}", gateway.log());
}
