//! An HTTP service that says what a test tells it to: a key server, or one that knows clients.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::http::read_head;
use crate::server::{Server, Shared};

/// Who hangs looks so often whether it may end.
const LOOK: Duration = Duration::from_millis(50);

/// What it does with each request.
#[derive(Clone, Debug)]
pub enum Says {
    /// This code and body.
    Answer(u16, String),
    /// Go there.
    Redirect(String),
    /// Nothing, for as long as it says so.
    Nothing,
    /// Nothing to whose question has this word, and to the others that everything is well.
    NothingTo(&'static str),
    /// A body of so many bytes.
    Much(usize),
}

/// A service; it ends with this.
pub struct Service(Server<Told>);

struct Told {
    says: Mutex<Says>,
    /// The bodies of the requests that came.
    asked: Mutex<Vec<String>>,
}

impl Service {
    pub fn start(says: Says) -> Service {
        let told = Told { says: Mutex::new(says), asked: Mutex::default() };
        Service(Server::start(told, answer))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// From now on it says something else.
    pub fn says(&self, says: Says) {
        *self.0.state().says.lock().expect("no thread of it panics") = says;
    }

    /// The bodies of the requests that came so far.
    pub fn asked(&self) -> Vec<String> {
        self.0.state().asked.lock().expect("no thread of it panics").clone()
    }
}

/// Reads one request and answers it; None when the connection is over.
fn answer(mut stream: &TcpStream, shared: &Shared<Told>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let length = read_head(&mut reader)?;
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body).ok()?;
    let says = || shared.state.says.lock().map(|says| says.clone()).ok();
    let hangs = |says: Says| match says {
        Says::Nothing => true,
        Says::NothingTo(word) => body.contains(word),
        _ => false,
    };
    shared.state.asked.lock().ok()?.push(body.clone());
    while hangs(says()?) {
        if shared.has_ended() {
            return None;
        }
        thread::sleep(LOOK);
    }
    let (code, head, body) = match says()? {
        Says::Answer(code, body) => (code, String::new(), body),
        Says::Redirect(to) => (302, format!("Location: {to}\r\n"), String::new()),
        Says::Much(bytes) => (200, String::new(), " ".repeat(bytes)),
        Says::NothingTo(_) => (204, String::new(), String::new()),
        Says::Nothing => return None,
    };
    let length =
        if code == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "HTTP/1.1 {code} Told\r\n{head}{length}\r\n{body}").ok()
}
