//! Server-sent events (HTML, 9.2) as a page reads them, and who opens a stream and leaves it unread.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An event comes within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head of an answer, in bytes.
const HEAD_MAX: u64 = 16 * 1024;

/// What the server answered, with its body still to come.
pub struct Stream {
    pub code: u16,
    /// As it came, in small letters.
    pub head: String,
    reader: BufReader<TcpStream>,
    /// Of the body and not handed on.
    text: String,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

/// A request that nobody reads the answer to.
pub fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes())?;
    Ok(socket)
}

impl Stream {
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Stream> {
        Stream::of(ask(address, path, headers)?)
    }

    /// Reads the head of what was asked for.
    pub fn of(socket: TcpStream) -> io::Result<Stream> {
        let mut reader = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.by_ref().take(HEAD_MAX).read_line(&mut head)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, head));
            }
        }
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
        Ok(Stream { code, head: head.to_ascii_lowercase(), reader, text: String::new() })
    }

    /// The next event; None when the stream has ended as it should.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (parse(event), rest.to_owned());
                self.text = rest;
                return Ok(Some(event));
            }
            if !self.read_chunk()? {
                assert_eq!(self.text, "", "the stream ended within an event");
                return Ok(None);
            }
        }
    }

    /// The next event, which is there.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        let event = self.next_event().unwrap_or_else(|error| panic!("no event came: {error}"));
        event.expect("the stream goes on")
    }

    /// The next event of that name for which it is so.
    #[track_caller]
    pub fn until(&mut self, name: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..PATIENCE.as_secs() {
            let event = self.event();
            if event.name == name && is_so(&event.data) {
                return event.data;
            }
            last = event.data;
        }
        panic!("it did not become so in {PATIENCE:?}, and is {last}")
    }

    /// Whatever the server still sends, to the end of the connection.
    pub fn rest(mut self) -> String {
        let mut rest = Vec::new();
        // How it ends is of no interest to who asks for this.
        let _ = self.reader.read_to_end(&mut rest);
        self.text + &String::from_utf8_lossy(&rest)
    }

    /// False behind the last one (RFC 9112, 7.1).
    fn read_chunk(&mut self) -> io::Result<bool> {
        let mut size = String::new();
        self.reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "the stream broke off"))?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(size);
        self.text.push_str(&String::from_utf8(chunk).expect("an event is a chunk of its own"));
        Ok(size > 0)
    }
}

fn parse(event: &str) -> Event {
    let field = |name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("there is no {name} in {event:?}"))
    };
    let data = serde_json::from_str(field("data")).expect("data is JSON");
    Event { id: field("id").parse().expect("a number"), name: field("event").to_owned(), data }
}
