//! A gateway that is built and not run: what `/metrics` says of it.

use tokio::time::timeout;

use super::*;
use crate::admin::AdminView as _;

/// The one test of this program that builds a gateway: its recorder is the process's.
#[test]
fn what_is_counted_elsewhere_is_on_the_page() {
    // Nobody listens on port 1, so Kafka is away.
    let text = r#"
listeners: [{ name: plain, bind: "127.0.0.1:0" }]
admin: { bind: "127.0.0.1:0" }
kafka: { bootstrap_servers: "127.0.0.1:1" }
object_store: { url: "s3://bucket", options: { region: us-east-1 } }
limits: { memory: 512MiB, connections: 100 }
"#;
    let settings =
        crate::config::parse(text, [], crate::config::Secrets::Read).expect("it is valid");
    let app = App::build(settings, None).expect("it can be built without Kafka");
    let page = || {
        app.view.collect_metrics();
        app.process.metrics.render()
    };
    let version = env!("CARGO_PKG_VERSION");
    let first = page();
    for expected in [
        format!("landfall_build_info{{role=\"gateway\",version=\"{version}\"}} 1\n"),
        "landfall_memory_limit_bytes 536870912\n".to_owned(),
        "landfall_connections_limit 100\n".to_owned(),
        "landfall_ready 0\n".to_owned(),
        "landfall_draining 0\n".to_owned(),
        "landfall_kafka_producer_ready{lane=\"fast\"} 0\n".to_owned(),
        "landfall_lane_stalled_seconds{lane=\"dead-letter\"} 0\n".to_owned(),
        "landfall_object_store_requests_total{result=\"failed\"} 0\n".to_owned(),
        "landfall_object_store_attempts_total{result=\"ok\"} 0\n".to_owned(),
        "landfall_object_store_open_requests 0\n".to_owned(),
        "landfall_object_store_oldest_request_seconds 0\n".to_owned(),
        // A rate of what first appears with its first value would miss that.
        "landfall_acknowledgement_latency_seconds_bucket{lane=\"fast\",le=\"1\"} 0\n".to_owned(),
        "landfall_object_store_latency_seconds_count 0\n".to_owned(),
        "landfall_messages_dead_lettered_total{lane=\"fast\"} 0\n".to_owned(),
        "landfall_messages_refused_total{lane=\"fast\",reason=\"shed\"} 0\n".to_owned(),
        "landfall_router_rebuilds_total{reason=\"died\"} 0\n".to_owned(),
        "landfall_panics_total{thread=\"background\"} 0\n".to_owned(),
    ] {
        assert!(first.contains(&expected), "{expected} is missing in\n{first}");
    }
    let names = first.lines().filter(|line| !line.starts_with('#'));
    for line in names {
        let name = line.split(['{', ' ']).next().expect("a split has a first part");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .filter(|family| family.ends_with("_seconds"))
            .unwrap_or(name);
        assert!(first.contains(&format!("# HELP {family} ")), "{family} has no help");
    }
    app.view.draining.store(true, Ordering::Release);
    assert!(page().contains("landfall_draining 1\n"));
    for lane in app.lanes {
        lane.stop();
    }
    app.topics.stop();
}

#[tokio::test]
async fn a_listener_that_ends_by_itself_ends_the_gateway() {
    let (stop, _stopped) = watch::channel(false);
    let mut listeners = JoinSet::new();
    listeners.spawn(std::future::pending());
    let mut accepting = Accepting { stop, listeners };
    let (a_moment, soon) = (Duration::from_millis(20), Duration::from_secs(20));
    timeout(a_moment, accepting.lost()).await.expect_err("it accepts");
    accepting.listeners.spawn(async { panic!("as a fault of ours would") });
    let lost = timeout(soon, accepting.lost()).await.expect("it is heard");
    assert!(lost.to_string().contains("listener"), "{lost}");
}
