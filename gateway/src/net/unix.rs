//! Sockets that are files, for programs on the same machine: whoever may write to the file may connect.

use std::fs::{Permissions, metadata, remove_file, set_permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// The gateway's user and group may connect.
const MODE: u32 = 0o660;

/// A socket file that is listened to, removed on drop.
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
}

impl SocketFile {
    /// Binds, in the place of a file that a process left behind; needs a tokio runtime.
    pub fn bind(path: &Path, backlog: i32) -> io::Result<SocketFile> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Nobody can connect before it listens, so nobody is let in by the file's first mode.
        set_permissions(path, Permissions::from_mode(MODE))?;
        socket.listen(backlog)?;
        let listener = UnixListener::from_std(socket.into())?;
        Ok(SocketFile { listener, path: path.to_owned() })
    }

    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What is left behind is removed at the next start.
        let _ = remove_file(&self.path);
    }
}

/// Removes a socket file to which nobody listens. Whatever else has the name stays, and binding fails.
fn remove_stale(path: &Path) -> io::Result<()> {
    match metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    match Caller::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => remove_file(path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Stale;

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("landfall-unix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("it can be made");
        folder
    }

    #[tokio::test]
    async fn a_file_left_behind_makes_room_and_one_in_use_does_not() {
        let path = folder().join("gateway.sock");
        drop(Stale::bind(&path).expect("it can be bound"));
        assert!(path.exists(), "it is left behind");
        let socket = SocketFile::bind(&path, 1).expect("nobody listens to it");
        let mode = metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let caller = Caller::connect(&path).expect("it listens");
        socket.accept().await.expect("somebody calls");
        drop(caller);
        let second = SocketFile::bind(&path, 1).err().map(|error| error.kind());
        assert_eq!(second, Some(ErrorKind::AddrInUse));
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "a file").expect("it can be written");
        assert!(SocketFile::bind(&path, 1).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("it stays"), "a file");
        std::fs::remove_dir_all(folder()).expect("it can be removed");
    }
}
