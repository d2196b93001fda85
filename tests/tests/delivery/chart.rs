//! The Helm chart, without a cluster: what it renders is what Kubernetes and the gateway take, what it
//! must refuse it refuses, and an upgrade leaves alone what cannot change. Each check is in
//! `tests::chart`; that each can fail is shown on broken copies.

mod mutations;
mod parent;
mod refused;
mod round_trip;
mod upgrade;

use tests::chart::{Chart, Render, api, check, helm, references};
use tests::tools::Folder;

/// The smallest values, as README has them.
const MINIMAL: &str = "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true }], kafka: { bootstrap_servers: kafka:9092 } }";

#[test]
fn every_values_file_renders() {
    let names: Vec<String> =
        Chart::own().values_files().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "cert-manager",
        "everything",
        "gcs-workload-identity",
        "high-availability",
        "kafka-sasl-ssl",
        "minimal",
        "mtls",
        "parse",
        "s3",
    ];
    assert_eq!(names, expected);
    check("templates", Chart::own());
}

#[test]
fn helm_finds_nothing_to_criticise() {
    check("lint", Chart::own());
}

#[test]
fn three_kubernetes_versions_take_every_field() {
    check("schemas", Chart::own());
}

#[test]
fn kubernetes_own_validation_takes_every_object() {
    check("API server", Chart::own());
}

#[test]
fn every_name_fits_and_everything_that_is_named_is_there() {
    check("references", Chart::own());
}

/// As long as Helm and Kubernetes let them be.
#[test]
fn long_names_fit_too() {
    let release = "a-release-of-fifty-three-characters-which-is-the-most";
    let chart = Chart::own().folder().to_string_lossy();
    let full = "a-full-name-that-ends-with-a-hyphen-where-it-is-cut-at-52--and-goes-on";
    let everything = Chart::own().folder().join("ci/everything-values.yaml");
    let everything = everything.to_string_lossy();
    let short = "nameOverride=a-name-of-the-chart-that-is-much-longer-than-anybody-would-think-of";
    for more in ["replicas=1".to_owned(), format!("fullnameOverride={full}"), short.to_owned()] {
        let arguments = ["template", release, &chart, "--namespace", helm::NAMESPACE];
        let values = ["--values", &everything, "--set", "gatewayIdPrefix=", "--set", &more];
        let text = helm::run(&[&arguments[..], &values].concat()).expect("it renders");
        let render = Render::parsed(&more, text).expect("it is YAML");
        references::in_order(&render).unwrap_or_else(|fault| panic!("{more}: {fault}"));
        api::creates(&[&render]).unwrap_or_else(|fault| panic!("{more}: {fault}"));
    }
}

