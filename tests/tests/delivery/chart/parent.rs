//! Landfall as a part of somebody's own chart: Helm hands a sub-chart keys that it does not have itself,
//! and its schema stays closed all the same.

use std::path::Path;

use tests::chart::{Chart, Render, helm};
use tests::tools::Folder;

const CHART: &str = "
apiVersion: v2
name: platform
version: 1.0.0
dependencies:
  - { name: landfall, version: \">=0.0.0-0\", repository: \"file://CHART\", condition: landfall.enabled, tags: [ingest] }
";

const VALUES: &str = "
global: { region: eu, imageRegistry: registry.example.com }
landfall:
  enabled: true
  config: { listeners: [{ name: mqtt, bind: '0.0.0.0:1883', anonymous: true }], kafka: { bootstrap_servers: kafka:9092 } }
";

/// A chart that depends on Landfall's, with its dependency in place.
fn parent(folder: &Path) -> Chart {
    let own = Chart::own().folder().to_string_lossy();
    for (name, text) in
        [("Chart.yaml", CHART.replace("CHART", &own)), ("values.yaml", VALUES.into())]
    {
        std::fs::write(folder.join(name), text).expect("the test's folder can be written");
    }
    helm::run(&["dependency", "update", &folder.to_string_lossy()]).expect("it is found");
    Chart::new(folder)
}

#[test]
fn a_parent_hands_over_global_and_its_condition() {
    let folder = Folder::new("parent");
    let parent = parent(&folder);
    let render = Render::of(&parent, "parent", &[]).expect("it renders");
    let gateways = render.gateways().expect("there are gateways");
    assert_eq!(gateways["metadata"]["name"], "edge-landfall");
    let off = ["--set", "landfall.enabled=false"];
    let off = Render::of(&parent, "parent", &off).expect("it renders");
    assert_eq!(off.objects.len(), 0, "the condition switches it off");
}

#[test]
fn an_unknown_key_is_refused_there_too() {
    let folder = Folder::new("parent");
    let parent = parent(&folder);
    for wrong in ["landfall.replica=3", "landfall.config.kafka.bootstrap=kafka:9092"] {
        let render = Render::of(&parent, "parent", &["--set-string", wrong]);
        let fault = render.err().unwrap_or_else(|| panic!("{wrong} is taken"));
        let key = wrong.split('=').next().and_then(|path| path.rsplit('.').next());
        assert!(fault.contains(key.expect("a key")), "{wrong}: {fault}");
    }
}
