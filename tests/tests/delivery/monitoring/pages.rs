//! The checks of alerts, runbook, dashboard and pages, over files, so that a changed copy can be checked
//! too. Each says everything that is wrong, a line for each fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tests::exposition::Metrics;
use tests::prometheus::expression::Uses;
use tests::prometheus::promtool;
use tests::tools::Folder;

/// The labels of each metric of a gateway or a parse role.
pub type Exposed = BTreeMap<String, BTreeSet<String>>;

/// What Prometheus puts on a series by its target; the rest is Landfall's own.
const TARGET_LABELS: [&str; 4] = ["namespace", "pod", "instance", "job"];
/// What Prometheus records of every target.
const TARGET_METRIC: &str = "up";
/// Quoted in the runbook, and no panel.
const QUOTED: [&str; 4] = ["Landfall", "Landfall parse role", "server busy", "in flight"];

#[derive(Deserialize, Serialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize, Serialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Rule {
    pub alert: String,
    pub expr: String,
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A file of promtool's unit tests.
#[derive(Deserialize, Serialize)]
struct TestFile {
    rule_files: Vec<String>,
    evaluation_interval: String,
    tests: Vec<Test>,
}

#[derive(Deserialize, Serialize)]
struct Test {
    name: String,
    interval: String,
    input_series: Vec<BTreeMap<String, String>>,
    alert_rule_test: Vec<Expectation>,
}

#[derive(Deserialize, Serialize)]
struct Expectation {
    eval_time: String,
    alertname: String,
    exp_alerts: Value,
}

/// A query of a dashboard.
pub struct Query {
    pub panel: String,
    /// With its variables, such as `$pod`.
    pub expression: String,
}

/// promtool accepts the rules, and their tests pass.
pub fn rules_pass(alerts: &Path, tests: &Path) -> Result<(), String> {
    promtool(&["check", "rules", &alerts.to_string_lossy()])?;
    promtool(&["test", "rules", &tests.to_string_lossy()])
}

/// The same for one rule, which may be a changed one, with the tests of its alert alone.
pub fn rule_passes(rule: &Rule, tests: &Path) -> Result<(), String> {
    let file: TestFile = serde_saphyr::from_str(&read(tests)?)
        .map_err(|error| format!("{}: {error}", tests.display()))?;
    let own = file.tests.into_iter().filter_map(|mut test| {
        test.alert_rule_test.retain(|expectation| expectation.alertname == rule.alert);
        (!test.alert_rule_test.is_empty()).then_some(test)
    });
    let tests =
        TestFile { rule_files: vec!["rules.yaml".to_owned()], tests: own.collect(), ..file };
    if tests.tests.is_empty() {
        return Err(format!("{} has no test", rule.alert));
    }
    let group = Group { name: "one".to_owned(), rules: vec![rule.clone()] };
    let folder = Folder::new("rule");
    let (rules, unit_tests) = (folder.join("rules.yaml"), folder.join("tests.yaml"));
    write(&rules, &RuleFile { groups: vec![group] })?;
    write(&unit_tests, &tests)?;
    rules_pass(&rules, &unit_tests)
}

/// Each alert says what the chart and the people behind it need.
pub fn alerts_are_complete(alerts: &Path) -> Result<(), String> {
    let mut faults = Vec::new();
    for rule in rules(alerts)? {
        let alert = &rule.alert;
        if !alert.starts_with("Landfall") {
            faults.push(format!("{alert}: its name does not start with Landfall"));
        }
        match rule.labels.get("severity").map(String::as_str) {
            Some("critical" | "warning") => {}
            other => faults.push(format!("{alert}: severity is {other:?}")),
        }
        for annotation in ["summary", "description"] {
            if rule.annotations.get(annotation).is_none_or(String::is_empty) {
                faults.push(format!("{alert}: there is no {annotation}"));
            }
        }
        let link = format!("RUNBOOK.md#{}", alert.to_ascii_lowercase());
        if rule.annotations.get("runbook_url") != Some(&link) {
            faults.push(format!("{alert}: runbook_url is not {link}"));
        }
    }
    verdict(faults)
}

/// The runbook has a section for each alert, and for nothing else.
pub fn runbook_has_each(alerts: &Path, runbook: &Path) -> Result<(), String> {
    let text = read(runbook)?;
    let alerts: Vec<String> = rules(alerts)?.into_iter().map(|rule| rule.alert).collect();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let missing = alerts.iter().filter(|alert| !headings.contains(&alert.as_str()));
    let other = headings.iter().filter(|heading| !alerts.iter().any(|alert| alert == *heading));
    verdict(
        missing
            .map(|alert| format!("the runbook has no section {alert}"))
            .chain(other.map(|heading| format!("there is no alert for the section {heading}")))
            .collect(),
    )
}

