//! Deadlines of strangers, of which our own standstill is no part.
//!
//! A gateway that was stopped (SIGSTOP, a frozen container, a machine without time for it) finds all
//! its timers due at once, and the runtime has seen only some of its sockets: 1,024 in one turn. What
//! clients sent meanwhile is in the kernel, or is sent again by theirs. So nobody is ended by the clock
//! before the kernel itself was asked, past what the runtime knows of the socket ([`read_now`],
//! [`write_now`]); and who comes late to a deadline gives as much time again, once ([`Patience`]).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

/// Timers that are this late were not late by themselves: the gateway stood still.
const LATE: Duration = Duration::from_secs(1);

/// How late somebody comes to a deadline, if that is the gateway's own standstill.
pub fn late_by(due: Instant, now: Instant) -> Option<Duration> {
    Some(now.saturating_duration_since(due)).filter(|late| *late >= LATE)
}

/// One deadline of one stranger.
pub struct Patience {
    due: Instant,
    excused: bool,
}

impl Patience {
    pub fn new(wait: Duration) -> Patience {
        Patience { due: Instant::now() + wait, excused: false }
    }

    pub fn due(&self) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.due)
    }

    /// The deadline passed; false if it is a later one now.
    pub fn ends(&mut self, now: Instant) -> bool {
        let Some(late) = late_by(self.due, now).filter(|_| !self.excused) else { return true };
        self.excused = true;
        self.due = now + late;
        false
    }
}

/// Reads what the kernel has, whatever the runtime knows; None if that is nothing.
pub fn read_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    some(|| (&*SockRef::from(stream)).read(buffer))
}

/// Writes what the kernel takes, whatever the runtime knows; None if that is nothing.
pub fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    some(|| (&*SockRef::from(stream)).write(bytes))
}

fn some(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        return match attempt() {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Ok(None),
                ErrorKind::Interrupted => continue,
                _ => Err(error),
            },
        };
    }
}

/// Reads within the deadline; None if nothing came. Cancel safe.
pub async fn read_within(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    patience: &mut Patience,
) -> io::Result<Option<usize>> {
    loop {
        if let Ok(read) = timeout_at(patience.due(), stream.read(buffer)).await {
            return read.map(Some);
        }
        if let Some(count) = read_now(stream, buffer)? {
            return Ok(Some(count));
        }
        if patience.ends(Instant::now()) {
            return Ok(None);
        }
    }
}

/// Writes all of it within the deadline; false if that was not possible. Not cancel safe.
pub async fn write_within(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    patience: &mut Patience,
) -> io::Result<bool> {
    while !bytes.is_empty() {
        let written = match timeout_at(patience.due(), stream.write(bytes)).await {
            Ok(written) => Some(written?),
            Err(_) => write_now(stream, bytes)?,
        };
        match written {
            Some(0) => return Err(ErrorKind::WriteZero.into()),
            Some(count) => bytes = &bytes[count..],
            None if patience.ends(Instant::now()) => return Ok(false),
            None => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_gives_as_much_time_again_once() {
        let wait = Duration::from_secs(10);
        let mut punctual = Patience::new(wait);
        assert!(punctual.ends(punctual.due + LATE / 2), "on time");
        let mut patience = Patience::new(wait);
        let (due, stood_still) = (patience.due, Duration::from_secs(7));
        assert!(!patience.ends(due + stood_still));
        assert_eq!(patience.due, due + 2 * stood_still);
        assert!(patience.ends(due + 5 * stood_still), "but not twice");
    }

    /// Before the runtime has looked at the socket it takes it for empty.
    #[tokio::test]
    async fn the_kernel_knows_more_than_the_runtime() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        let (served, _) = listener.accept().await.expect("a connection");
        let mut buffer = [0; 8];
        assert_eq!(
            served.try_read(&mut buffer).map_err(|error| error.kind()),
            Err(ErrorKind::WouldBlock)
        );
        assert!(matches!(read_now(&served, &mut buffer), Ok(None)));
        client.write_all(b"ping").expect("it is connected");
        assert_eq!(
            served.try_read(&mut buffer).map_err(|error| error.kind()),
            Err(ErrorKind::WouldBlock)
        );
        // Loopback delivers before a write returns.
        assert!(matches!(read_now(&served, &mut buffer), Ok(Some(4))));
        assert!(matches!(write_now(&served, b"pong"), Ok(Some(4))));
        drop(client);
        let mut patience = Patience::new(Duration::from_secs(60));
        let mut served = served;
        let read = read_within(&mut served, &mut buffer, &mut patience).await;
        assert!(matches!(read, Ok(Some(0)) | Err(_)), "{read:?}");
    }
}
