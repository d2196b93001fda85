//! Every check can fail: each change to a copy of the chart makes exactly the checks fail that are meant
//! to find it, and they say what is wrong.

use std::collections::BTreeMap;

use tests::chart::{Chart, side_by_side};
use tests::tools::Folder;

/// A change that should not get through.
struct Mutation {
    what: &'static str,
    /// A file of the chart.
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// The checks that fail, each with a part of what it says.
    found_by: &'static [(&'static str, &'static str)],
}

const MUTATIONS: &[Mutation] = &[
    Mutation {
        what: "a wrong field name in the StatefulSet",
        file: "templates/statefulset.yaml",
        from: "minReadySeconds:",
        to: "minReadySecond:",
        found_by: &[
            ("schemas", "'minReadySecond' not allowed"),
            ("API server", "unknown field \"spec.minReadySecond\""),
        ],
    },
    Mutation {
        what: "a field of the wrong type",
        file: "templates/service.yaml",
        from: "publishNotReadyAddresses: true",
        to: "publishNotReadyAddresses: \"yes\"",
        found_by: &[
            ("schemas", "/spec/publishNotReadyAddresses"),
            ("API server", "ServiceSpec.spec.publishNotReadyAddresses of type bool"),
            ("unit tests", "publishNotReadyAddresses"),
        ],
    },
    Mutation {
        what: "a value that no schema forbids",
        file: "ci/everything-values.yaml",
        from: "startup: { failureThreshold: 120 }",
        to: "startup: { failureThreshold: -120 }",
        found_by: &[("API server", "startupProbe.failureThreshold: Invalid value: -120")],
    },
    Mutation {
        what: "a misspelt field of a custom resource",
        file: "templates/monitoring.yaml",
        from: "scrapeTimeout:",
        to: "scrapeTimeouts:",
        found_by: &[("schemas", "'scrapeTimeouts' not allowed")],
    },
    Mutation {
        what: "a certificate with a field that cert-manager does not know",
        file: "templates/certificates.yaml",
        from: "\"usages\"",
        to: "\"usage\"",
        found_by: &[
            ("schemas", "'usage' not allowed"),
            ("unit tests", "asks for a certificate of the service's names"),
        ],
    },
    Mutation {
        what: "a certificate whose Secret no pod mounts",
        file: "templates/certificates.yaml",
        from: "dict \"secretName\" $secret",
        to: "dict \"secretName\" $name",
        found_by: &[
            ("references", "there is no \"server\" among"),
            ("unit tests", "asks for a certificate of the service's names"),
        ],
    },
    Mutation {
        what: "a volume of another name than its mount",
        file: "templates/_helpers.tpl",
        from: "- name: secret-{{ $name }}\n  secret:",
        to: "- name: secrets-{{ $name }}\n  secret:",
        found_by: &[
            ("API server", "volumeMounts[3].name: Not found: \"secret-s3\""),
            ("configuration", "/etc/landfall/secrets/admin/ops is read, but no volume"),
            ("unit tests", "passes on where a secret is, and mounts it"),
        ],
    },
    Mutation {
        what: "a monitor of a port that is not there",
        file: "templates/monitoring.yaml",
        from: "- port: {{ include \"landfall.metricsPort\" $ }}",
        to: "- port: metrics",
        found_by: &[
            ("references", "there is no \"metrics\" among"),
            ("unit tests", "scrapes the headless service's port for probes"),
        ],
    },
    Mutation {
        what: "a custom resource that nobody asked for",
        file: "templates/monitoring.yaml",
        from: "{{- with get $.Values.metrics (untitle $kind) }}\n{{- if .enabled }}",
        to: "{{- with get $.Values.metrics (untitle $kind) }}\n{{- if true }}",
        found_by: &[
            (
                "third parties",
                "everything: there is a ServiceMonitor, and the values do not ask for it",
            ),
            ("unit tests", "brings nothing unless asked"),
        ],
    },
    Mutation {
        what: "an unknown key in the values",
        file: "ci/minimal-values.yaml",
        from: "config:\n",
        to: "replica: 3\nconfig:\n",
        found_by: &[("templates", "'replica' not allowed")],
    },
    Mutation {
        what: "an unknown key in the gateway's configuration",
        file: "ci/s3-values.yaml",
        from: "  object_store:\n",
        to: "  object_stores: {}\n  object_store:\n",
        found_by: &[("templates", "'object_stores' not allowed")],
    },
    Mutation {
        what: "a password in the configuration",
        file: "ci/kafka-sasl-ssl-values.yaml",
        from: "{ from_file: /etc/landfall/secrets/kafka/password }",
        to: "hunter2",
        found_by: &[("templates", "sasl.password: would be readable in a ConfigMap")],
    },
    Mutation {
        what: "a Secret that the values do not mount",
        file: "ci/kafka-sasl-ssl-values.yaml",
        from: "secrets:\n  kafka: { secretName: kafka-credentials }",
        to: "",
        found_by: &[("templates", "secrets.kafka: is missing")],
    },
    Mutation {
        what: "Secrets that the templates do not mount",
        file: "templates/_helpers.tpl",
        from: "mountPath: /etc/landfall/secrets/{{ $name }}",
        to: "mountPath: /etc/landfall/secret/{{ $name }}",
        found_by: &[
            ("configuration", "/etc/landfall/secrets/admin/ops is read, but no volume"),
            ("unit tests", "passes on where a secret is, and mounts it"),
        ],
    },
    Mutation {
        what: "a key that a Secret's items do not bring",
        file: "ci/everything-values.yaml",
        from: "{ key: secret, path: secret-access-key }",
        to: "{ key: secret, path: secret }",
        found_by: &[("configuration", "the volume's items do not bring it")],
    },
    Mutation {
        what: "a rule for a lane that is not there",
        file: "ci/everything-values.yaml",
        from: "    cameras: { topic:",
        to: "    camera: { topic:",
        found_by: &[("configuration", "cameras")],
    },
    Mutation {
        what: "the memory limit not handed to the gateway",
        file: "templates/statefulset.yaml",
        from: "name: LANDFALL__LIMITS__MEMORY",
        to: "name: MEMORY_LIMIT",
        found_by: &[
            ("configuration", "the container's limit is"),
            ("unit tests", "hands the memory limit"),
        ],
    },
    Mutation {
        what: "a configuration that is mounted elsewhere",
        file: "templates/statefulset.yaml",
        from: "args: [run, --config, /etc/landfall/config/landfall.yaml]",
        to: "args: [run, --config, /etc/landfall/landfall.yaml]",
        found_by: &[
            ("configuration", "/etc/landfall/landfall.yaml is read, but no volume"),
            ("grace period", "/etc/landfall/landfall.yaml is read, but no volume"),
        ],
    },
    Mutation {
        what: "a grace period that the values make too short",
        file: "ci/high-availability-values.yaml",
        from: "resources:\n",
        to: "terminationGracePeriodSeconds: 60\nresources:\n",
        found_by: &[("templates", "60 s are too short for config.drain, which takes 80 s")],
    },
    Mutation {
        what: "a grace period that does not follow the drain",
        file: "templates/statefulset.yaml",
        from: "terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds | default (include \"landfall.drainSeconds\" .) | int }}",
        to: "terminationGracePeriodSeconds: 90",
        found_by: &[
            ("grace period", "everything: a drain may take 96.5s, the pods get 90 s"),
            ("unit tests", "gives pause, deadline and 5 s for the goodbyes"),
        ],
    },
    Mutation {
        what: "a version in the selector",
        file: "templates/_helpers.tpl",
        from: "app.kubernetes.io/instance: {{ .Release.Name | quote }}\n{{- end -}}\n\n{{/* Of every",
        to: "app.kubernetes.io/instance: {{ .Release.Name | quote }}\napp.kubernetes.io/version: \"{{ .Chart.AppVersion }}\"\n{{- end -}}\n\n{{/* Of every",
        found_by: &[
            ("immutable fields", "StatefulSet edge-landfall: /spec/selector was"),
            ("unit tests", "selects by name and release alone"),
        ],
    },
    Mutation {
        what: "a claim with a common label",
        file: "templates/statefulset.yaml",
        from: "        name: data\n        labels:\n          {{- include \"landfall.selectorLabels\"",
        to: "        name: data\n        labels:\n          {{- include \"landfall.labels\"",
        found_by: &[
            ("immutable fields", "/spec/volumeClaimTemplates was"),
            ("unit tests", "selects by name and release alone"),
        ],
    },
    Mutation {
        what: "a service of another name",
        file: "templates/service.yaml",
        from: "\"%s-headless\"",
        to: "\"%s-pods\"",
        found_by: &[
            ("immutable fields", "Service edge-landfall-headless is gone"),
            ("references", "there is no headless service edge-fleet-edge-headless"),
            ("unit tests", "names the pods, and their admin port, in the headless one"),
        ],
    },
    Mutation {
        what: "pods that may run as root",
        file: "templates/_helpers.tpl",
        from: "toYaml .Values.podSecurityContext",
        to: "omit .Values.podSecurityContext \"runAsNonRoot\" | toYaml",
        found_by: &[
            ("pod security", "runAsNonRoot != true"),
            ("unit tests", "runs the gateways as nobody"),
        ],
    },
    Mutation {
        what: "a test pod that looks like a gateway",
        file: "templates/_helpers.tpl",
        from: "app.kubernetes.io/name: \"{{ include \"landfall.name\" . }}-test\"",
        to: "app.kubernetes.io/name: {{ include \"landfall.name\" . | quote }}",
        found_by: &[
            ("test pod", "its selector takes the test pod for a gateway"),
            ("unit tests", "keeps the selector's labels off the test pod"),
        ],
    },
    Mutation {
        what: "a pool of the parse role that looks like a gateway",
        file: "templates/_helpers.tpl",
        from: "app.kubernetes.io/name: \"{{ include \"landfall.name\" . }}-parse\"",
        to: "app.kubernetes.io/name: {{ include \"landfall.name\" . | quote }}",
        found_by: &[("references", "gateways and pools have"), ("unit tests", "is no gateway")],
    },
    Mutation {
        what: "a pool that is not in the configuration",
        file: "templates/parse/deployment.yaml",
        from: "--pool, {{ $name | quote }}]",
        to: "--pool, gone]",
        found_by: &[
            ("configuration", "--pool: there is no pool \"gone\": there are bulk, live, metadata"),
            ("unit tests", "has one for each pool of the configuration"),
        ],
    },
    Mutation {
        what: "the memory limit not handed to a pool",
        file: "templates/parse/deployment.yaml",
        from: "name: LANDFALL__LIMITS__MEMORY",
        to: "name: MEMORY_LIMIT",
        found_by: &[
            ("configuration", "the container's limit is \"1200Mi\""),
            ("unit tests", "hands the memory limit of its pool over"),
        ],
    },
    Mutation {
        what: "a pool that has no time to leave its group",
        file: "templates/_helpers.tpl",
        from: "{{- add 15 (div (add $deadline 999) 1000) -}}",
        to: "{{- add 5 (div (add $deadline 999) 1000) -}}",
        found_by: &[
            ("grace period", "everything: a drain may take 105s, the pods get 95 s"),
            ("unit tests", "may take the deadline of a drain"),
        ],
    },
    Mutation {
        what: "an argument that device-sim does not know",
        file: "templates/tests/roundtrip.yaml",
        from: "- --duration=",
        to: "- --durations=",
        found_by: &[("test pod", "'--durations'")],
    },
    Mutation {
        what: "something else at each render",
        file: "templates/configmap.yaml",
        from: "\ndata:\n",
        to: "\nbinaryData: { salt: {{ randAlphaNum 16 | b64enc }} }\ndata:\n",
        found_by: &[("templates", "a second time, something else comes out")],
    },
    Mutation {
        what: "notes that do not say how to wait",
        file: "templates/NOTES.txt",
        from: "rollout status",
        to: "get",
        found_by: &[("templates", "the notes do not tell of rollout status")],
    },
    Mutation {
        what: "a value that is described in another way than README says",
        file: "values.yaml",
        from: "# What is logged,",
        to: "# What is written to the log,",
        found_by: &[("generated files", "run `make generate`")],
    },
    Mutation {
        what: "a schema that was changed by hand",
        file: "values.schema.json",
        from: "\"additionalProperties\": false",
        to: "\"additionalProperties\": true",
        found_by: &[("generated files", "values.schema.json is not what")],
    },
    Mutation {
        what: "a Chart.yaml that Helm criticises",
        file: "Chart.yaml",
        from: "apiVersion: v2",
        to: "apiVersion: v1",
        found_by: &[("lint", "apiVersion")],
    },
];

