//! The program that users build has none of the faults that tests ask for: what asks for one is a filter and a
//! variable like any other.

use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::mqtt::{Client, Packet, Publish, Version};
use tests::tools::{Folder, without_faults};

/// Kills the router's thread in a build for tests.
const PANIC_FILTER: &str = "$landfall/test/router-panic";
/// More than a lane takes inline.
const LARGE: usize = 1024 * 1024;

#[test]
fn what_users_build_has_no_faults_to_ask_for() {
    let folder = Folder::new("faults");
    let panics = folder.join("panics");
    std::fs::write(&panics, "").expect("the test's folder can be written");
    let url = format!("file://{}/", folder.display());
    let gateway = GatewayConfig::new(Kafka::shared())
        .program(&without_faults())
        .set("object_store", serde_json::json!({ "url": url }))
        .environment("LANDFALL_TEST_UPLOADS_PANIC", &panics.to_string_lossy())
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/camera/m-1/image", 1, &vec![7; LARGE]);
    client.subscribe(1, PANIC_FILTER, 0);
    assert!(matches!(client.expect_packet(), Packet::Suback { codes, .. } if codes == [0]));
    client.publish(&Publish::new(PANIC_FILTER, b"hello"));
    match client.expect_packet() {
        Packet::Publish(publish) => assert_eq!(publish.topic, PANIC_FILTER),
        other => panic!("a topic like any other: {other:?}"),
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("landfall_router_rebuilds_total", &[]), 0.0, "{}", gateway.log());
    assert_eq!(metrics.sum("landfall_panics_total", &[]), 0.0, "{}", gateway.log());
}
