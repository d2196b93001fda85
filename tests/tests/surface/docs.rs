//! What the pages show works, what they link to and name is there, and what is generated of them is what would
//! be generated now. Each check is in `tests::docs`; that each can fail is shown on broken copies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tests::docs::page::Page;
use tests::docs::{self, links, names, show};
use tests::tools::{Folder, program, repository};

/// Every page of the repository.
fn pages() -> &'static [Page] {
    static PAGES: OnceLock<Vec<Page>> = OnceLock::new();
    PAGES.get_or_init(|| docs::pages(repository()))
}

/// A page, by its path.
fn page(path: &str) -> &'static Page {
    let found = pages().iter().find(|page| page.path == Path::new(path));
    found.unwrap_or_else(|| panic!("there is no {path}"))
}

/// All pages, with a text in one of them that stands for another.
fn pages_with(path: &str, from: &str, to: &str) -> Vec<Page> {
    let changed = |page: &Page| {
        let is_it = page.path == Path::new(path);
        assert!(!is_it || page.text.contains(from), "{path} has no {from:?}");
        let text = if is_it { page.text.replacen(from, to, 1) } else { page.text.clone() };
        Page::of(page.path.clone(), text)
    };
    pages().iter().map(changed).collect()
}

/// One page with such a change.
fn page_with(path: &str, from: &str, to: &str) -> Page {
    let mut pages = pages_with(path, from, to);
    pages.retain(|page| page.path == Path::new(path));
    pages.pop().unwrap_or_else(|| panic!("there is no {path}"))
}

#[track_caller]
fn holds(check: Result<(), String>) {
    check.unwrap_or_else(|faults| panic!("\n{faults}"));
}

#[track_caller]
fn says<T>(check: Result<T, String>, fault: &str) {
    let Err(faults) = check else { panic!("nothing is said of {fault:?}") };
    assert!(faults.contains(fault), "{fault:?} is not in:\n{faults}");
}

/// What `landfall schema` prints.
fn configuration() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let printed = Command::new(program("landfall")).arg("schema").output();
        let printed = printed.expect("landfall can be started").stdout;
        serde_json::from_slice(&printed).expect("it prints JSON")
    })
}

fn chart() -> Value {
    let schema = std::fs::read(repository().join("charts/landfall/values.schema.json"));
    serde_json::from_slice(&schema.expect("it is there")).expect("it is JSON")
}

