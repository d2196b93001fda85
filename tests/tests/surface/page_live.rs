//! The page for people of a gateway at work, in a real browser: while a fleet talks, while Kafka and the store are
//! away and back, through a drain and a new start; to who shows a token, and not to too many.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::browser::{Browser, Look, Page};
use tests::events::Stream;
use tests::gateway::{Gateway, GatewayConfig};
use tests::kafka::{Kafka, unique};
use tests::mqtt::{Client, Version};
use tests::ports;
use tests::process::{Process, Signal};
use tests::s3::S3;
use tests::tools::{Folder, program, repository};
use tests::wait::{SOON, until_true};

const TOKEN: &str = "operator-0123456789abcdef";
/// As many pages look at a time.
const PAGES: usize = 32;
/// A lane's name has at most so many characters.
const NAME_MAX: usize = 64;
/// Names a folder for pictures of the page, which are taken when the fleet has talked long enough to see something.
const PICTURES: &str = "LANDFALL_PICTURES";
const PICTURES_WAIT: Duration = Duration::from_secs(40);
/// A picture in the documentation is no larger, in bytes.
const PICTURE_MAX: usize = 150_000;
/// Beside the pictures: what the page was made of when they were taken.
const PICTURED: &str = "docs/images/page.sha256";
/// What the pages of the documentation show.
const PICTURE: Look = Look { width: 1200, height: 780, dark: false };

fn url(gateway: &Gateway) -> String {
    format!("http://{}/", gateway.admin())
}

/// A number as the page writes it, with a blank between groups of digits.
fn digits(value: f64) -> String {
    let digits = format!("{value}");
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(" ")
}

fn fleet(gateway: &Gateway, folder: &Path, seed: u32) -> Process {
    let mut command = Command::new(program("device-sim"));
    let ledger = folder.join(format!("ledger-{seed}"));
    command.args([
        "run",
        "--devices",
        "20",
        "--rate",
        "200",
        "--duration",
        "0",
        "--large-size",
        "900000",
    ]);
    command.args(["--gateway", &gateway.mqtt().to_string(), "--seed", &seed.to_string()]);
    command.arg("--client-prefix").arg(format!("<b>{seed}-")).arg("--ledger").arg(ledger);
    Process::start("device-sim", command, folder)
}

/// Takes a picture for the documentation, where one is wanted.
fn take(page: &mut Page, name: &str, look: Look) {
    page.look(look);
    let picture = page.picture();
    if let Some(folder) = std::env::var_os(PICTURES) {
        assert!(picture.len() <= PICTURE_MAX, "{name}: {} bytes", picture.len());
        let written = std::fs::write(PathBuf::from(folder).join(name), picture);
        written.expect("the folder for pictures can be written");
    }
    page.look(Look::WIDE);
}

fn wait_for_pictures() {
    if std::env::var_os(PICTURES).is_some() {
        std::thread::sleep(PICTURES_WAIT);
    }
}

