//! What an upgrade must leave as it is: Kubernetes refuses to change it, or data, devices and clouds
//! know it by name. Records of released versions are in `tests/data/chart`, each with the values that it
//! was rendered with, since that is what a user upgrades with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Chart, Render, at, text};
use crate::tools::{Folder, repository};

/// The fields of each kind; objects of other kinds can be replaced at will.
const FIELDS: [(&str, &[&str]); 6] = [
    (
        "StatefulSet",
        &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/podManagementPolicy",
            "/spec/volumeClaimTemplates",
        ],
    ),
    ("Deployment", &["/spec/selector"]),
    ("Service", &["/spec/selector"]),
    ("PodDisruptionBudget", &["/spec/selector"]),
    // A cloud's workload identity is bound to its name.
    ("ServiceAccount", &[]),
    ("NetworkPolicy", &["/spec/podSelector"]),
];

/// What users of a version have to write before they upgrade, unless they had it already: the chart says so.
const TO_WRITE: [(&str, &str); 1] = [
    // A release without a word of its own had an anonymous listener, and Prometheus was let to the admin port.
    (
        "0.1.0",
        "{ config: { listeners: [{ name: mqtt, bind: '0.0.0.0:1883', anonymous: true }] }, networkPolicy: { metricsFrom: [{ podSelector: {} }] } }",
    ),
];

/// A released version: by the name of the values, the values and what came out.
type Record = BTreeMap<String, Recorded>;

#[derive(serde::Serialize, serde::Deserialize)]
struct Recorded {
    values: String,
    fields: Value,
}

/// What came out that must not change.
pub fn fields(render: &Render) -> Value {
    let mut all = Map::new();
    for object in &render.objects {
        let kind = text(object, "/kind");
        let Some((_, pointers)) = FIELDS.iter().find(|(known, _)| *known == kind) else { continue };
        let mut kept: Map<String, Value> = pointers
            .iter()
            .map(|pointer| ((*pointer).to_owned(), at(object, pointer).clone()))
            .collect();
        if kind == "Service" {
            let headless = text(object, "/spec/clusterIP") == "None";
            kept.insert("headless".to_owned(), headless.into());
        }
        let name = text(object, "/metadata/name");
        all.insert(format!("{kind} {name}"), Value::Object(kept));
    }
    Value::Object(all)
}

/// What differs, field by field, of the objects that were there before.
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for (object, fields) in before.as_object().into_iter().flatten() {
        let Some(now) = after.get(object) else {
            differences.push(format!("{object} is gone"));
            continue;
        };
        for (field, value) in fields.as_object().into_iter().flatten() {
            if now.get(field) != Some(value) {
                let now = now.get(field).unwrap_or(&Value::Null);
                differences.push(format!("{object}: {field} was {value}, is {now}"));
            }
        }
    }
    differences
}

/// An upgrade from every released version, with the values that it was installed with and what the chart
/// wants besides, leaves these fields alone.
pub fn check(chart: &Chart) -> Result<(), String> {
    let mut faults = Vec::new();
    for (version, record) in records()? {
        let to_write = TO_WRITE.iter().find(|(from, _)| *from == version);
        for (name, recorded) in record {
            let folder = Folder::new("record");
            let [wanted, own] = [
                ("wanted.yaml", to_write.map_or("{}", |(_, values)| values)),
                ("own.yaml", recorded.values.as_str()),
            ]
            .map(|(file, values)| {
                let file = folder.join(file);
                std::fs::write(&file, values).expect("the test's folder can be written");
                file.to_string_lossy().into_owned()
            });
            let render = Render::of(chart, &name, &["--values", &wanted, "--values", &own])?;
            let differences = differences(&recorded.fields, &fields(&render));
            faults
                .extend(differences.into_iter().map(|it| format!("{name}, from {version}: {it}")));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n")),
    }
}

/// Writes the record of this version; for a release, see CONTRIBUTING.md.
pub fn record(chart: &Chart) -> Result<PathBuf, String> {
    let mut record = Record::new();
    for render in chart.renders()? {
        let values = std::fs::read_to_string(render.values_file(chart));
        let values = values.map_err(|error| format!("{}: {error}", render.name))?;
        record.insert(render.name.clone(), Recorded { values, fields: fields(render) });
    }
    let file = folder().join(format!("immutable-{}.json", version(chart)?));
    if file.exists() {
        return Err(format!("{} is there: a release does not change", file.display()));
    }
    let text = serde_json::to_string_pretty(&json!(record)).expect("texts can be written") + "\n";
    std::fs::create_dir_all(folder()).map_err(|error| error.to_string())?;
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn version(chart: &Chart) -> Result<String, String> {
    let text = std::fs::read_to_string(chart.folder().join("Chart.yaml"));
    let text = text.map_err(|error| format!("Chart.yaml: {error}"))?;
    let chart: Value = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    Ok(chart["version"].as_str().unwrap_or_default().to_owned())
}

fn folder() -> PathBuf {
    repository().join("tests/data/chart")
}

/// By version.
fn records() -> Result<BTreeMap<String, Record>, String> {
    let entries =
        std::fs::read_dir(folder()).map_err(|error| format!("tests/data/chart: {error}"))?;
    let mut records = BTreeMap::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some(version) = stem.strip_prefix("immutable-") else { continue };
        let text = std::fs::read_to_string(&path).expect("a record can be read");
        let record = serde_json::from_str(&text).map_err(|error| format!("{stem}: {error}"))?;
        records.insert(version.to_owned(), record);
    }
    match records.is_empty() {
        true => Err("there is no record of a release in tests/data/chart".to_owned()),
        false => Ok(records),
    }
}
