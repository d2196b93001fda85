//! One HTTP/1.1 GET, for the admin pages.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An admin page answers within this, however busy the gateway is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// Asks for a page; an error when nothing answers there.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut text)?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

fn parse(text: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(text);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Answer { code, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, chunk) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(chunk.get(..size)?);
        rest = chunk.get(size + 2..)?;
    }
}
