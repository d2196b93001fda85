//! What an API server with strict field validation would refuse: kubeconform with the schemas that the
//! setup made, of three Kubernetes versions, and of other projects' custom resources.

use std::process::Command;

use serde_json::Value;

use super::api::is_foreign;
use super::{Chart, every, helm, side_by_side, text};
use crate::tools::{Folder, tool};

/// The oldest that the chart takes, the one that releases are tried on, the newest.
const VERSIONS: [&str; 3] = ["1.32.0", "1.34.0", "1.37.0"];
/// Kinds that are not Kubernetes' own, and the values that ask for them.
const THIRD_PARTIES: [(&str, &[&str]); 5] = [
    ("Certificate", &["/certificates", "/test/certificates"]),
    ("ServiceMonitor", &["/metrics/serviceMonitor/enabled"]),
    ("PodMonitor", &["/metrics/podMonitor/enabled"]),
    ("PrometheusRule", &["/metrics/prometheusRule/enabled"]),
    (
        "ScaledObject",
        &["/keda/enabled", "/parse/pools/fast/keda/enabled", "/parse/pools/metadata/keda/enabled"],
    ),
];

/// Every object of every values file fits the schemas.
pub fn check(chart: &Chart) -> Result<(), String> {
    let folder = Folder::new("schemas");
    let mut files = Vec::new();
    for render in chart.renders()? {
        let file = folder.join(format!("{}.yaml", render.name));
        std::fs::write(&file, &render.text).expect("the test's folder can be written");
        files.push(file);
    }
    let schemas = tool("schemas");
    let schemas = schemas.to_string_lossy();
    let own = "{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json";
    let custom = "custom/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";
    side_by_side(&VERSIONS, |version| {
        let mut command = Command::new(tool("bin/kubeconform"));
        command.args(["-strict", "-summary", "-kubernetes-version", version]);
        for location in [own, custom] {
            command.arg("-schema-location").arg(format!("{schemas}/{location}"));
        }
        command.args(&files);
        let output =
            helm::output(command).map_err(|fault| format!("Kubernetes {version}: {fault}"))?;
        // What it does not know it could skip.
        let expected: usize = chart.renders()?.iter().map(|render| render.objects.len()).sum();
        match output.contains(&format!("Valid: {expected}, Invalid: 0, Errors: 0, Skipped: 0")) {
            true => Ok(()),
            false => Err(format!("Kubernetes {version}: {expected} objects, but: {output}")),
        }
    })
    .map(drop)
}

/// What is not Kubernetes' own comes out only where the values ask for it: a cluster without it would
/// refuse the whole release.
pub fn third_parties(chart: &Chart) -> Result<(), String> {
    every(chart, |render| {
        let name = &render.name;
        let written = std::fs::read_to_string(render.values_file(chart)).expect("it is there");
        let values: Value =
            serde_saphyr::from_str(&written).map_err(|error| format!("{name}: {error}"))?;
        for object in &render.objects {
            let (kind, version) = (text(object, "/kind"), text(object, "/apiVersion"));
            if !is_foreign(version) {
                continue;
            }
            let asked = THIRD_PARTIES.iter().find(|(known, _)| *known == kind);
            let Some((_, asked)) = asked else {
                return Err(format!(
                    "{name}: {version} {kind} is of a third party, and nothing asks for it"
                ));
            };
            if !asks(&values, asked) {
                return Err(format!("{name}: there is a {kind}, and the values do not ask for it"));
            }
        }
        for (kind, asked) in THIRD_PARTIES {
            if asks(&values, asked) && render.kind(kind).next().is_none() {
                return Err(format!("{name}: the values ask for a {kind}, and there is none"));
            }
        }
        Ok(())
    })
}

/// The values have one of these switched on, or have something in it.
fn asks(values: &Value, pointers: &[&str]) -> bool {
    pointers.iter().any(|pointer| match values.pointer(pointer) {
        Some(Value::Bool(is_on)) => *is_on,
        Some(Value::Object(entries)) => !entries.is_empty(),
        _ => false,
    })
}