/// What the runbook quotes is a panel or a row of a dashboard.
pub fn runbook_names_panels<P: AsRef<Path>>(
    runbook: &Path,
    dashboards: &[P],
) -> Result<(), String> {
    let text = read(runbook)?;
    let panels = dashboards.iter().map(|path| panels(path.as_ref()));
    let panels = panels.collect::<Result<Vec<_>, _>>()?.concat();
    let titles: BTreeSet<&str> =
        panels.iter().filter_map(|panel| panel["title"].as_str()).collect();
    let quoted = text.split('"').skip(1).step_by(2);
    let unknown = quoted.filter(|quoted| !titles.contains(quoted) && !QUOTED.contains(quoted));
    verdict(unknown.map(|quoted| format!("there is no panel {quoted:?}")).collect())
}

/// Every metric and label in the alerts exists.
pub fn alerts_use_what_exists(alerts: &Path, exposed: &Exposed) -> Result<(), String> {
    let mut faults = Vec::new();
    for rule in rules(alerts)? {
        faults.extend(expression_faults(&rule.alert, &rule.expr, exposed));
    }
    verdict(faults)
}

/// Every panel has what a person needs, and its expressions are ones; the last variable has this name.
pub fn dashboard_is_complete(dashboard: &Path, variable: &str) -> Result<(), String> {
    let board = json(dashboard)?;
    let mut faults = Vec::new();
    if board["uid"].as_str().is_none_or(str::is_empty) || !board["schemaVersion"].is_u64() {
        faults.push("uid or schemaVersion is missing".to_owned());
    }
    let variables: Vec<&str> = board["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    if variables != ["datasource", "namespace", "pod", variable] {
        faults.push(format!("its variables are {variables:?}"));
    }
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(dashboard)? {
        let title = panel["title"].as_str().unwrap_or_default();
        if title.is_empty() || !titles.insert(title.to_owned()) {
            faults.push(format!("{title:?}: a panel has no title of its own"));
        }
        if !ids.insert(panel["id"].as_u64()) {
            faults.push(format!("{title}: its id is another panel's too"));
        }
        if panel["type"] == "row" {
            continue;
        }
        for (what, value) in [
            ("unit", &panel["fieldConfig"]["defaults"]["unit"]),
            ("description", &panel["description"]),
            ("query", &panel["targets"][0]["expr"]),
        ] {
            if value.as_str().is_none_or(str::is_empty) {
                faults.push(format!("{title}: there is no {what}"));
            }
        }
        if panel["datasource"]["uid"] != "${datasource}" {
            faults.push(format!("{title}: its data source is not the variable"));
        }
    }
    faults.extend(dashboard_parses(dashboard).err());
    verdict(faults)
}

/// promtool reads every expression: each is a rule, named by its place.
fn dashboard_parses(dashboard: &Path) -> Result<(), String> {
    let queries = queries(dashboard)?;
    let rules = queries.iter().enumerate().map(|(number, query)| {
        let expression = substituted(&query.expression, ".*", "1m");
        serde_json::json!({ "record": format!("query:{number}"), "expr": expression })
    });
    let rules: Vec<Value> = rules.collect();
    let file = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = Folder::new("dashboard");
    let path = folder.join("rules.yaml");
    write(&path, &file)?;
    promtool(&["check", "rules", &path.to_string_lossy()])
}

/// Every metric and label in the dashboard exists, in its variables too.
pub fn dashboard_uses_what_exists(dashboard: &Path, exposed: &Exposed) -> Result<(), String> {
    let mut faults = Vec::new();
    for query in queries(dashboard)? {
        let expression = substituted(&query.expression, ".*", "1m");
        faults.extend(expression_faults(&query.panel, &expression, exposed));
    }
    let board = json(dashboard)?;
    for variable in board["templating"]["list"].as_array().into_iter().flatten() {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let Some(inside) =
            query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'))
        else {
            continue;
        };
        let place = format!("variable {}", variable["name"]);
        match inside.rsplit_once(", ") {
            // As a grouping, so that the label is asked for as well.
            Some((series, label)) => {
                let expression = format!("sum by ({label}) ({series})");
                faults.extend(expression_faults(&place, &expression, exposed));
            }
            None => faults.push(format!("{place}: {query}")),
        }
    }
    verdict(faults)
}

