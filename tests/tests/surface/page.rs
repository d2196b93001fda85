//! The page for people, in a real browser: what it says of invented figures, that no text becomes markup, that it
//! does not grow, that everybody can read it.

use serde_json::{Value, json};
use tests::browser::{Browser, Look, Page};
use tests::gateway::{Gateway, GatewayConfig};
use tests::ports;
use tests::stage::Stage;
use tests::wait::{SOON, until_true};

/// Longer than any lane's name may be.
const LONG_NAME: usize = 200;
/// What would be seen if it were taken for markup.
const MARKUP: &str = "<img src=x onerror=\"document.title='taken'\"><b>bold</b></script>&amp;";
/// Steps that the page keeps, of 5 s each.
const STEPS_MAX: usize = 360;

/// A gateway without a Kafka, for what needs no more than its pages.
fn gateway() -> Gateway {
    GatewayConfig::without_topics(&ports::local(ports::free()).to_string()).start()
}

/// A lane of which nothing is to be told.
fn lane(name: &str) -> Value {
    json!({
        "lane": name, "received": 1_234_567, "landed": 1_234_560, "dead_lettered": 2, "refused": 1, "failed": 0,
        "in_flight": 4, "difference": 0, "received_per_second": 1234.0, "landed_per_second": 1200.0,
        "shed_per_second": 0.0, "acknowledgement_p50_seconds": 0.004, "acknowledgement_p99_seconds": 0.02,
        "held_bytes": 1_048_576, "limit_bytes": 104_857_600, "waiting_connections": 0, "backlog_records": 0,
        "oldest_seconds": 0.25,
    })
}

/// A second of a gateway that is well, with something in each panel.
fn now(sequence: u64) -> Value {
    json!({
        "sequence": sequence, "step": sequence / 5, "process": "one", "time": "2026-11-27T18:20:51.123Z",
        "role": "gateway", "gateway_id": "gw-1", "version": "0.1.0", "uptime_seconds": 3725,
        "ready": true, "draining": false, "problems": [],
        "sum": {
            "received": 1_234_567, "landed": 1_234_560, "dead_lettered": 2, "refused": 1, "failed": 0, "in_flight": 4,
            "difference": 0,
        },
        "lanes": [lane("fast"), lane("none")],
        "connections": {
            "open": 3, "limit": 1000, "silent": 1,
            "listeners": [
                { "listener": "mqtt", "open": 3, "limit": 1000, "versions": { "3.1": 0, "3.1.1": 1, "5": 2 } },
            ],
            "ended": [{ "reason": "keep_alive", "count": 3, "per_second": 0.0 }],
        },
        "large": {
            "well": true, "open": 1, "oldest_seconds": 0.5, "requests_ok": 4, "requests_failed": 0,
            "attempts_failed": 0, "p50_seconds": 0.01, "p99_seconds": null, "problem": null,
        },
        "kafka": [{
            "lane": "fast", "producer_ready": true, "brokers_up": 1, "round_trip_p99_seconds": 0.004, "error": null,
            "partitions": [
                { "topic": "landfall.fast", "partition": 0, "state": "well", "leader": 1, "waiting_records": 0 },
                { "topic": "landfall.fast", "partition": 1, "state": "slow", "leader": 1, "waiting_records": 7 },
                { "topic": "landfall.fast", "partition": 2, "state": "away", "leader": null, "waiting_records": 9 },
            ],
        }],
        "refused": [
            { "what": "message", "lane": "fast", "reason": "shed", "count": 12, "per_second": 1.5 },
            { "what": "tls", "lane": null, "reason": "unknown_ca", "count": 0, "per_second": 0.0 },
        ],
        "pools": [{
            "pool": "orders", "freshness_target_seconds": 2.0, "lag": 1200, "lag_seconds": 61.0,
            "partitions": { "running": 3, "held": 0, "stopped": 1 },
            "events_per_second": 10.0, "failures_per_second": 0.0,
        }],
        "history": { "oldest_seconds": 1800, "memory_bytes": 300_000 },
    })
}

fn problem(text: &str) -> Value {
    json!({
        "kind": "kafka_producer", "text": text, "since_seconds": 62, "keeps_from_ready": false,
        "to_do": "Look at the brokers.", "runbook": "/runbook#landfalllandingstopped",
    })
}

/// Pages of the browser on a stage; None where there is no browser.
fn staged(look: Look) -> Option<(Gateway, Stage, Page)> {
    let browser = Browser::shared()?;
    let gateway = gateway();
    let stage = Stage::of(gateway.admin());
    Some((gateway, stage, browser.open(look)))
}

