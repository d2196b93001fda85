//! A gateway's page with figures that a test makes up: what no gateway would say, or not for a day. The document
//! and its policy are a real gateway's, what it is told is the test's.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::server::{Server, Shared};

/// How often a stream looks for something to say.
const LOOK: Duration = Duration::from_millis(20);

/// A server of the page; it ends with this.
pub struct Stage(Server<Play>);

struct Play {
    /// The whole answer to who asks for the page.
    page: String,
    script: Mutex<Script>,
}

/// What streams say.
#[derive(Default)]
struct Script {
    /// Events as they are sent, for who is there and who comes later.
    events: Vec<String>,
    /// The answer to who asks for figures, in place of a stream.
    refusal: Option<String>,
    /// What was asked for, such as `/api/v1/live?after=3`.
    asked: Vec<String>,
    /// Streams that began before this many were ended do not go on.
    cuts: u64,
}

impl Stage {
    /// With the page of that gateway.
    #[track_caller]
    pub fn of(gateway: SocketAddr) -> Stage {
        let page = http::get(gateway, "/").expect("the gateway answers");
        let headers = page.headers.iter().filter(|(name, _)| *name != "content-length");
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = page.body.len();
        let page =
            format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{}", page.body);
        Stage(Server::start(Play { page, script: Mutex::default() }, answer))
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address)
    }

    /// One more event, such as `now`, for all who listen and all who come.
    pub fn tell(&self, kind: &str, data: &Value) {
        self.tell_all(kind, std::slice::from_ref(data));
    }

    pub fn tell_all(&self, kind: &str, data: &[Value]) {
        let events = data.iter().map(|data| format!("event: {kind}\ndata: {data}\n\n"));
        self.script().events.extend(events);
    }

    /// From now on nothing of what was told before is told, and who listens has to ask again.
    pub fn begin_anew(&self) {
        let mut script = self.script();
        script.events.clear();
        script.cuts += 1;
    }

    /// Who asks for figures gets this answer, such as `503 Busy`, or figures again.
    pub fn refuse(&self, refusal: Option<(&str, &str)>) {
        let mut script = self.script();
        script.refusal = refusal.map(|(head, body)| {
            format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        });
        script.cuts += 1;
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.script().asked.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.state().script.lock().expect("no thread of it panics")
    }
}

/// Answers one request; None when the connection is over.
fn answer(mut stream: &TcpStream, shared: &Shared<Play>) -> Option<()> {
    let (path, _) = http::read_request(&mut BufReader::new(stream))?;
    if !path.starts_with("/api/v1/live") {
        return stream.write_all(shared.state.page.as_bytes()).ok();
    }
    let (refusal, cuts) = {
        let mut script = shared.state.script.lock().ok()?;
        script.asked.push(path);
        (script.refusal.clone(), script.cuts)
    };
    if let Some(refusal) = refusal {
        return stream.write_all(refusal.as_bytes()).ok();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    let mut said = 0;
    while !shared.has_ended() {
        let more = {
            let script = shared.state.script.lock().ok()?;
            if script.cuts != cuts {
                break;
            }
            let more = script.events[said..].concat();
            said = script.events.len();
            more
        };
        stream.write_all(more.as_bytes()).ok()?;
        thread::sleep(LOOK);
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    None
}