#[test]
fn a_fleet_an_outage_and_the_end_are_seen_as_they_are() {
    let Some(browser) = Browser::shared() else { return };
    let (kafka, s3, bucket) = (Kafka::start(), S3::start(), unique("bucket"));
    s3.create_bucket(&bucket);
    let mut gateway = GatewayConfig::new(&kafka)
        .set("object_store", S3::section(&bucket, s3.address()))
        .set("drain.pause", "4s")
        .start_ready();
    let folder = Folder::new("fleet");
    let mut first = fleet(&gateway, &folder, 1);
    let mut page = browser.open(Look::WIDE);
    page.go(&url(&gateway));
    page.until_it_says("Well");
    page.until(
        "messages come and land",
        "page.now?.lanes.find(({ lane }) => lane === 'fast').landed > 500",
    );
    page.until("large ones too", "page.now.large.requests_ok > 0");
    let vital = |name: &str| {
        format!(
            "[...document.querySelectorAll('.vitals div')].find((one) => one.firstChild.textContent === '{name}').lastChild.textContent"
        )
    };
    for (what, name) in [("some come a second", "received"), ("some land", "landed")] {
        page.until(what, &format!("parseFloat({}) > 0", vital(name)));
    }
    let latency = page.ask(&vital("PUBACK p99"));
    assert!(latency.as_str().is_some_and(|text| text.ends_with("s")), "{latency}");
    // It adds up while messages come.
    assert_eq!(page.ask("document.querySelector('.difference dd').textContent"), "0");
    // Twenty devices of the older and the newer versions.
    page.until("all are there", "page.now.connections.open === 20 && !page.waits");
    let versions = page.table("By listener").remove(0).split_off(3);
    let connected: u32 = versions.iter().map(|count| count.parse::<u32>().expect("a number")).sum();
    assert_eq!(connected, 20, "{versions:?}");
    wait_for_pictures();
    take(&mut page, "page-well.png", PICTURE);
    assert_eq!(page.barriers(), [""; 0]);

    first.terminate(SOON);
    at_rest(&gateway, &kafka, &mut page);

    let mut second = fleet(&gateway, &folder, 2);
    page.until("it goes on", &format!("parseFloat({}) > 0", vital("landed")));
    // First the store: behind Kafka nobody would ask it.
    s3.kill();
    page.until_it_says("The store is not well");
    page.until_it_says("Ready, but");
    kafka.kill();
    page.until("nothing lands", &format!("parseFloat({}) === 0", vital("landed")));
    page.until_it_says("lane fast: nothing landed for");
    page.until_it_says("what waits lands by itself afterwards");
    let away = "document.querySelectorAll('.partitions [data-state=away]').length > 0";
    page.until("partitions are away", away);
    page.until(
        "what waits grows old",
        &format!("/^[1-9][0-9.]*\\ss$|min/.test({})", vital("oldest not landed")),
    );
    let section = page.ask(
        "(async () => {
            const { href, hash } = document.querySelector('.problem a');
            return (await (await fetch(href)).text()).includes(`id=\"${hash.slice(1)}\"`);
        })()",
    );
    assert_eq!(section, true, "the runbook has the section that a problem leads to");
    assert!(
        page.table("The sum by lane").iter().all(|row| row.last().is_some_and(|cell| cell == "0"))
    );
    page.look(Look::NARROW.dark());
    assert_eq!(page.barriers(), [""; 0]);
    page.look(Look::WIDE);
    wait_for_pictures();
    take(&mut page, "page-unwell.png", PICTURE.dark());

    kafka.start_again();
    s3.start_again();
    page.until("all is well again", "page.now.problems.length === 0");
    page.until("they land again", &format!("parseFloat({}) > 0", vital("landed")));
    page.reload();
    page.until_it_says("Well");
    // Before the reload something was wrong, and in the table behind the plot it still is.
    page.until("what was is there", "page.history.values(PROBLEMS).some((value) => value > 0)");
    page.ask("document.querySelector('.beside details').open = true");
    page.until(
        "its table says so",
        "[...document.querySelectorAll('.beside td')].some((cell) => Number(cell.textContent) > 0)",
    );
    let text = page.text();
    assert!(!text.contains("<b>") && !text.contains("devices/"), "no device is named: {text}");
    assert_eq!(page.errors(), [""; 0]);

    gateway.signal(Signal::TERM);
    page.until_it_says("It drains");
    second.terminate(Duration::from_secs(60));
    assert_eq!(gateway.wait(Duration::from_secs(60)), Some(0));
    page.until_it_says("the gateway is lost since");
    assert!(page.ask("document.title").as_str().is_some_and(|title| title.contains("Lost")));
    let before = page.ask("page.history.process");
    gateway.start_again();
    page.until_it_says("the gateway was started anew, it was away for");
    assert_ne!(page.ask("page.history.process"), before);
    page.until("nothing is left of what was", "page.history.values(PROBLEMS).length <= 3");
}