#[test]
fn each_is_found_by_the_checks_that_are_meant_to() {
    let unmutated = Folder::new("mutation");
    assert_eq!(Chart::copy(&unmutated).faults(), [], "the copy itself is good");
    let found = side_by_side(MUTATIONS, |mutation| {
        is_found(mutation).map_err(|fault| format!("{}: {fault}", mutation.what))
    });
    if let Err(faults) = found {
        panic!("{faults}");
    }
}

fn is_found(mutation: &Mutation) -> Result<(), String> {
    let folder = Folder::new("mutation");
    // One values file has it all; with the others it would only take longer.
    let changed =
        mutation.file.strip_prefix("ci/").and_then(|file| file.strip_suffix("-values.yaml"));
    let chart = Chart::copy(&folder).only(&[changed.unwrap_or("everything")]);
    let file = chart.folder().join(mutation.file);
    let text = std::fs::read_to_string(&file).expect("it is there");
    if !text.contains(mutation.from) {
        return Err(format!("{} has no {:?}", mutation.file, mutation.from));
    }
    std::fs::write(&file, text.replacen(mutation.from, mutation.to, 1)).expect("it can be written");
    let faults: BTreeMap<&str, String> = chart.faults().into_iter().collect();
    let expected: BTreeMap<&str, &str> = mutation.found_by.iter().copied().collect();
    if !faults.keys().eq(expected.keys()) {
        return Err(format!("expected {:?}, got {faults:#?}", expected.keys()));
    }
    for (check, part) in expected {
        let fault = &faults[check];
        if !fault.contains(part) {
            return Err(format!("{check} does not say {part:?}: {fault}"));
        }
    }
    Ok(())
}