#[test]
fn numbers_have_the_unit_and_the_digits_that_people_read() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    page.go(&stage.url());
    for (call, expected) in [
        ("count(0)", "0"),
        ("count(999)", "999"),
        ("count(1234567)", "1 234 567"),
        ("count(null)", "–"),
        ("rate(0)", "0 /s"),
        ("rate(0.01)", "< 0.1 /s"),
        ("rate(1.25)", "1.3 /s"),
        ("rate(9.96)", "10 /s"),
        ("rate(999.4)", "999 /s"),
        ("rate(999.6)", "1 k/s"),
        ("rate(1234)", "1.2 k/s"),
        ("rate(2.5e6)", "2.5 M/s"),
        ("bytes(0)", "0 B"),
        ("bytes(1023)", "1023 B"),
        ("bytes(3.4 * 1048576)", "3.4 MiB"),
        ("bytes(1023.9 * 1024)", "1 MiB"),
        ("duration(0)", "0 s"),
        ("duration(0.0002)", "< 1 ms"),
        ("duration(0.0123)", "12 ms"),
        ("duration(0.9996)", "1 s"),
        ("duration(3.44)", "3.4 s"),
        ("duration(59.9)", "1 min"),
        ("duration(260)", "4 min 20 s"),
        ("long(7205)", "2 h"),
        ("long(190000)", "2 d 4 h"),
        ("clock(Date.parse('2026-11-27T18:20:51.999Z'))", "18:20:51 UTC"),
        ("clock(NaN)", "–"),
        ("roundUp(0.011)", "0.02"),
        ("roundUp(1234)", "2000"),
        ("roundUp(50)", "50"),
    ] {
        let said = page.ask(&format!("String({call}).replace(/\\s/g, ' ')"));
        assert_eq!(said, expected, "{call}");
    }
}

#[test]
fn each_figure_stands_where_it_is_looked_for() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    let mut told = now(1);
    told["problems"] = json!([problem("lane fast: its Kafka producer is not ready")]);
    stage.tell("now", &told);
    page.go(&stage.url());
    for text in [
        "Ready, but 1 thing is wrong",
        "for 1 min 2 s, since 18:19:49 UTC",
        "Look at the brokers.",
        "3 open of at most 1 000, and 1 socket that said nothing yet",
        "gateway 0.1.0, runs for 1 h 2 min",
        "producer ready, 1 broker, round trip p99 4 ms",
        "landfall.fast: 1 away, 1 slow, 1 well",
        "4 in flight",
        "The store is well.",
        "in 293 KiB of its memory",
    ] {
        let text = json!(text);
        page.until(
            "it is said",
            &format!("document.body.innerText.replace(/\\s/g, ' ').includes({text})"),
        );
    }
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let terms = ["1 234 567", "1 234 560", "2", "1", "0", "4", "0"];
    let sum = [
        row(&[&["fast"], &terms[..]].concat()),
        row(&[&["none: before it had one"], &terms[..]].concat()),
    ];
    assert_eq!(page.table("The sum by lane"), sum);
    assert_eq!(page.table("By listener"), [row(&["mqtt", "3", "1 000", "0", "1", "2"])]);
    assert_eq!(page.table("Why they ended"), [row(&["keep_alive", "3", "0 /s"])]);
    // What never happened is not shown.
    let refused = row(&["message", "fast", "shed", "12", "1.5 /s"]);
    assert_eq!(page.table("What was refused"), [refused]);
    let pool = row(&["orders", "1 200", "1 min 1 s", "2 s", "3", "0", "1", "10 /s", "0 /s"]);
    assert_eq!(page.table("Pools"), [pool]);
    let link = page.ask("document.querySelector('.problem a').href");
    assert_eq!(link, format!("{}runbook#landfalllandingstopped", stage.url()));
    let title = page.ask("document.title");
    assert_eq!(title, "▲ Ready, but 1 thing is wrong – gw-1");

    // What is not well is told by words too.
    told["ready"] = json!(false);
    told["sequence"] = json!(2);
    told["sum"]["difference"] = json!(3);
    stage.tell("now", &told);
    page.until_it_says("Not ready: 1 thing is wrong");
    assert_eq!(page.ask("document.querySelector('.difference').dataset.mark"), "bad");
    told["draining"] = json!(true);
    told["sequence"] = json!(3);
    stage.tell("now", &told);
    page.until_it_says("It drains");
    // A part that a process does not have is not shown.
    for part in ["lanes", "kafka", "pools", "refused"] {
        told[part] = json!([]);
    }
    told["sequence"] = json!(4);
    (told["sum"], told["connections"]) = (Value::Null, Value::Null);
    stage.tell("now", &told);
    page.until(
        "what is not there is hidden",
        "[...document.querySelectorAll('h2')].filter((one) => one.checkVisibility()).map((one) => one.textContent).join() === 'Is it well?,Refused'",
    );
    assert_eq!(page.errors(), [""; 0]);
}