/// Names and values that YAML would take for numbers or lists, and what may be taken away with null.
#[test]
fn odd_values_come_through_whole() {
    let values = "
config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true }], kafka: { bootstrap_servers: kafka:9092 } }
fullnameOverride: e1
nameOverride: \"17\"
podSecurityContext: null
securityContext: null
probes: { startup: null, liveness: { httpGet: { path: /livez, port: admin, scheme: HTTP } } }
persistence: { storageClass: \"-\" }
priorityClassName: \"1000\"
runtimeClassName: \"2\"
serviceAccount: { name: \"3\" }
secrets: { a: { secretName: \"4\" } }
affinity: null
tolerations: null
resources: { limits: { memory: 512Mi } }
image: { tag: null }
";
    let folder = Folder::new("odd");
    let file = helm::written(&folder, values);
    let chart = Chart::own().folder().to_string_lossy();
    let arguments = ["template", "123", &chart, "--namespace", "456", "--values", &file];
    let render = Render::parsed("odd", helm::run(&arguments).expect("it renders"));
    let render = render.expect("it is YAML");
    let pod = &render.gateways().expect("there are gateways")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["startupProbe"]["httpGet"]["path"], "/livez");
    assert_eq!(container["livenessProbe"]["httpGet"]["scheme"], "HTTP");
    references::in_order(&render).expect("everything is there");
    // A class that no cluster has is the one thing that Kubernetes minds.
    let said = api::creates(&[&render]).expect_err("no storage class is called -");
    assert_eq!(said.matches("Invalid value").count(), 1, "{said}");
    assert!(said.contains("storageClassName: Invalid value: \"-\""), "{said}");
}

#[test]
fn what_another_project_defines_comes_only_when_asked_for() {
    check("third parties", Chart::own());
}

#[test]
fn the_pods_are_restricted() {
    check("pod security", Chart::own());
}

#[test]
fn the_pods_have_the_time_that_a_drain_takes() {
    check("grace period", Chart::own());
}

#[test]
fn the_test_pod_is_no_gateway_and_its_programs_take_their_arguments() {
    check("test pod", Chart::own());
}

#[test]
fn the_gateway_takes_the_configuration_that_is_mounted() {
    check("configuration", Chart::own());
}

#[test]
fn the_unit_tests_pass() {
    check("unit tests", Chart::own());
}

#[test]
fn the_schema_and_the_readme_are_what_would_be_generated() {
    check("generated files", Chart::own());
}

/// What .helmignore leaves out is nothing that a render needs.
#[test]
fn a_package_renders_the_same() {
    let folder = Folder::new("package");
    let chart = Chart::own().folder().to_string_lossy();
    helm::run(&["package", &chart, "--destination", &folder.to_string_lossy()]).expect("it packs");
    let package = std::fs::read_dir(&*folder).expect("it is there").next().expect("a package");
    let package = Chart::new(&package.expect("it can be read").path());
    for render in Chart::own().renders().expect("the chart renders") {
        let values = ["--values", &render.values_file(Chart::own())];
        let packed = Render::of(&package, &render.name, &values).expect("the package renders");
        assert!(packed.text == render.text, "{}: the package renders something else", render.name);
    }
}

#[test]
fn the_notes_warn_of_what_is_risky() {
    let warnings = |values: &str| {
        let folder = Folder::new("notes");
        let file = helm::written(&folder, values);
        let notes = helm::notes(Chart::own(), &["--values", &file]).expect("the values are good");
        notes.split_once("Mind this:").map(|(_, after)| after.to_owned()).unwrap_or_default()
    };
    let risks = [
        ("persistence: { enabled: false }", "persistence.enabled is false"),
        ("config: { kafka: { create_topics: true } }", "config.kafka.create_topics is true"),
        ("service: { type: LoadBalancer }", "whoever reaches the LoadBalancer may publish"),
        ("networkPolicy: { enabled: false }", "networkPolicy.enabled is false"),
        ("replicas: 1", "There is one gateway"),
    ];
    // The same values without any of it.
    let safe = "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true }], kafka: { bootstrap_servers: kafka:9092 } }\nnetworkPolicy: { mqttFrom: [{ podSelector: {} }] }";
    assert_eq!(warnings(safe), "", "{safe}");
    for (risk, warning) in risks {
        let values = match risk.strip_prefix("config: { kafka: {") {
            Some(rest) => format!(
                "config: {{ listeners: [{{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true }}], kafka: {{ bootstrap_servers: kafka:9092, {rest}"
            ),
            None => format!("{MINIMAL}\n{risk}"),
        };
        let said = warnings(&values);
        assert!(said.contains(warning), "{values}: {said}");
    }
}

/// The line that publishes, for a listener; cert-manager made the certificate where there is one.
#[test]
fn the_notes_show_the_way_in_that_the_listener_wants() {
    let published = |listener: &str| {
        let values = format!(
            "config: {{ listeners: [{listener}], authentication: {{ password: {{ file: /p }}, token: {{ jwks: /j, issuer: a, audience: b }} }}, access: [{{ allow: [publish], topic: \"#\" }}], kafka: {{ bootstrap_servers: kafka:9092 }} }}\ncertificates: {{ server: {{ issuerRef: {{ name: fleet }} }} }}\ntest: {{ enabled: false }}"
        );
        let folder = Folder::new("notes");
        let file = helm::written(&folder, &values);
        let notes = helm::notes(Chart::own(), &["--values", &file]).expect("the values are good");
        let (_, way) = notes.split_once("\n3. ").expect("it says how to publish");
        way.split("\nMind this:").next().unwrap_or_default().to_owned()
    };
    const TLS: &str = "tls: { certificates: [{ certificate: /etc/landfall/certificates/server/tls.crt, key: /etc/landfall/certificates/server/tls.key }]";
    let over = |port: u16, more: &str| format!("{{ name: m, bind: \"0.0.0.0:{port}\", {more} }}");
    let secured = " --cafile ca.crt --insecure";
    for (listener, way) in [
        (over(1883, "anonymous: true"), "-p 1883".to_owned()),
        (over(1883, "authenticate: [password, token]"), "-p 1883 -i m-1 -u m-1 -P PASSWORD".into()),
        (
            over(8883, &format!("authenticate: [token], {TLS} }}")),
            format!("-p 8883{secured} -i m-1 -u m-1 -P \"$(cat m-1.jwt)\""),
        ),
        (
            over(8883, &format!("authenticate: [password], {TLS}, client_ca: /ca }}")),
            format!("-p 8883{secured} --cert m-1.crt --key m-1.key -i m-1 -u m-1 -P PASSWORD"),
        ),
        (
            over(
                8883,
                &format!(
                    "authenticate: [{{ all: [certificate, token] }}], {TLS}, client_ca: /ca }}"
                ),
            ),
            format!(
                "-p 8883{secured} --cert m-1.crt --key m-1.key -i m-1 -u m-1 -P \"$(cat m-1.jwt)\""
            ),
        ),
        (over(8883, &format!("anonymous: true, {TLS} }}")), format!("-p 8883{secured}")),
        // Of two the one that a forwarded port reaches.
        (
            over(8883, "anonymous: true, proxy_protocol: { trusted: [\"10.0.0.0/8\"] }")
                + ", { name: other, bind: \"0.0.0.0:1884\", anonymous: true }",
            "-p 1884".to_owned(),
        ),
        (
            over(8883, "anonymous: true, proxy_protocol: { trusted: [\"10.0.0.0/8\"] }"),
            "-h ADDRESS -p 8883".to_owned(),
        ),
    ] {
        let said = published(&listener);
        assert!(said.contains(&format!("mosquitto_pub {way} -q 1 ")), "{listener}: {said}");
        let is_made = listener.contains("certificates");
        assert_eq!(
            said.contains("get secret edge-landfall-server-certificate -o"),
            is_made,
            "{said}"
        );
        assert_eq!(said.contains("port-forward"), !way.contains("ADDRESS"), "{said}");
    }
    let said = published(&over(8083, "anonymous: true, websocket: { path: /m }"));
    assert!(said.contains("ws://localhost:8083/m\n"), "{said}");
}
