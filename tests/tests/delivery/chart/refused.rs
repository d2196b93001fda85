//! Values that must not come through, each with a message that says what to write. The schema refuses
//! what it can; the rest is refused by the chart's guards, all of it at once.

use tests::chart::{Chart, Render};

use super::MINIMAL;

/// Values beside the smallest ones, and what the message has to contain.
type Case = (&'static str, &'static [&'static str]);

/// What the schema says, which is Helm's own wording.
const BY_SCHEMA: &[Case] = &[
    ("replica: 3", &["replica"]),
    ("image: { tagg: x }", &["image", "tagg"]),
    ("service: { kind: LoadBalancer }", &["service", "kind"]),
    ("persistence: { retention: { whenGone: Delete } }", &["persistence", "retention", "whenGone"]),
    ("metrics: { serviceMonitor: { enable: true } }", &["serviceMonitor", "enable"]),
    ("secrets: { kafka: { name: x } }", &["secrets", "kafka"]),
    ("configMaps: { ca: { secretName: x } }", &["configMaps", "ca"]),
    ("certificates: { server: { dnsNames: [a] } }", &["certificates", "server", "issuerRef"]),
    ("certificates: { server: { issuerRef: { kind: Issuer } } }", &["issuerRef", "name"]),
    ("certificates: { Server: { issuerRef: { name: a } } }", &["invalid propertyName", "Server"]),
    ("config: { kafka: { bootstrap_servers: \"\" } }", &["kafka", "bootstrap_servers"]),
    ("config: { kafkas: {} }", &["config", "kafkas"]),
    ("config: { kafka: { bootstrap: x } }", &["config", "kafka", "bootstrap"]),
    (
        "config: { listeners: [{ bind: \"0.0.0.0:1883\", anonymous: true }] }",
        &["listeners", "name"],
    ),
    ("config: { listeners: [{ name: x, bind: \"0.0.0.0:1883\", anonymus: true }] }", &["anonymus"]),
    ("config: { lanes: { fast: { inline: 1KiB } } }", &["lanes", "fast", "inline"]),
    ("config: { rules: [{ when: { topics: a }, lane: slow }] }", &["rules", "topics"]),
    ("config: { drain: { pause: [] } }", &["drain", "pause"]),
    ("config: { kafka: { create_topics: maybe } }", &["create_topics"]),
    ("config: { kafka: { properties: { sasl.password: { from_vault: x } } } }", &["sasl.password"]),
    ("service: null", &["missing property 'service'"]),
    ("config: null", &["missing property 'config'"]),
    ("probes: null", &["missing property 'probes'"]),
    ("metrics: { podMonitor: null }", &["metrics", "missing property 'podMonitor'"]),
    ("service: { type: null }", &["service", "missing property 'type'"]),
    ("persistence: { size: 10Gib }", &["persistence", "size"]),
    ("image: { tag: \"a b\" }", &["image", "tag"]),
    ("extraEnv: [{ name: A, value: 5 }]", &["extraEnv", "value"]),
    ("replicas: many", &["replicas"]),
    ("replicas: -1", &["replicas"]),
    ("image: { digest: latest }", &["digest"]),
    ("image: { pullPolicy: Sometimes }", &["pullPolicy"]),
    ("service: { type: ExternalName }", &["type"]),
    ("service: { ports: { mqtt: 70000 } }", &["ports", "mqtt"]),
    ("persistence: { accessModes: [ReadOnly] }", &["accessModes"]),
    ("commonLabels: { team: 7 }", &["commonLabels", "team"]),
    ("log: { format: xml }", &["log", "format"]),
    ("terminationGracePeriodSeconds: 40s", &["terminationGracePeriodSeconds"]),
    ("gatewayIdPrefix: \"a b\"", &["gatewayIdPrefix"]),
    ("extraEnv: [{ value: x }]", &["extraEnv", "name"]),
    ("extraObjects: [{ kind: Secret }]", &["extraObjects", "apiVersion"]),
    ("test: { duration: soon }", &["test", "duration"]),
];

/// What only the chart knows.
const BY_GUARD: &[Case] = &[
    ("config: { gateway_id: gw-1 }", &["config.gateway_id", "gatewayIdPrefix"]),
    ("config: { limits: { memory: 1GiB } }", &["config.limits.memory", "leave it out"]),
    ("resources: { limits: { memory: null } }", &["resources.limits.memory", "write such as 1Gi"]),
    (
        "terminationGracePeriodSeconds: 34",
        &["terminationGracePeriodSeconds: 34 s are too short", "at least 35"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"127.0.0.1:1883\" }] }",
        &["config.listeners", "0.0.0.0:1883"],
    ),
    (
        "config: { admin: { bind: \"127.0.0.1:8080\", probes: null } }",
        &["config.admin.bind", "0.0.0.0:8080"],
    ),
    (
        "config: { admin: { probes: { bind: \"127.0.0.1:8081\" } } }",
        &["config.admin.probes.bind", "0.0.0.0:8081"],
    ),
    (
        "config: { admin: { probes: { bind: \"0.0.0.0:81\" } } }",
        &["config.admin.probes.bind", "1024 to 65535"],
    ),
    (
        "config: { admin: { probes: { bind: \"0.0.0.0:8080\" } } }",
        &["config.admin.probes.bind: port 8080 is the admin port's"],
    ),
    (
        "config: { admin: { authenticate: { tokens: { ops: hunter2 } } } }",
        &["config.admin.authenticate.tokens.ops: would be readable", "from_file"],
    ),
    (
        "config: { admin: { probes: { metrics: false }, authenticate: { tokens: { ops: { from_env: T } } } } }\nmetrics: { podMonitor: { enabled: true } }\nnetworkPolicy: { metricsFrom: [{ podSelector: {} }] }",
        &["config.admin.probes: Prometheus has no token", "metrics: true"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\" }] }",
        &["config.listeners: mqtt: nothing says who may connect", "anonymous: true"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: false }] }",
        &["config.listeners: mqtt: nothing says who may connect", "authenticate: [password]"],
    ),
    (
        "config: { listeners: [{ name: fleet, bind: \"0.0.0.0:8883\", authenticate: [password] }] }",
        &["test: the listener fleet asks its devices who they are", "test.secretName"],
    ),
    ("test: { listener: nobody }", &["test.listener: there is no listener \"nobody\""]),
    (
        "test: { devices: 7, certificates: { issuerRef: { name: a } } }",
        &["test.devices", "at most 6"],
    ),
    ("test: { certificates: { commonName: a } }", &["test.certificates.issuerRef: is needed"]),
    (
        "service: { type: LoadBalancer, annotations: { service.beta.kubernetes.io/aws-load-balancer-proxy-protocol: \"*\" } }",
        &["aws-load-balancer-proxy-protocol", "the listeners (mqtt) take for a mistake"],
    ),
    (
        "service: { type: LoadBalancer, annotations: { service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: \"deregistration_delay.timeout_seconds=30, proxy_protocol_v2.enabled=true\" } }",
        &["aws-load-balancer-target-group-attributes", "proxy_protocol"],
    ),
    (
        "service: { type: LoadBalancer, annotations: { load-balancer.hetzner.cloud/uses-proxyprotocol: \"true\" } }",
        &["uses-proxyprotocol", "proxy_protocol"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true, proxy_protocol: { trusted: [10.0.0.0/8] } }] }\nservice: { type: LoadBalancer, annotations: { service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: \"proxy_protocol_v2.enabled=true,preserve_client_ip.enabled=true\" } }",
        &["mqtt: proxy_protocol.trusted never holds", "preserve_client_ip.enabled=false"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true, proxy_protocol: { trusted: [10.0.0.0/8] } }] }\nservice: { type: LoadBalancer, externalTrafficPolicy: Local, annotations: { service.beta.kubernetes.io/aws-load-balancer-proxy-protocol: \"*\", service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: instance } }",
        &["mqtt: proxy_protocol.trusted never holds", "service.externalTrafficPolicy Local"],
    ),
    (
        "config: { listeners: [{ name: A_b, bind: \"0.0.0.0:1883\", anonymous: true }] }",
        &["config.listeners", "A_b", "at most 15"],
    ),
    (
        "config: { listeners: [{ name: admin, bind: \"0.0.0.0:1883\", anonymous: true }] }",
        &["the name \"admin\" is taken"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:8080\", anonymous: true }] }",
        &["port 8080 is taken"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:883\", anonymous: true }] }",
        &["cannot take port 883", "service.ports"],
    ),
    (
        "config: { listeners: [{ name: mqtt, bind: \"0.0.0.0:99999\", anonymous: true }] }",
        &["there is no port 99999"],
    ),
    (
        "config: { admin: { probes: null, tls: { certificates: [{ certificate: /a.crt, key: /a.key }] } } }",
        &["config.admin.probes: the kubelet has no certificate", "0.0.0.0:8081"],
    ),
    ("config: { admin: { bind: \"0.0.0.0:80\" } }", &["config.admin.bind", "1024 to 65535"]),
    ("config: { drain: { deadline: 0s } }", &["config.drain.deadline: is zero", "25s"]),
    ("fullnameOverride: Bad_Name", &["Bad_Name", "begins with a letter"]),
    ("fullnameOverride: 1st", &["1st", "begins with a letter"]),
    ("extraVolumes: [{ name: data, emptyDir: {} }]", &["extraVolumes", "the chart's own"]),
    ("service: { ports: { mqtts: 8883 } }", &["service.ports.mqtts", "there are mqtt"]),
    ("service: { nodePorts: { mqtt: 31883 } }", &["service.nodePorts", "NodePort or LoadBalancer"]),
    (
        "service: { type: NodePort, loadBalancerSourceRanges: [10.0.0.0/8] }",
        &["loadBalancerSourceRanges", "protect nothing"],
    ),
    (
        "extraEnv: [{ name: LANDFALL__KAFKA__CREATE_TOPICS, value: \"true\" }]",
        &["extraEnv", "config"],
    ),
    (
        "config: { kafka: { properties: { sasl.password: hunter2 } } }",
        &["config.kafka.properties.sasl.password", "from_file: /etc/landfall/secrets/"],
    ),
    (
        "config: { kafka: { properties: { ssl.key.pem: hunter2 } } }",
        &["config.kafka.properties.ssl.key.pem", "from_file"],
    ),
    (
        "config: { kafka: { properties: { sasl.oauthbearer.client.secret: hunter2 } } }",
        &["sasl.oauthbearer.client.secret", "from_file"],
    ),
    (
        "config: { object_store: { url: \"s3://a/b\", options: { secret_access_key: hunter2 } } }",
        &["config.object_store.options.secret_access_key", "from_file"],
    ),
    (
        "config: { object_store: { url: \"s3://a/b\", options: { session_token: hunter2 } } }",
        &["config.object_store.options.session_token", "from_file"],
    ),
    (
        "config: { object_store: { url: \"az://a/b\", options: { account_key: hunter2 } } }",
        &["config.object_store.options.account_key", "from_file"],
    ),
    (
        "config: { object_store: { url: \"az://a/b\", options: { access_key: hunter2 } } }",
        &["config.object_store.options.access_key", "from_file"],
    ),
    (
        "config: { object_store: { url: \"az://a/b\", options: { sas_key: hunter2 } } }",
        &["config.object_store.options.sas_key", "from_file"],
    ),
    (
        "config: { object_store: { url: \"gs://a/b\", options: { service_account_key: hunter2 } } }",
        &["config.object_store.options.service_account_key", "from_file"],
    ),
    (
        "config: { kafka: { properties: { sasl.oauthbearer.assertion.private.key.pem: hunter2 } } }",
        &["sasl.oauthbearer.assertion.private.key.pem", "from_file"],
    ),
    (
        "config: { kafka: { properties: { sasl.oauthbearer.config: hunter2 } } }",
        &["sasl.oauthbearer.config", "from_file"],
    ),
    (
        "config: { object_store: { url: \"s3://a/b\", options: { aws_sse_customer_key_base64: hunter2 } } }",
        &["aws_sse_customer_key_base64", "from_file"],
    ),
    (
        "config: { object_store: { url: \"az://a/b\", options: { azure_storage_sas_token: hunter2 } } }",
        &["azure_storage_sas_token", "from_file"],
    ),
    (
        "config: { lanes: { fast: { properties: { ssl.key.password: hunter2 } } } }",
        &["config.lanes.fast.properties.ssl.key.password", "from_file"],
    ),
    (
        "config: { parse: { pools: { fast: { lanes: [fast], properties: { sasl.password: hunter2 } } } } }",
        &["config.parse.pools.fast.properties.sasl.password", "from_file"],
    ),
    (
        "config: { parse: { metadata: { properties: { sasl.password: hunter2 } } } }",
        &["config.parse.metadata.properties.sasl.password", "from_file"],
    ),
    // What is no value of the parse role is refused before anything is rendered.
    ("config: { parse: { parsers: { p: { format: cbor } } } }", &["parse", "format"]),
    (
        "config: { kafka: { properties: { sasl.password: { from_file: /etc/landfall/secrets/kafka/p } } } }",
        &["secrets.kafka: is missing", "secretName"],
    ),
    (
        "config: { kafka: { properties: { ssl.ca.location: /etc/landfall/config-maps/kafka/ca.crt } } }",
        &["configMaps.kafka: is missing", "configMapName"],
    ),
    (
        "config: { kafka: { properties: { ssl.ca.location: /etc/landfall/certificates/kafka/ca.crt } } }",
        &["certificates.kafka: is missing", "issuerRef"],
    ),
    (
        "config: { kafka: { properties: { sasl.password: { from_env: KAFKA_PASSWORD } } } }",
        &["no environment variable KAFKA_PASSWORD", "secretKeyRef"],
    ),
    ("podLabels: { app.kubernetes.io/name: other }", &["podLabels", "leave it out"]),
    ("commonLabels: { app.kubernetes.io/instance: other }", &["commonLabels", "leave it out"]),
    ("podDisruptionBudget: { maxUnavailable: 0 }", &["let", "no node be drained", "at least 1"]),
    ("podDisruptionBudget: { minAvailable: 2 }", &["with 2 gateways, 2 that have to stay"]),
    (
        "podDisruptionBudget: { minAvailable: 3 }\nautoscaling: { enabled: true, minReplicas: 3 }",
        &["with 3 gateways, 3 that have to stay"],
    ),
    (
        "autoscaling: { enabled: true }\nkeda: { enabled: true, triggers: [{ type: cpu }] }",
        &["both would scale", "enable one"],
    ),
    (
        "autoscaling: { enabled: true, minReplicas: 20 }",
        &["autoscaling.minReplicas", "maxReplicas"],
    ),
    (
        "autoscaling: { enabled: true, targetCPUUtilizationPercentage: null }",
        &["nothing to scale by", "metrics"],
    ),
    (
        "autoscaling: { enabled: true }\nresources: { requests: { cpu: null } }",
        &["resources.requests.cpu", "write it"],
    ),
    (
        "metrics: { prometheusRule: { enabled: true, disabled: [NoSuchAlert] } }",
        &["there is no alert \"NoSuchAlert\"", "there are"],
    ),
    ("keda: { enabled: true }", &["keda.triggers", "at least one"]),
    (
        "metrics: { serviceMonitor: { enabled: true }, podMonitor: { enabled: true } }",
        &["scrape every gateway twice", "enable one"],
    ),
    (
        "metrics: { serviceMonitor: { enabled: true } }",
        &["networkPolicy.metricsFrom", "namespaceSelector"],
    ),
    (
        "metrics: { podMonitor: { enabled: true, interval: 500ms, scrapeTimeout: 1s } }",
        &["metrics.podMonitor.scrapeTimeout", "at most that"],
    ),
    (
        "networkPolicy: { enabled: false, mqttFrom: [{ ipBlock: { cidr: 10.0.0.0/8 } }] }",
        &["networkPolicy: ", "while it is off"],
    ),
];

/// Every case that came through, or whose message lacks something.
#[track_caller]
fn all_are_refused(cases: &[Case]) {
    let faults: Vec<String> = cases.iter().filter_map(|case| refused(case).err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn refused((values, expected): &Case) -> Result<(), String> {
    let folder = tests::tools::Folder::new("refused");
    let files = [("minimal.yaml", MINIMAL), ("more.yaml", *values)].map(|(name, text)| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the test's folder can be written");
        file.to_string_lossy().into_owned()
    });
    let arguments = ["--values", &files[0], "--values", &files[1]];
    let Err(message) = Render::of(Chart::own(), "refused", &arguments) else {
        return Err(format!("{values}: comes through"));
    };
    match expected.iter().find(|part| !message.contains(**part)) {
        None if message.contains("hunter2") => {
            Err(format!("{values}: shows the secret: {message}"))
        }
        None => Ok(()),
        Some(part) => Err(format!("{values}: {part:?} is not in the message: {message}")),
    }
}

#[test]
fn by_the_schema() {
    all_are_refused(BY_SCHEMA);
}

#[test]
fn by_a_guard() {
    all_are_refused(BY_GUARD);
}

/// Options whose names are like those of secrets: librdkafka's and object_store's own.
#[test]
fn what_is_no_secret_comes_through() {
    let properties = [
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.kerberos.keytab",
        "ssl.key.location",
        "ssl.keystore.location",
        "ssl.certificate.pem",
        "ssl.ca.pem",
    ];
    let options = [
        "access_key_id",
        "aws_sse_bucket_key_enabled",
        "aws_sse_kms_key_id",
        "aws_web_identity_token_file",
        "azure_credential_type",
        "azure_federated_token_file",
        "azure_fabric_token_service_url",
        "container_credentials_relative_uri",
        "google_application_credentials",
        "google_service_account_path",
    ];
    let map = |keys: &[&str]| {
        let entries: Vec<String> = keys.iter().map(|key| format!("{key}: harmless")).collect();
        entries.join(", ")
    };
    let values = format!(
        "config: {{ listeners: [{{ name: mqtt, bind: \"0.0.0.0:1883\", anonymous: true }}], kafka: {{ bootstrap_servers: kafka:9092, properties: {{ {} }} }}, object_store: {{ url: s3://a/b, options: {{ {} }} }} }}",
        map(&properties),
        map(&options),
    );
    let render = Render::with(Chart::own(), "no secrets", &values).expect("nothing is a secret");
    assert_eq!(render.text.matches("harmless").count(), properties.len() + options.len());
}

/// What has no default is told at once.
#[test]
fn without_kafka_and_without_a_word_on_who_may_connect() {
    let Err(message) = Render::with(Chart::own(), "refused", "replicas: 2") else {
        panic!("it comes through");
    };
    assert!(message.contains("config.kafka.bootstrap_servers: is needed"), "{message}");
    assert!(message.contains("HOST:PORT"), "{message}");
    assert!(message.contains("mqtt: nothing says who may connect"), "{message}");
}

#[test]
fn every_fault_is_told_at_once() {
    let two = "config: { gateway_id: gw-1 }\nkeda: { enabled: true }";
    refused(&(two, &["config.gateway_id", "keda.triggers"])).expect("both are told");
}
