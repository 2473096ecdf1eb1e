//! The socket of operators at a path.
//!
//! A socket that nobody listens on is what a service left that was killed, and is replaced; anything else at
//! the path is left alone. Of two services that start at once one gets the path: both take turns by a lock on
//! its folder, from looking at what is there to listening.

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// Operators that wait to be accepted.
const BACKLOG: i32 = 128;
/// How often the lock is tried, and how long to wait in between: whoever has it needs microseconds.
const LOCK_TRIED_MAX: u32 = 100;
const LOCK_TRIED_EVERY: Duration = Duration::from_millis(20);

/// Listens at a path that its owner alone may connect to. Never waits for whoever listens there already.
///
/// # Errors
/// `AddrInUse` where somebody listens, `AlreadyExists` where something else than a socket is there; what the
/// kernel says.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let _turn = turn(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is not a socket",
            ));
        }
        Ok(_) if is_in_use(path)? => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // From its first moment on: what bind(2) makes has the permissions of the socket.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether somebody listens at a path. A listener whose queue is full is one as well, and is not waited for.
fn is_in_use(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => Ok(false),
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// The turn of this process at a path: no other looks at it, or listens there, while this is open.
fn turn(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = File::options()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(folder.unwrap_or(Path::new(".")))?;
    for _ in 0..LOCK_TRIED_MAX {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_TRIED_EVERY),
            // A file system without locks cannot help it.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => return Ok(folder),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::WouldBlock,
        "another process holds a lock on the folder",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_nobody_listens_on_is_replaced_and_whoever_listens_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(listen(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_listener_that_accepts_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let stuck = listen(&path).unwrap();
        rustix::net::listen(&stuck, 0).unwrap();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let mut queue = Vec::new();
        loop {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            if connect(&socket, &SocketAddrUnix::new(&path).unwrap()).is_err() {
                break;
            }
            queue.push(socket);
        }
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn of_many_that_start_at_once_where_one_was_killed_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for _ in 0..20 {
            // What a service leaves that was killed.
            drop(UnixListener::bind(&path).unwrap());
            let listeners: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| listen(&path))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let won: Vec<_> = listeners.into_iter().filter_map(Result::ok).collect();
            assert_eq!(won.len(), 1);
            assert!(UnixStream::connect(&path).is_ok(), "it is the one at the path");
            fs::remove_file(&path).unwrap();
        }
    }
}