#[test]
fn what_anybody_says_is_text_and_fits_and_everybody_can_read_it() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    let long = "x".repeat(LONG_NAME);
    let mut told = now(1);
    told["gateway_id"] = json!(MARKUP);
    told["lanes"] = json!([lane(MARKUP), lane(&long), lane("none")]);
    let mut bad = problem(&format!("{MARKUP} {long}"));
    bad["runbook"] = json!("javascript:document.title='taken'");
    told["problems"] = json!([bad, problem("another")]);
    told["connections"]["listeners"][0]["listener"] = json!(long);
    told["connections"]["ended"][0]["reason"] = json!(MARKUP);
    told["large"] = json!({ "well": false, "problem": MARKUP });
    told["kafka"][0]["lane"] = json!(long);
    told["kafka"][0]["error"] = json!(MARKUP);
    for partition in told["kafka"][0]["partitions"].as_array_mut().expect("a list") {
        partition["topic"] = json!(long);
    }
    told["refused"][0]["reason"] = json!(MARKUP);
    told["refused"][0]["lane"] = json!(long);
    told["pools"][0]["pool"] = json!(long);
    told["latest"] =
        json!({ "publish": MARKUP, "lanes": [{ "lane": long, "lines": [MARKUP, long] }] });
    stage.tell("now", &told);
    page.go(&stage.url());
    page.until("all is drawn", "document.querySelectorAll('.messages li').length === 2");
    page.until("all is drawn", "document.querySelectorAll('.problem').length === 2");
    // The names of the plots are told to those who hear the page, and are no markup either.
    assert_eq!(page.ask("document.querySelectorAll('main img, main b, main script').length"), 0);
    let text = page.text();
    assert!(text.matches(MARKUP).count() >= 7, "{text}");
    assert!(page.ask("document.title").as_str().is_some_and(|title| title.contains(MARKUP)));
    let hidden = page.ask("document.querySelector('.problem a').hasAttribute('href')");
    assert_eq!(hidden, false, "it leads to the runbook alone");
    page.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
    page.until("the tables are drawn", "document.querySelectorAll('details tbody tr').length >= 4");
    for look in [Look::WIDE, Look::WIDE.dark(), Look::NARROW, Look::NARROW.dark()] {
        page.look(look);
        let wide = page.ask("document.documentElement.scrollWidth");
        assert_eq!(wide, look.width, "it is as wide as the screen");
        assert_eq!(page.barriers(), [""; 0], "{look:?}");
    }
    assert_eq!(page.errors(), [""; 0]);
}

#[test]
fn a_page_that_stays_open_for_a_day_does_not_grow() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    // A sample of each step: what differs from one to the next comes and goes.
    let told = |step: u64| {
        let mut told = now(5 * step + 1);
        let some = |count: u64| (0..count).map(|at| problem(&format!("{at} of {step}")));
        told["problems"] = some(step % 7).collect();
        let reasons = (0..step % 11)
            .map(|at| json!({ "reason": format!("{at}-{step}"), "count": 1, "per_second": 0 }));
        told["connections"]["ended"] = reasons.collect();
        told["lanes"][0]["acknowledgement_p99_seconds"] =
            if step.is_multiple_of(3) { Value::Null } else { json!(0.001 * step as f64) };
        told
    };
    let size = "[document.querySelectorAll('*').length, page.history.length,
        ...[...page.history.series.values()].map((list) => list.length)]";
    let mut seen = Vec::new();
    page.go(&stage.url());
    // Both end alike, so that as much is shown.
    for steps in [0..77 * 5, 77 * 5..77 * 30] {
        let last = 5 * (steps.end - 1) + 1;
        stage.tell_all("now", &steps.map(told).collect::<Vec<_>>());
        page.until("all is heard", &format!("page.now?.sequence === {last} && !page.waits"));
        seen.push(page.ask(size));
    }
    assert_eq!(seen[0], seen[1], "elements, steps, and values of each series");
    let sizes = seen[1].as_array().expect("a list");
    assert!(sizes[1..].iter().all(|size| *size == STEPS_MAX as u64), "{sizes:?}");
    let points = page.ask(
        "document.querySelector('.lane path[data-tone=good]').getAttribute('d').split('L').length",
    );
    assert_eq!(points, STEPS_MAX as u64);
    assert_eq!(page.errors(), [""; 0]);
}

