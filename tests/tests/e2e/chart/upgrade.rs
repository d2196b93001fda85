//! An upgrade replaces pods, never what Kubernetes refuses to change or what others know by name.

use tests::chart::{Chart, Render, check, immutable};
use tests::tools::Folder;

use super::MINIMAL;

#[test]
fn from_every_released_version_nothing_fixed_changes() {
    // At a release, and only then; CONTRIBUTING.md says how.
    if std::env::var_os("LANDFALL_RECORD_CHART").is_some() {
        immutable::record(Chart::own()).expect("it can be recorded");
    }
    check("immutable fields", Chart::own());
}

#[test]
fn a_new_version_image_size_and_label_change_nothing_fixed() {
    let folder = Folder::new("upgrade");
    let next = Chart::copy(&folder);
    let file = next.folder().join("Chart.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let mut lines: Vec<&str> = text.lines().collect();
    for line in &mut lines {
        match line.split(':').next() {
            Some("version") => *line = "version: 7.8.9",
            Some("appVersion") => *line = "appVersion: \"9.8.7\"",
            _ => {}
        }
    }
    std::fs::write(&file, lines.join("\n")).expect("the copy can be written");
    let changes = "
replicas: 5
image: { tag: next, digest: \"\", repository: elsewhere.example.com/landfall }
commonLabels: { cost-center: \"17\" }
commonAnnotations: { example.com/changed: \"yes\" }
podLabels: { example.com/canary: \"true\" }
minReadySeconds: 1
";
    let more = folder.join("changes.yaml");
    std::fs::write(&more, changes).expect("the test's folder can be written");
    for before in Chart::own().renders().expect("the chart renders") {
        let (values, more) = (before.values_file(&next), more.to_string_lossy());
        let arguments = ["--values", &values, "--values", &more, "--is-upgrade"];
        let after = Render::of(&next, &before.name, &arguments).expect("the upgrade renders");
        assert!(after.text.contains("landfall-7.8.9"), "{}: it is the new version", before.name);
        assert!(after.text.contains("elsewhere.example.com/landfall:next"), "{}", before.name);
        let (before, after) = (immutable::fields(before), immutable::fields(&after));
        assert_eq!(immutable::differences(&before, &after), [""; 0]);
    }
}

/// Devices reconnect for every pod that is replaced: for nothing but a reason.
#[test]
fn pods_are_replaced_for_another_configuration_and_not_for_another_size() {
    let template = |values: &str| {
        let folder = Folder::new("pods");
        let files = [("minimal", MINIMAL), ("more", values)].map(|(name, text)| {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("the test's folder can be written");
            file.to_string_lossy().into_owned()
        });
        let arguments = ["--values", &files[0], "--values", &files[1]];
        let render = Render::of(Chart::own(), "pods", &arguments).expect("it renders");
        render.gateways().expect("there are gateways")["spec"]["template"].clone()
    };
    let before = template("");
    let same = "replicas: 9\nminReadySeconds: 0\nservice: { type: NodePort }\nmetrics: { dashboard: { enabled: true } }";
    assert_eq!(template(same), before, "{same}");
    let checksum = |template: &serde_json::Value| {
        template["metadata"]["annotations"]["checksum/config"].as_str().map(str::to_owned)
    };
    let changed =
        template("config: { unrouted: refuse, kafka: { bootstrap_servers: kafka:9092 } }");
    assert!(checksum(&before).is_some(), "the pods carry the configuration's checksum");
    assert_ne!(checksum(&changed), checksum(&before));
}
