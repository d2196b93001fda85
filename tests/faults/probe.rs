//! New clients, one after another while a cell runs: how long each waits until it is let in, until its PINGREQ is
//! answered, and until its message is acknowledged. They keep books as the fleet does.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::mqtt::{Client, Connect, Packet, Publish, Seen, Version, encode};

use crate::books::{Line, Sha256};
use crate::cell::Expects;
use crate::timeline::{Marks, Span, now_ms};

/// From one new client to the next.
const PAUSE: Duration = Duration::from_millis(700);
/// How long a client waits for its PUBACK before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients that wait at once.
const WAITING_MAX: usize = 120;
/// What a new client may wait for, while one thing is broken.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What one client saw.
#[derive(Clone, Debug)]
pub struct Visit {
    pub at_ms: u64,
    /// Why it was not let in; how long it took where it was.
    pub connack: Result<Duration, String>,
    pub pingresp: Option<Duration>,
    pub puback: Option<Duration>,
}

/// Lets clients come as long as it is told to; those who wait then give up.
pub fn while_true(gateway: SocketAddr, books: &Path, coming: &AtomicBool) -> Vec<Visit> {
    let file = File::options().create(true).append(true).open(books);
    let books = Mutex::new(file.expect("the cell's folder can be written"));
    let visits = Mutex::new(Vec::new());
    let waiting = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 1.. {
            if !coming.load(Ordering::Acquire) {
                break;
            }
            if waiting.load(Ordering::Acquire) < WAITING_MAX {
                waiting.fetch_add(1, Ordering::AcqRel);
                let (books, visits, waiting) = (&books, &visits, &waiting);
                scope.spawn(move || {
                    let visit = visit(gateway, number, books, coming);
                    visits.lock().expect("no visit panics here").push(visit);
                    waiting.fetch_sub(1, Ordering::AcqRel);
                });
            }
            thread::sleep(PAUSE);
        }
    });
    visits.into_inner().expect("no visit panics here")
}

fn visit(gateway: SocketAddr, number: usize, books: &Mutex<File>, coming: &AtomicBool) -> Visit {
    let version = if number.is_multiple_of(2) { Version::V311 } else { Version::V5 };
    let device = format!("probe-{number}");
    let mut visit =
        Visit { at_ms: now_ms(), connack: Err(String::new()), pingresp: None, puback: None };
    let begin = Instant::now();
    let mut client = match enter(gateway, version, &device) {
        Ok(client) => client,
        Err(why) => return Visit { connack: Err(why), ..visit },
    };
    visit.connack = Ok(begin.elapsed());
    let begin = Instant::now();
    if client.try_send(&encode::packet(0xc0, &[])).is_ok()
        && matches!(client.read(PATIENCE), Seen::Packet(Packet::Pingresp))
    {
        visit.pingresp = Some(begin.elapsed());
    }
    visit.puback = publish(&mut client, version, &device, books, coming);
    visit
}

fn enter(gateway: SocketAddr, version: Version, device: &str) -> Result<Client, String> {
    let mut client = Client::try_open(gateway, version).map_err(|error| error.to_string())?;
    let connect = encode::connect(&Connect::new(version, device));
    client.try_send(&connect).map_err(|error| error.to_string())?;
    match client.read(PATIENCE) {
        Seen::Packet(Packet::Connack { code: 0, .. }) => Ok(client),
        other => Err(format!("{other:?}")),
    }
}

/// Publishes one message with QoS 1; how long its PUBACK took.
fn publish(
    client: &mut Client,
    version: Version,
    device: &str,
    books: &Mutex<File>,
    coming: &AtomicBool,
) -> Option<Duration> {
    let topic = format!("devices/probe/{device}/state");
    let mut payload = format!("{device} 1 60\n").into_bytes();
    payload.resize(60, b'.');
    let note = |line: Line<'_>| {
        let mut books = books.lock().expect("nothing panics under this lock");
        writeln!(books, "{line}").expect("the cell's folder can be written");
    };
    let (seq, size, sha256) = (1, payload.len(), Sha256::of(&payload));
    note(Line::Invoked { device, seq, qos: 1, size, sha256, topic: &topic, at: now_ms() });
    let begin = Instant::now();
    let bytes = encode::publish(version, &Publish::new(&topic, &payload).qos1(1));
    let sent = client.try_send(&bytes).is_ok();
    while sent && begin.elapsed() < PATIENCE && coming.load(Ordering::Acquire) {
        match client.read(Duration::from_secs(1)) {
            Seen::Packet(Packet::Puback { packet_id: 1, code, .. }) => {
                let (at, is_good) = (now_ms(), code < 0x80);
                note(match is_good {
                    true => Line::Acknowledged { device, seq, at, code },
                    false => Line::Negative { device, seq, at, code },
                });
                return is_good.then(|| begin.elapsed());
            }
            Seen::Silence => {}
            _ => break,
        }
    }
    note(Line::GivenUp { device, seq, at: now_ms(), why: "gone" });
    None
}

/// The longest that somebody waited who could expect an answer, for CONNACK, PINGRESP and PUBACK.
pub fn worst(visits: &[Visit], marks: &Marks) -> [Duration; 3] {
    let mut worst = [Duration::ZERO; 3];
    for visit in expecting(visits, marks) {
        let waits = [visit.connack.as_ref().ok().copied(), visit.pingresp, visit.puback];
        for (worst, wait) in worst.iter_mut().zip(waits) {
            *worst = (*worst).max(wait.unwrap_or_default());
        }
    }
    worst
}

/// Who waited too long, or in vain.
pub fn findings(visits: &[Visit], marks: &Marks, expects: &Expects, alone: bool) -> Vec<String> {
    let mut findings = Vec::new();
    if !alone {
        return findings;
    }
    let broken = marks.broken.expect("the cell's fault is over");
    let mut found = |what: &str, late: Vec<&Visit>| {
        if let Some(first) = late.first() {
            let after_s = (first.at_ms as f64 - broken.from_ms as f64) / 1000.0;
            let count = late.len();
            findings.push(format!(
                "{count} new clients without {what} within {WAIT_MAX:?}; the first {after_s:.1} s after the fault began: {first:?}"
            ));
        }
    };
    let late = |wait: Option<Duration>| wait.is_none_or(|wait| wait > WAIT_MAX);
    let expecting = || expecting(visits, marks);
    if !expects.turned_away {
        let out = expecting().filter(|visit| late(visit.connack.as_ref().ok().copied()));
        found("CONNACK", out.collect());
    }
    let inside = || expecting().filter(|visit| visit.connack.is_ok());
    found("PINGRESP", inside().filter(|visit| late(visit.pingresp)).collect());
    if expects.pubacks {
        found("PUBACK", inside().filter(|visit| late(visit.puback)).collect());
    }
    findings
}

/// Those who came while it was broken, and could expect an answer until their wait is over.
fn expecting<'v>(visits: &'v [Visit], marks: &'v Marks) -> impl Iterator<Item = &'v Visit> {
    let wait_ms = WAIT_MAX.as_millis() as u64;
    visits.iter().filter(move |visit| {
        let waits = Span { from_ms: visit.at_ms, to_ms: visit.at_ms + 2 * wait_ms };
        !marks.away.iter().any(|away| away.meets(waits))
            && marks.broken.is_some_and(|broken| broken.has(visit.at_ms))
    })
}