#[test]
fn what_the_pages_show_works() {
    let (mut faults, mut tried) = (Vec::new(), 0);
    for page in pages() {
        match show::works(page) {
            Ok(blocks) => tried += blocks,
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(tried >= 16, "only {tried} blocks of all pages were tried");
}

#[test]
fn links_lead_somewhere_and_the_index_names_every_page() {
    holds(links::lead_somewhere(repository(), pages()));
    holds(links::index_names_each(pages()));
}

#[test]
fn keys_that_are_named_exist() {
    holds(names::keys_exist(pages(), configuration(), &chart()));
}

/// Each with a value that no key takes, so that a fault says who wrote it.
#[test]
fn every_variable_that_the_reference_names_overrides_its_key() {
    let folder = Folder::new("variables");
    let file = folder.join("landfall.yaml");
    // Elements that can be overridden have to be there.
    let text = "listeners: [{ name: a, bind: '127.0.0.1:1' }]\nroutes: [{ filter: 'a/{device_id}' }]\nrules: [{ when: {}, lane: fast }]\n";
    std::fs::write(&file, text).expect("the test's folder can be written");
    let variables = names::variables(page("docs/configuration.md"));
    assert!(variables.len() > 50, "{variables:?}");
    for variable in variables.iter().filter(|variable| !variable.contains('=')) {
        let variable = variable.replace("__N__", "__0__");
        let mut check = Command::new(program("landfall"));
        check.args(["check", "--config"]).arg(&file);
        let output = check.env_clear().env(&variable, "[[1]]").output();
        let output = output.expect("landfall can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{variable}: {said}");
        assert!(said.contains(&format!("(from the environment: {variable}")), "{variable}: {said}");
    }
}

#[test]
fn what_is_generated_is_what_would_be_generated() {
    let output = Command::new(program("generate")).arg("check").output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn readme_stays_short() {
    let bytes = page("README.md").text.len();
    assert!(bytes <= 12_000, "README.md has {bytes} bytes: its readers look for their page");
}

#[test]
fn each_check_notices_what_is_wrong() {
    let links = |path, from, to| links::lead_somewhere(repository(), &pages_with(path, from, to));
    let readme = "README.md";
    says(links(readme, "(docs/devices.md)", "(docs/device.md)"), "there is no docs/device.md");
    let fault = "docs/consumers.md has no heading #doubles";
    says(links(readme, "consumers.md#repeats", "consumers.md#doubles"), fault);
    let pages = pages_with("docs/README.md", "[Capacity](capacity.md)", "Capacity");
    says(links::index_names_each(&pages), "docs/README.md has no link to docs/capacity.md");

    let keys =
        |path, from, to| names::keys_exist(&pages_with(path, from, to), configuration(), &chart());
    let fault = "there is no key parse.parsers.NAME.colour";
    says(keys("docs/formats.md", "`parse.parsers.NAME`", "`parse.parsers.NAME.colour`"), fault);
    let devices = "docs/devices.md";
    says(keys(devices, "`limits.window_messages`", "`limits.window`"), "no key limits.window");
    says(keys(devices, "`lanes.NAME.inline_size`", "`lanes.NAME.inline`"), "lanes.NAME.inline");
    let runbook = "charts/landfall/RUNBOOK.md";
    says(
        keys(runbook, "`config.limits.connections`", "`config.limits.sockets`"),
        "config.limits.sockets",
    );
    says(
        keys(runbook, "`resources.limits.cpu`", "`resource.cpu`\n`resources.cpu`"),
        "no key resources.cpu",
    );
    let reference = "docs/configuration.md";
    says(
        keys(reference, "`LANDFALL__DRAIN__PAUSE`", "`LANDFALL__DRAIN__REST`"),
        "no key LANDFALL__DRAIN__REST",
    );

    let shows = |path, from, to| show::works(&page_with(path, from, to));
    let routing = "docs/routing.md";
    says(shows(routing, "key       m-1\n", "key       m-2\n"), "prints\nlane      priority");
    says(shows(routing, "    bucket: 1h\n", "    buckets: 1h\n"), "buckets");
    let consumers = "docs/consumers.md";
    says(shows(consumers, "\"source_topic\"", "\"topic\""), "no field named \"topic\"");
    let not_run = "<!-- block: not run, it installs packages from PyPI; the tests run the same script with the same arguments against Kafka and S3 -->\n";
    says(shows(consumers, not_run, ""), "a block of \"sh\" that nobody runs");
    says(shows(consumers, not_run, "<!-- block: not run, sorry -->\n"), "\"sorry\" is no reason");
    says(shows(consumers, not_run, "<!-- block: later -->\n"), "\"later\" is not known");
    let events = "docs/events.md";
    let fault = "examples/consume/go/events/event.go does not have these lines";
    says(shows(events, "decoder.UseNumber()\n", "decoder.Token()\n"), fault);
    says(shows(events, "\"took_us\":12", "\"took_ms\":12"), "and a record has {");
    let operating = "docs/operating.md";
    says(shows(operating, "\"uptime_seconds\"", "\"uptime\""), "shows {");
    let chart = "charts/landfall/README.md";
    says(shows(chart, "secrets:                            #", "secret:    #"), "secret");
}

/// Changed on purpose: a word of the reference, of the code map, and of the files that both are made of.
#[test]
fn what_is_generated_goes_stale_by_no_change() {
    for (file, from, to) in [
        ("docs/configuration.md", "| `4MiB` |", "| `8MiB` |"),
        ("docs/devices.md", "| `retain` |", "| `retained` |"),
        ("docs/formats.md", "| `jq_limit` |", "| `jq_limits` |"),
        (
            "ARCHITECTURE.md",
            "<!-- generated: code map -->\n",
            "<!-- generated: code map -->\n\nMore.\n",
        ),
        ("gateway/src/main.rs", "//! ", "//! Another. "),
        ("charts/landfall/values.yaml", "# In place of the chart's name.", "# Another name."),
    ] {
        let folder = Folder::new("generated");
        copy(repository(), &folder);
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).expect("it was copied");
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(&path, text.replacen(from, to, 1))
            .expect("the test's folder can be written");
        let mut check = Command::new(program("generate"));
        let output = check.args(["check", "--root"]).arg(&*folder).output();
        let output = output.expect("it can be started");
        assert!(!output.status.success(), "{file}: nobody notices {to:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("run `make generate`"), "{file}: {said}");
    }
}

/// What generated files are made of.
fn copy(from: &Path, to: &Path) {
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(from).output();
    let files = files.expect("git is there, as this is a checkout").stdout;
    for file in files.split(|byte| *byte == 0).filter(|file| !file.is_empty()) {
        let file = PathBuf::from(String::from_utf8_lossy(file).into_owned());
        let wanted = file
            .extension()
            .is_some_and(|end| ["md", "rs", "yaml", "json"].iter().any(|known| end == *known));
        let source = from.join(&file);
        // One that was just deleted is listed until that is committed.
        if wanted && source.exists() {
            let copy = to.join(&file);
            std::fs::create_dir_all(copy.parent().expect("it lies in the folder"))
                .and_then(|()| std::fs::copy(source, copy))
                .expect("the test's folder can be written");
        }
    }
}