/// Every metric that a page of text names exists. A name with `…` behind it stands for all that begin so.
pub fn page_names_what_exists(page: &Path, exposed: &Exposed) -> Result<(), String> {
    let text = read(page)?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let start = "landfall_";
    let mut faults = Vec::new();
    for (at, _) in text.match_indices(start) {
        let own = &text[at..];
        let end = own.find(|c| !is_name(c)).unwrap_or(own.len());
        let (name, behind) = own.split_at(end);
        let known = match behind.starts_with('…') {
            true => exposed.keys().any(|known| known.starts_with(name)),
            // Such as a part of a pattern.
            false => name == start || labels(name, exposed).is_some(),
        };
        if !known {
            faults.push(format!("there is no metric {name}"));
        }
    }
    verdict(faults)
}

/// A page's tables of metrics have every metric, each with its labels: names in the first cell, and in the
/// second what is counted `by` which labels.
pub fn page_documents_each(page: &Path, exposed: &Exposed) -> Result<(), String> {
    let text = read(page)?;
    let mut documented = BTreeSet::new();
    let mut faults = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [names, counted, ..] = cells[..] else { continue };
        // What stands in brackets are values of a label.
        let by = counted.split_once(" by ").or_else(|| counted.split_once("by "));
        let by = by.map_or("", |(_, by)| by.split('(').next().unwrap_or_default());
        let said: BTreeSet<&str> = by.split('`').skip(1).step_by(2).collect();
        for name in names.split('`').skip(1).step_by(2) {
            let Some(labels) = labels(name, exposed) else { continue };
            let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
            let labels: BTreeSet<&str> =
                labels.into_iter().filter(|label| *label != "le").collect();
            if labels != said {
                faults.push(format!("{name} has the labels {labels:?}, not {said:?}"));
            }
            documented.insert(name);
        }
    }
    for name in exposed.keys() {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|family| exposed.contains_key(&format!("{family}_bucket")));
        if !documented.contains(family.unwrap_or(name)) {
            faults.push(format!("{name} stands in no table"));
        }
    }
    verdict(faults)
}

/// The labels of a metric, which may be a histogram.
fn labels<'a>(name: &str, exposed: &'a Exposed) -> Option<&'a BTreeSet<String>> {
    exposed.get(name).or_else(|| exposed.get(&format!("{name}_bucket")))
}

/// The queries of all panels.
pub fn queries(dashboard: &Path) -> Result<Vec<Query>, String> {
    let mut queries = Vec::new();
    for panel in panels(dashboard)? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(Query {
                panel: panel["title"].as_str().unwrap_or_default().to_owned(),
                expression: target["expr"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(queries)
}

/// An expression as Grafana would send it.
pub fn substituted(expression: &str, pod: &str, interval: &str) -> String {
    expression
        .replace("$__rate_interval", interval)
        .replace("$pod", pod)
        .replace("$namespace", ".*")
        .replace("$lane", ".*")
        .replace("$pool", ".*")
}

/// The metrics of a scrape of each process, with their labels.
pub fn exposed(processes: &[&Metrics]) -> Exposed {
    let mut exposed = Exposed::new();
    for series in processes.iter().flat_map(|metrics| metrics.series()) {
        exposed.entry(series.name.clone()).or_default().extend(series.labels.keys().cloned());
    }
    exposed
}

fn expression_faults(place: &str, expression: &str, exposed: &Exposed) -> Vec<String> {
    let mut known = exposed.clone();
    known.insert(TARGET_METRIC.to_owned(), BTreeSet::new());
    let faults = match Uses::of(expression) {
        Ok(uses) => uses.faults(&known, &TARGET_LABELS),
        Err(error) => vec![error],
    };
    faults.into_iter().map(|fault| format!("{place}: {fault}")).collect()
}

/// The rules of a file.
pub fn rules(alerts: &Path) -> Result<Vec<Rule>, String> {
    let file: RuleFile = serde_saphyr::from_str(&read(alerts)?)
        .map_err(|error| format!("{}: {error}", alerts.display()))?;
    Ok(file.groups.into_iter().flat_map(|group| group.rules).collect())
}

fn panels(dashboard: &Path) -> Result<Vec<Value>, String> {
    let board = json(dashboard)?;
    Ok(board["panels"].as_array().ok_or("the dashboard has no panels")?.clone())
}

fn json(path: &Path) -> Result<Value, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a value as JSON, which is YAML.
fn write(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn verdict(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
