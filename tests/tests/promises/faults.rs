//! The program that users build has none of the faults that tests ask for: nothing in it looks whether it is to
//! fail.

use tests::fail_points::FailPoints;
use tests::gateway::GatewayConfig;
use tests::kafka::Kafka;
use tests::mqtt::{Client, Version};
use tests::tools::{Folder, without_faults};

/// More than a lane takes inline.
const LARGE: usize = 1024 * 1024;
/// Each kind but `low-priority`, which has nothing to do here.
const KINDS: [&str; 10] = [
    "lane-fast",
    "edge",
    "large",
    "admin",
    "local-plane",
    "kafka-topics",
    "upload",
    "store-watch",
    "listener",
    "router",
];

#[test]
fn what_users_build_has_no_faults_to_ask_for() {
    let (folder, points) = (Folder::new("faults"), FailPoints::start());
    KINDS.iter().for_each(|kind| points.once(kind));
    let url = format!("file://{}/", folder.display());
    let gateway = GatewayConfig::new(Kafka::shared())
        .program(&without_faults())
        .set("object_store", serde_json::json!({ "url": url }))
        .fail_points(&points)
        .start_ready();
    let mut client = Client::connect(gateway.mqtt(), Version::V5, "m-1");
    client.publish_acknowledged("devices/camera/m-1/image", 1, &vec![7; LARGE]);
    client.publish_acknowledged("devices/camera/m-1/image", 2, b"small");
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("landfall_router_rebuilds_total", &[]), 0.0, "{}", gateway.log());
    assert_eq!(metrics.sum("landfall_panics_total", &[]), 0.0, "{}", gateway.log());
    assert!(KINDS.iter().all(|kind| !points.came(kind)), "nobody asked");
}