#[test]
fn the_last_half_hour_is_the_gateways_and_what_came_since() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    let past = |process: &str, first_step: u64, rates: &[Value], last_sequence: u64| {
        let connections: Vec<u64> = (0..rates.len() as u64).collect();
        json!({
            "process": process, "step_seconds": 5, "first_step": first_step, "first_sequence": 1,
            "last_sequence": last_sequence, "ends_seconds_ago": 0.5,
            "lanes": { "fast": { "received_per_second": rates } },
            "connections": connections, "problems": vec![0; rates.len()],
        })
    };
    let received = "page.history.values(seriesOf('fast', 'received_per_second'))";
    let rates = [json!(1.0), Value::Null, json!(3.0), json!(10.0)];
    stage.tell("history", &past("one", 7, &rates, 52));
    let second = |sequence: u64, rate: f64| {
        let mut told = now(sequence);
        told["lanes"][0]["received_per_second"] = json!(rate);
        told
    };
    // The rest of the step that is not over, one that was heard already, and the next step.
    for (sequence, rate) in [(53, 20.0), (52, 1e6), (54, 30.0), (55, 7.0)] {
        stage.tell("now", &second(sequence, rate));
    }
    page.go(&stage.url());
    page.until("all is heard", "page.now?.sequence === 55");
    assert_eq!(page.ask(received), json!([1, null, 3, 20, 7]));
    // The table behind the plot says the same, the newest minute first: the mean of what there is.
    page.until("it is drawn", "document.querySelector('.lane details') !== null");
    page.ask("document.querySelector('.lane details').open = true");
    page.until("the table is drawn", "document.querySelector('.lane tbody tr') !== null");
    assert_eq!(page.table("The last 30 minutes of lane fast")[0][1], "7.8 /s");

    // Who comes again says what it has, and a gap stays one.
    stage.begin_anew();
    until_true("it asks again", SOON, || stage.asked().len() == 2);
    assert_eq!(stage.asked()[1], "/api/v1/live?after=55&process=one");
    stage.tell("history", &past("one", 11, &[json!(8.0), Value::Null, json!(9.0)], 66));
    page.until("it is heard", "page.history.sequence === 66");
    assert_eq!(page.ask(received), json!([1, null, 3, 20, 8, null, 9]));

    // Figures of then: by the slider, with a key.
    page.ask("document.getElementById('back').focus()");
    page.press("ArrowLeft");
    page.until_it_says("5\u{a0}s ago");

    // Of another process nothing is known yet.
    stage.begin_anew();
    let mut other = second(1, 2.0);
    other["process"] = json!("two");
    stage.tell("history", &past("two", 0, &[json!(4.0)], 0));
    stage.tell("now", &other);
    page.until("it is heard", "page.now.process === 'two'");
    assert_eq!(page.ask(received), json!([3]));
    assert_eq!(page.errors(), [""; 0]);
}

#[test]
fn a_keyboard_reaches_everything() {
    let Some((_gateway, stage, mut page)) = staged(Look::NARROW) else { return };
    stage.tell("now", &now(1));
    page.go(&stage.url());
    page.until("it is drawn", "document.querySelectorAll('.lane').length === 1");
    let mut reached = Vec::new();
    for _ in 0..60 {
        page.press("Tab");
        let name = page.ask(
            "document.activeElement === document.body ? null
                : document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent",
        );
        let Some(name) = name.as_str().map(str::to_owned) else { break };
        if name == "As a table" {
            page.press("Enter");
            page.until("it opens", "document.activeElement.parentElement.open");
        }
        reached.push(name);
    }
    assert_eq!(reached[0], "To the figures");
    for name in
        ["Is it well?", "back", "As a table", "The sum by lane", "Why they ended", "/metrics"]
    {
        assert!(reached.iter().any(|one| one == name), "{name} is not among {reached:?}");
    }
    page.until(
        "each table is drawn",
        "[...document.querySelectorAll('details')].every((one) => one.querySelector('tbody tr'))",
    );
    // Nothing on it sends anything.
    assert_eq!(page.ask("document.querySelectorAll('main button, main form, main [href]:not(.problem a)').length"), 1, "but copying");
    assert_eq!(page.errors(), [""; 0]);
}

#[test]
fn a_gateway_that_refuses_is_quoted_and_asked_again() {
    let Some((_gateway, stage, mut page)) = staged(Look::WIDE) else { return };
    let crowded = "{\"error\": \"too many pages are open\"}";
    stage.refuse(Some(("503 Busy\r\nRetry-After: 1", crowded)));
    page.go(&stage.url());
    page.until_it_says("too many pages are open; asked again every 1\u{a0}s");
    stage.tell("now", &now(1));
    stage.refuse(None);
    page.until("it comes back", "document.getElementById('said').textContent === 'live'");
    assert!(page.text().contains("Well"));
    stage.refuse(Some(("421 Elsewhere", "not here")));
    page.until_it_says("not here");
    assert_eq!(page.ask("'stale' in document.body.dataset"), true, "what is seen is not of now");
    stage.refuse(None);
    // What the console says of those answers is the browser's.
    page.errors();
    stage.tell("now", &json!("nonsense"));
    page.until(
        "figures that are none take nothing away",
        "document.body.innerText.includes('gw-1')",
    );
}