/// Nothing moves: each figure of the page is what the metrics say, and what is in Kafka.
fn at_rest(gateway: &Gateway, kafka: &Kafka, page: &mut Page) {
    page.until("nothing moves", "page.now.sum.in_flight === 0 && page.now.connections.open === 0");
    // What closed last is counted, and drawn.
    page.until("it is drawn", "document.querySelectorAll('.lane').length === 4 && !page.waits");
    let metrics = gateway.metrics();
    let sums = page.table("The sum by lane");
    assert_eq!(sums.len(), 5, "four lanes, and what had none: {sums:?}");
    for row in &sums {
        let lane = if row[0].starts_with("none") { "none" } else { &row[0] };
        let of = |name: &str| digits(metrics.sum(name, &[("lane", lane)]));
        let expected = [
            of("landfall_messages_received_total"),
            of("landfall_messages_landed_total"),
            of("landfall_messages_dead_lettered_total"),
            of("landfall_messages_refused_total"),
            of("landfall_messages_failed_total"),
            of("landfall_messages_in_flight"),
            "0".to_owned(),
        ];
        assert_eq!(row[1..], expected, "{lane}");
        if lane != "none" {
            let landed: usize = row[2].replace(' ', "").parse().expect("a number");
            let records = kafka.wait_for(&gateway.topic(lane), landed, SOON);
            assert_eq!(records.len(), landed, "{lane}");
        }
    }
    let total: f64 = metrics.sum("landfall_messages_received_total", &[]);
    assert!(page.text().contains(&digits(total).replace(' ', "\u{202f}")), "{total}");
    for row in page.table("Why they ended") {
        let counted = metrics.sum("landfall_connections_closed_total", &[("reason", &row[0])]);
        assert_eq!(row[1], digits(counted), "{row:?}");
    }
    for row in page.table("By listener") {
        let listener = [("listener", row[0].as_str())];
        let limit = metrics.sum("landfall_listener_connections_limit", &listener);
        assert_eq!(row[1..3], ["0".to_owned(), digits(limit)], "{row:?}");
    }
    let large = |name: &str| {
        format!(
            "[...document.querySelectorAll('#large-messages dl div')].find((one) => one.firstChild.textContent === '{name}').lastChild.textContent.replace(/\\s/g, ' ')"
        )
    };
    for (name, result) in [("requests done", "ok"), ("requests failed", "failed")] {
        let counted = metrics.sum("landfall_object_store_requests_total", &[("result", result)]);
        assert_eq!(page.ask(&large(name)), digits(counted), "{name}");
    }
    let held = metrics.sum("landfall_lane_memory_used_bytes", &[]);
    assert_eq!(
        (held, page.ask("page.now.lanes.every((lane) => lane.held_bytes === 0)")),
        (0.0, json!(true))
    );
    for row in page.table("What was refused") {
        let lane = [("lane", row[1].as_str()), ("reason", row[2].as_str())];
        assert_eq!(row[0], "message", "this fleet is let in: {row:?}");
        assert_eq!(row[3], digits(metrics.sum("landfall_messages_refused_total", &lane)));
    }
}

#[test]
fn a_token_is_asked_for_and_stays_in_the_tab() {
    let Some(browser) = Browser::shared() else { return };
    let folder = Folder::new("tokens");
    std::fs::write(folder.join("operator"), TOKEN).expect("the test's folder can be written");
    let tokens = json!({ "ops": { "from_file": folder.join("operator") } });
    let kafka = ports::local(ports::free()).to_string();
    let gateway =
        GatewayConfig::without_topics(&kafka).set("admin.authenticate.tokens", tokens).start();
    let mut page = browser.open(Look::NARROW);
    page.go(&url(&gateway));
    page.until_it_says("the gateway asks for a token");
    assert_eq!(page.barriers(), [""; 0]);
    // The field has the focus.
    page.write("stranger-0123456789abcdef");
    page.press("Enter");
    page.until_it_says("the gateway does not take this token");
    page.until_it_says("this is no token of admin.authenticate.tokens");
    page.ask("document.getElementById('token-text').focus()");
    page.write(TOKEN);
    page.press("Enter");
    page.until_it_says("Not ready");
    assert_eq!(page.ask("document.getElementById('token').checkVisibility()"), false);
    page.reload();
    page.until_it_says("Not ready");
    // In this tab, and nowhere else.
    assert_eq!(
        page.ask("[localStorage.length, document.cookie, location.search]"),
        json!([0, "", ""])
    );
    assert!(!gateway.log().contains(TOKEN));
    let mut other = browser.open(Look::NARROW);
    other.go(&url(&gateway));
    other.until_it_says("the gateway asks for a token");
    let refused = page.errors();
    assert!(refused.iter().all(|error| error.contains("401")), "{refused:?}");
}

