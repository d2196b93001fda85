//! How fast parsers are, on one thread and without Kafka: messages and events of a second of CPU, from the
//! payload's bytes to canonical JSON. `cargo run --release -p parse --example speed`.

use std::hint::black_box;
use std::io::Write as _;

use parse::canonical::{Context, json};
use parse::compile::compile;
use parse::event::Event;
use parse::facts::Facts;
use parse::failure::{Failure, Outcome};
use parse::limits::Limits;
use parse::parser::{Declared, Parser as _, Sink};
use parse::written::short::{Short, Texts};
use parse::written::{Csv, Field, Parser, Time};

/// How many seconds of CPU each row takes.
const MEASURED_S: f64 = 1.0;

/// Seconds of CPU that this thread took: the machine may have other work.
fn cpu_s() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanoseconds = told.split(' ').next().and_then(|one| one.parse::<f64>().ok());
    nanoseconds.expect("the first number") / 1e9
}

const FACTS: Facts<'_> = Facts {
    topic: "devices/meter/m-1/power",
    received_ms: 1_770_149_650_000,
    device_id: "m-1",
    verified: true,
    attributes: &[("device_type", "meter")],
};

/// Writes each event, as the role will.
struct Writer {
    out: Vec<u8>,
    events: u64,
    writes: bool,
}

impl Sink for Writer {
    fn event(&mut self, event: Event<'_>) {
        self.events += 1;
        if !self.writes {
            return;
        }
        let context = Context {
            facts: &FACTS,
            message_id: [7; 16],
            device_type: "meter",
            firmware_version: "2.1",
            group: "",
            lane: "fast",
            topic: "landfall.fast",
            partition: 3,
            offset: 42,
            parser: "readings",
            revision: 1,
        };
        json::write(&context, &event, &mut self.out);
    }

    fn skipped(&mut self, _: Failure) {}
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn field(path: &str, kind: Option<&str>) -> Short<Field> {
    Short(Field { path: text(path), kind: kind.map(str::to_owned), ..Field::default() })
}

fn time(path: &str, unit: &str) -> Option<Short<Time>> {
    let field = Some(Texts(vec![path.to_owned()]));
    Some(Short(Time { field, unit: text(unit), ..Time::default() }))
}

fn parser(written: &Parser) -> Declared {
    compile(written, Limits::default()).expect("the parser is right")
}

const SMALL: &str = r#"{"ts":1770149645123,"device":"meter-4711","site":"plant 2","temperature":21.53,"humidity":48.2,"pressure":1013.25,"battery":3.71,"counter":182736,"status":"ok","valid":true,"location":{"lat":52.520008,"lon":13.404954},"errors":[],"firmware":"2.1.7","rssi":-71,"snr":9.25,"uptime":864231,"note":"nothing"}"#;

fn row(name: &str, parser: &Declared, payload: &[u8]) {
    let both = [false, true].map(|writes| measured(name, parser, payload, writes));
    let [(read, _), (messages, events)] = both;
    let line = format!(
        "| {name} | {} | {read:.0} | {messages:.0} | {events:.0} | {:.0} |\n",
        payload.len(),
        payload.len() as f64 * messages / 1e6,
    );
    std::io::stdout().write_all(line.as_bytes()).expect("stdout takes it");
}

/// Messages and events of a second.
fn measured(name: &str, parser: &Declared, payload: &[u8], writes: bool) -> (f64, f64) {
    let mut writer = Writer { out: Vec::new(), events: 0, writes };
    let (mut messages, begin) = (0_u64, cpu_s());
    while cpu_s() - begin < MEASURED_S {
        for _ in 0..64 {
            writer.out.clear();
            match black_box(parser.parse(black_box(payload), &FACTS, &mut writer)) {
                Outcome::Events { .. } => messages += 1,
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    let seconds = cpu_s() - begin;
    (messages as f64 / seconds, writer.events as f64 / seconds)
}

fn main() {
    let head = "| payload | bytes | messages/s, read only | messages/s | events/s | MB/s |\n|---|---|---|---|---|---|\n";
    std::io::stdout().write_all(head.as_bytes()).expect("stdout takes it");
    let json = || Parser { format: text("json"), time: time("ts", "ms"), ..Parser::default() };
    let listed = || {
        let fields = [
            ("temperature", field("temperature", Some("float"))),
            ("humidity", field("humidity", None)),
            ("pressure", field("pressure", Some("decimal"))),
            ("latitude", field("location.lat", None)),
            ("longitude", field("location.lon", None)),
            ("status", field("status", None)),
            ("counter", field("counter", Some("int"))),
            ("valid", field("valid", None)),
        ];
        fields.map(|(name, field)| (name.to_owned(), field)).into()
    };
    let eight = parser(&Parser { fields: listed(), rest: text("drop"), ..json() });
    row("JSON, one event, 8 fields", &eight, SMALL.as_bytes());
    row("JSON, one event, all kept", &parser(&json()), SMALL.as_bytes());
    let program = r#"{ts, temperature, humidity, lat: .location.lat, lon: .location.lon, status,
        power: (.counter * 2), ok: (.status == "ok")}"#;
    row("JSON, one event, jq", &parser(&Parser { jq: text(program), ..json() }), SMALL.as_bytes());

    let record = r#"{"ts":1770149645123,"name":"oil temperature","value":61.25,"unit":"C","quality":"good","sequence":4711,"limits":{"low":-20,"high":95.5},"alarm":false,"text":"all is well in the press","source":"plc-7/db12"}"#;
    let many = format!("{{\"device\":\"press-7\",\"readings\":[{}]}}", vec![record; 20].join(","));
    let readings = parser(&Parser { records: text("readings[]"), ..json() });
    row("JSON, 20 records", &readings, many.as_bytes());
    let lines = format!("{record}\n").repeat(1000);
    let ndjson = parser(&Parser { format: text("ndjson"), ..json() });
    row("NDJSON, 1000 lines", &ndjson, lines.as_bytes());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(lines.as_bytes()).expect("memory takes it");
    row("NDJSON, 1000 lines, gzip", &ndjson, &packed.finish().expect("memory takes it"));
    let table = format!("ts;temp;hum;state\n{}", "1770149645123;21,5;48;run\n".repeat(100));
    let csv = parser(&Parser {
        format: text("csv"),
        csv: Some(Csv { delimiter: text(";"), ..Csv::default() }),
        decimal_comma: true,
        fields: [
            ("temp".to_owned(), field("temp", Some("float"))),
            ("hum".to_owned(), field("hum", Some("int"))),
        ]
        .into(),
        ..json()
    });
    row("CSV, 100 rows", &csv, table.as_bytes());
}
