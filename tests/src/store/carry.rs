//! Bodies of HTTP on their way through: how long each is, and from one side to the other as it came.

use std::io::{self, BufRead, Read, Write};
use std::thread;
use std::time::Duration;

use crate::http::Head;

/// What one step carries at most, in bytes.
const CHUNK: usize = 16 * 1024;
/// Longest line between the pieces of a body in chunks, in bytes.
const CHUNK_LINE_MAX: u64 = 4096;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Nothing,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunks,
    /// With its connection.
    UntilItsEnd,
}

impl Body {
    pub(super) fn of_request(head: &Head) -> Body {
        match Body::said(head) {
            Some(body) => body,
            None => Body::Nothing,
        }
    }

    /// RFC 9112, 6.3.
    pub(super) fn of_answer(answer: &Head, request: &Head) -> Body {
        let without = matches!(answer.status(), Some(100..200 | 204 | 304));
        if without || request.method() == "HEAD" {
            return Body::Nothing;
        }
        Body::said(answer).unwrap_or(Body::UntilItsEnd)
    }

    fn said(head: &Head) -> Option<Body> {
        if head.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
            return Some(Body::Chunks);
        }
        match head.header("content-length")?.parse() {
            Ok(0) => Some(Body::Nothing),
            Ok(length) => Some(Body::Length(length)),
            Err(_) => None,
        }
    }

    /// Half of it, or nothing where nobody knows how long it is.
    pub(super) fn half(self) -> Body {
        match self {
            Body::Length(length) => Body::Length(length / 2),
            _ => Body::Nothing,
        }
    }

    /// From one side to the other, at most so many bytes per second.
    pub(super) fn carry(
        self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        pace: Option<u32>,
    ) -> io::Result<()> {
        match self {
            Body::Nothing => Ok(()),
            Body::Length(length) => carry(from, to, length, pace),
            Body::UntilItsEnd => match carry(from, to, u64::MAX, pace) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
                other => other,
            },
            Body::Chunks => {
                while let length @ 1.. = chunk_line(from, to)? {
                    // With the line's end behind it.
                    carry(from, to, length + 2, pace)?;
                }
                // Trailers, and an empty line.
                while line(from, to)?.trim() != "" {}
                Ok(())
            }
        }
    }
}

/// The length of the next chunk.
fn chunk_line(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<u64> {
    let line = line(from, to)?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn line(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<String> {
    let mut line = String::new();
    if from.by_ref().take(CHUNK_LINE_MAX).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    to.write_all(line.as_bytes())?;
    Ok(line)
}

fn carry(
    from: &mut impl Read,
    to: &mut impl Write,
    mut length: u64,
    pace: Option<u32>,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    while length > 0 {
        let most = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK);
        let count = from.read(&mut chunk[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(pace) = pace {
            thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(pace)));
        }
        to.write_all(&chunk[..count])?;
        length -= count as u64;
    }
    Ok(())
}

/// Takes everything, also when nobody is there any more.
pub(super) struct Forgiving<W> {
    to: W,
    is_gone: bool,
}

impl<W: Write> Forgiving<W> {
    pub(super) fn new(to: W) -> Forgiving<W> {
        Forgiving { to, is_gone: false }
    }
}

impl<W: Write> Write for Forgiving<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_gone = self.is_gone || self.to.write_all(bytes).is_err();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::read(&mut text.as_bytes()).expect("it is one")
    }

    #[test]
    fn a_body_passes_as_it_came_and_no_further() {
        let get = head("GET / HTTP/1.1\r\n\r\n");
        for (answer, body, rest) in [
            ("Content-Length: 5\r\n", "hello", "next"),
            ("Transfer-Encoding: chunked\r\n", "5;x=y\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n", "next"),
            ("Content-Length: 0\r\n", "", "next"),
            ("", "hello", ""),
        ] {
            let head = head(&format!("HTTP/1.1 200 OK\r\n{answer}\r\n"));
            let came = format!("{body}{rest}");
            let (mut from, mut to) = (came.as_bytes(), Vec::new());
            Body::of_answer(&head, &get).carry(&mut from, &mut to, None).expect("it is whole");
            assert_eq!((&*to, from), (body.as_bytes(), rest.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn an_answer_may_have_a_length_and_no_body() {
        let answer = head("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
        let (get, look) = (head("GET / HTTP/1.1\r\n\r\n"), head("HEAD / HTTP/1.1\r\n\r\n"));
        assert_eq!(Body::of_answer(&answer, &get), Body::Length(7));
        assert_eq!(Body::of_answer(&answer, &look), Body::Nothing);
        let nothing = head("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(Body::of_answer(&nothing, &get), Body::Nothing);
    }

    #[test]
    fn a_body_that_breaks_off_is_told() {
        for (how, body) in
            [("Content-Length: 9", "hello"), ("Transfer-Encoding: chunked", "5\r\nhe")]
        {
            let request = head(&format!("PUT / HTTP/1.1\r\n{how}\r\n\r\n"));
            let carried =
                Body::of_request(&request).carry(&mut body.as_bytes(), &mut io::sink(), None);
            assert!(carried.is_err(), "{how}");
        }
    }
}