#[test]
fn too_many_pages_are_told_so_and_a_gateway_that_hangs_is_lost_until_it_goes_on() {
    let Some(browser) = Browser::shared() else { return };
    let (kafka, name) = (ports::local(ports::free()).to_string(), "l".repeat(NAME_MAX));
    let config = GatewayConfig::without_topics(&kafka);
    let long = format!("lanes.{}.topic", "l".repeat(NAME_MAX + 1));
    let (code, said) = config.clone().set(&long, "t").start_and_end();
    assert_eq!(code, Some(64), "{said}");
    let gateway = config.set(&format!("lanes.{name}.topic"), "t".repeat(249)).start();
    let _device = Client::connect(gateway.mqtt(), Version::V311, "meter-7");
    let streams: Vec<Stream> = (0..PAGES)
        .map(|_| Stream::open(gateway.admin(), "/api/v1/live", &[]).expect("it answers"))
        .collect();
    let mut page = browser.open(Look::NARROW);
    page.go(&url(&gateway));
    page.until_it_says("too many pages are open");
    drop(streams);
    page.until("it comes back by itself", "document.getElementById('said').textContent === 'live'");
    page.until_it_says(&name);
    assert_eq!(page.ask("document.documentElement.scrollWidth"), Look::NARROW.width);
    assert!(!page.text().contains("meter-7"), "no device is named");
    assert!(page.errors().iter().all(|error| error.contains("503")));

    gateway.signal(Signal::STOP);
    page.until_it_says("the gateway is lost since");
    assert_eq!(page.ask("'stale' in document.body.dataset"), true);
    gateway.signal(Signal::CONT);
    page.until_it_says("the gateway is back, it was away for");
    assert_eq!(page.ask("'stale' in document.body.dataset"), false);
    until_true("the history goes on", SOON, || {
        page.ask("page.history.values(CONNECTIONS).at(-1)") == 1
    });
}

#[test]
fn the_pictures_of_the_documentation_are_of_this_page() {
    let now = pictured();
    if std::env::var_os(PICTURES).is_some() {
        return std::fs::write(repository().join(PICTURED), now).expect("it can be written");
    }
    let then = std::fs::read_to_string(repository().join(PICTURED)).unwrap_or_default();
    let changed: Vec<&str> = now.lines().filter(|line| !then.contains(line)).collect();
    assert!(
        now == then,
        "the page has changed since its pictures were taken, run `make screenshots`: {changed:#?}"
    );
    for name in ["page-well.png", "page-unwell.png"] {
        let picture = std::fs::read(repository().join("docs/images").join(name));
        let picture = picture.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(picture.starts_with(b"\x89PNG") && picture.len() <= PICTURE_MAX, "{name}");
    }
}

/// What the page is made of: a line for each of its files.
fn pictured() -> String {
    use sha2::{Digest as _, Sha256};
    let root = repository().join("gateway/src/admin/page");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [root.clone(), root.join("panels")] {
        let entries = std::fs::read_dir(folder).expect("the page is there").flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    files.sort();
    let lines = files.iter().map(|path| {
        let hash = Sha256::digest(std::fs::read(path).expect("it can be read"));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = path.strip_prefix(&root).expect("it lies there");
        format!("{hash}  {}\n", name.display())
    });
    lines.collect()
}
