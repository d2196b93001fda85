//! What TLS and WebSocket cost, beside mosquitto with the same version, curve and cipher.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::gateway::Gateway;
use tests::pki::{Authority, Files, Leaf};

use super::{
    Bench, Load, Repetitions, SYSTEM, WARM_UP, cores, idle, per_cpu_second, per_second, timing,
};
use crate::entry::Tls;
use crate::mosquitto::Mosquitto;
use crate::table::{Aim, Line, core, kilobytes, median, milliseconds, spread, thousands, times};

/// Connections that are on their way at a time.
const AT_ONCE: usize = 32;
/// TLS 1.3 as the load speaks it.
const TLS: [&str; 2] = ["--tls=1.3", "--group=x25519"];

/// A gateway whose listener is of another kind: with what it has beside its name and its address, and with more
/// of the configuration.
pub fn secured(bench: &Bench, listener: &Value, more: &[(&str, Value)]) -> Gateway {
    let config = bench.gateway();
    let mut listener = listener.clone();
    listener["name"] = json!("secured");
    listener["bind"] = json!(config.mqtt().to_string());
    let mut config = config.set("listeners", json!([listener]));
    for (key, value) in more {
        config = config.set(key, value.clone());
    }
    config.start_ready()
}

/// A certificate for both sides, on P-256.
pub fn certificate(bench: &Bench) -> Files {
    Authority::new("bench").issue(&Leaf::server()).write(&bench.folder, "server")
}

/// A listener with TLS that lets everybody in.
pub fn open_to_all(files: &Files) -> Value {
    let certificate = json!({ "certificate": files.certificate(), "key": files.key() });
    json!({ "tls": { "certificates": [certificate] }, "anonymous": true })
}

pub fn handshakes(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let files = certificate(bench);
    let ours = secured(bench, &open_to_all(&files), &[]);
    let kinds = [
        ("TLS 1.3, X25519", Tls::V1_3, ["--tls=1.3", "--group=x25519"]),
        ("TLS 1.2, P-256", Tls::V1_2, ["--tls=1.2", "--group=p256"]),
    ];
    let mut lines = Vec::new();
    for (kind, tls, way) in kinds {
        let theirs = Mosquitto::secured(&files, tls);
        for (resumed, more) in [("full", None), ("resumed", Some("--resume"))] {
            let run = |address: SocketAddr, id: u32| {
                let mut arguments = vec![
                    "handshakes".to_owned(),
                    format!("--address={address}"),
                    format!("--at-once={AT_ONCE}"),
                    "--addresses=50".to_owned(),
                ];
                arguments.extend(way.into_iter().chain(more).map(str::to_owned));
                arguments.extend(timing(bench.duration, &[id]));
                bench.child("handshakes", &arguments, WARM_UP + bench.duration)
            };
            let (mut own, mut other) = (Repetitions::default(), Repetitions::default());
            for _ in 0..bench.repetitions {
                own.0.push(run(ours.mqtt(), ours.id()));
                other.0.push(run(theirs.address(), theirs.id()));
            }
            lines.extend(handshake_lines(&format!("{resumed} handshakes, {kind}"), &own, &other));
        }
    }
    lines
}

fn handshake_lines(name: &str, ours: &Repetitions, theirs: &Repetitions) -> Vec<Line> {
    let name = format!("{name}, AES-128-GCM, ECDSA on P-256, {AT_ONCE} at a time");
    let cost = per_cpu_second(SYSTEM);
    let ratio = ours.median(&cost) / theirs.median(&cost);
    vec![
        Line::plain(
            &name,
            "from TCP to CONNACK, per CPU-second",
            ours.spread(&cost, thousands),
            format!("mosquitto {}", theirs.spread(&cost, thousands)),
        ),
        Line::plain(&name, "the same, as a multiple of mosquitto's", times(ratio), "").aimed(
            Aim::AtLeast(1.0),
            ratio,
            times,
        ),
        Line::plain(
            &name,
            "per second",
            ours.spread(per_second, thousands),
            format!("mosquitto {}", theirs.spread(per_second, thousands)),
        ),
    ]
}

pub fn few(bench: &Bench) -> Vec<Line> {
    bench.warm_up();
    let files = certificate(bench);
    let (gateway, broker) =
        (secured(bench, &open_to_all(&files), &[]), Mosquitto::secured(&files, Tls::V1_3));
    let load = Load { connections: 50, rate: None, duration: bench.duration, way: &TLS };
    let (mut ours, mut theirs) = (Repetitions::default(), Repetitions::default());
    for _ in 0..bench.repetitions {
        ours.0.push(bench.load(&load, gateway.mqtt(), &[gateway.id()]));
        theirs.0.push(bench.load(&load, broker.address(), &[broker.id()]));
    }
    bench.check_landed(&gateway, ours.acknowledged());
    let name = "TLS 1.3: 50 connections, window 20, as fast as it goes";
    let cost = per_cpu_second(SYSTEM);
    let ratio = ours.median(&cost) / theirs.median(&cost);
    let latency = |of: &Repetitions| {
        let (p50, p99) = (of.median(|report| report.p50_ms), of.median(|report| report.p99_ms));
        format!("{}, {}", milliseconds(p50), milliseconds(p99))
    };
    vec![
        Line::plain(
            name,
            "landed and acknowledged per CPU-second of the gateway",
            ours.spread(&cost, thousands),
            format!("mosquitto {}", theirs.spread(&cost, thousands)),
        ),
        Line::plain(name, "the same, as a multiple of mosquitto's", times(ratio), "").aimed(
            Aim::AtLeast(2.0),
            ratio,
            times,
        ),
        Line::plain(
            name,
            "messages per second; CPU of the gateway, in cores",
            format!("{}; {}", ours.spread(per_second, thousands), core(ours.median(cores(SYSTEM)))),
            format!(
                "mosquitto {}; {}",
                theirs.spread(per_second, thousands),
                core(theirs.median(cores(SYSTEM)))
            ),
        ),
        Line::plain(
            name,
            "PUBACK p50, p99",
            latency(&ours),
            format!("mosquitto {}", latency(&theirs)),
        ),
    ]
}

pub fn idle_tls(bench: &Bench) -> Vec<Line> {
    let files = certificate(bench);
    let listener = open_to_all(&files);
    let broker = || Mosquitto::secured(&files, Tls::V1_3);
    vec![idle_line(bench, "10,000 idle connections over TLS 1.3", &listener, &broker, &TLS, 20e3)]
}

pub fn idle_websocket(bench: &Bench) -> Vec<Line> {
    let listener = json!({ "websocket": {}, "anonymous": true });
    let name = "10,000 idle connections in WebSockets";
    vec![idle_line(bench, name, &listener, &Mosquitto::with_websocket, &["--websocket"], 8e3)]
}

fn idle_line(
    bench: &Bench,
    name: &str,
    listener: &Value,
    broker: &dyn Fn() -> Mosquitto,
    way: &[&str],
    aim: f64,
) -> Line {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        let gateway = secured(bench, listener, &[]);
        let check = || idle::check(&gateway);
        ours.push(idle::each(bench, gateway.mqtt(), gateway.id(), way, check));
        let broker = broker();
        theirs.push(idle::each(bench, broker.address(), broker.id(), way, || {}));
    }
    let line = Line::plain(
        name,
        "resident memory of each",
        spread(&ours, kilobytes),
        format!("mosquitto {}", spread(&theirs, kilobytes)),
    );
    line.aimed(Aim::AtMost(aim), median(&ours), kilobytes)
}
