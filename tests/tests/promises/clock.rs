//! The time of day jumps, as a virtual machine's does that was asleep: what is written of it follows, and whatever
//! waits goes on.

use std::time::Duration;

use tests::clock::Clock;
use tests::freshness::now_ms;
use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::mqtt::{Client, Version};
use tests::wait::START;

const HOUR: Duration = Duration::from_secs(3600);
/// Between a message and its landing here; the jumps are by far longer.
const CLOSE_MS: i64 = 60_000;

#[test]
fn a_time_of_day_that_jumps_holds_up_nobody() {
    let (kafka, clock) = (Kafka::shared(), Clock::start());
    let gateway = GatewayConfig::new(kafka).clock(&clock).start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    let mut sent = 0;
    let mut publish = || {
        sent += 1;
        client.publish_acknowledged("devices/meter/m-1/power", sent, b"21");
        client.ping();
        client.expect_pingresp();
        let landed = kafka.wait_for(&gateway.topic("fast"), usize::from(sent), START);
        // A jump back makes it earlier than those before it.
        let last = landed.last().expect("it landed").envelope().received_ms;
        last - now_ms()
    };
    let close = |wrong_by: i64, offset_ms: i64| (wrong_by - offset_ms).abs() < CLOSE_MS;
    assert!(close(publish(), 0));
    clock.forward(HOUR / 2);
    assert!(close(publish(), clock.offset_ms()));
    clock.back(25 * HOUR);
    assert!(close(publish(), clock.offset_ms()));
    clock.right();
    assert!(close(publish(), 0));
    assert_eq!(gateway.page("/livez").code, 200);
}
