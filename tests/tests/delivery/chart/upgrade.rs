//! An upgrade replaces pods, never what Kubernetes refuses to change or what others know by name.

use tests::chart::{Chart, Render, api, check, helm, immutable};
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
        api::update(before, &after).unwrap_or_else(|fault| panic!("{}: {fault}", before.name));
        let (before, after) = (immutable::fields(before), immutable::fields(&after));
        assert_eq!(immutable::differences(&before, &after), [""; 0]);
    }
}

/// Values of a release that runs, and others that it can be given.
const CHANGES: &[(&str, &str)] = &[
    ("", "replicas: 0"),
    ("", "service: { type: NodePort }"),
    ("", "service: { type: LoadBalancer, externalTrafficPolicy: Local }"),
    ("service: { type: LoadBalancer, externalTrafficPolicy: Local }", ""),
    ("service: { type: NodePort, nodePorts: { mqtt: 31883 } }", "service: { type: ClusterIP }"),
    ("", "autoscaling: { enabled: true }"),
    ("autoscaling: { enabled: true }", ""),
    ("", "podDisruptionBudget: { minAvailable: 1 }"),
    ("", "persistence: { retention: { whenScaled: Delete } }"),
    ("", "terminationGracePeriodSeconds: 300"),
    ("", "networkPolicy: { egress: [{ ports: [{ port: 9092 }] }] }"),
    (
        "",
        "config: { listeners: [{ name: lab, bind: \"0.0.0.0:2883\", anonymous: true }], admin: { bind: \"0.0.0.0:9090\" } }",
    ),
    ("", "secrets: { s3: { secretName: bucket } }"),
    ("persistence: { enabled: false }", "persistence: { enabled: false, size: 1Gi }"),
];

#[test]
fn what_may_change_in_a_running_release_can_be_changed() {
    for (before, after) in CHANGES {
        let [old, new] = [before, after].map(|values| changed(values));
        if let Err(fault) = api::update(&old, &new) {
            panic!("from {before:?} to {after:?}: {fault}");
        }
    }
    // What README says cannot be changed, which shows that the others were looked at.
    let fault = api::update(&changed(""), &changed("persistence: { size: 9Gi }"));
    let fault = fault.expect_err("Kubernetes refuses another claim template");
    assert!(fault.contains("updates to statefulset spec for fields other than"), "{fault}");
}

/// What comes out for these values beside the smallest ones.
fn changed(values: &str) -> Render {
    let folder = Folder::new("change");
    let minimal = folder.join("minimal.yaml");
    std::fs::write(&minimal, MINIMAL).expect("the test's folder can be written");
    let more = helm::written(&folder, values);
    let arguments = ["--values", &minimal.to_string_lossy(), "--values", &more];
    Render::of(Chart::own(), "change", &arguments).expect("the values are good")
}

/// Devices reconnect for every pod that is replaced: for nothing but a reason.
#[test]
fn pods_are_replaced_for_another_configuration_and_not_for_another_size() {
    let template = |values: &str| {
        let render = changed(&format!("image: {{ tag: same }}\n{values}"));
        render.gateways().expect("there are gateways")["spec"]["template"].clone()
    };
    let before = template("");
    let same = "replicas: 9\nminReadySeconds: 0\nservice: { type: NodePort }\nmetrics: { dashboard: { enabled: true } }";
    assert_eq!(template(same), before, "{same}");
    let checksum = |template: &serde_json::Value| {
        template["metadata"]["annotations"]["checksum/config"].as_str().map(str::to_owned)
    };
    let changed = template("config: { unrouted: refuse }");
    assert!(checksum(&before).is_some(), "the pods carry the configuration's checksum");
    assert_ne!(checksum(&changed), checksum(&before));
}
