//! The network of a function with programs of its own: a loopback interface in a namespace that nothing else
//! is in, and nothing leads out of.
#![allow(
    unsafe_code,
    reason = "an interface is brought up by ioctl, which has no safe wrapper"
)]

use rustix::fd::AsRawFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Bytes that one TCP socket may hold in either direction: least, at first, at most. The kernel's own bounds
/// are megabytes, which no limit of a process counts.
const SOCKET_BYTES: &[u8] = b"4096 65536 262144";

/// Connections that wait on a listening socket to be accepted, of any family. What was sent over each of them
/// stays in memory, also when its sender has gone, so without this bound one socket could hold gigabytes. A
/// program that asks for more gets as many.
const BACKLOG: &[u8] = b"128";

/// Brings up the loopback interface of this process's network namespace. Needs capabilities over it, and the
/// machine's own `/proc`.
pub(super) fn bring_up_loopback() -> Result<(), Errno> {
    for file in ["ipv4/tcp_rmem", "ipv4/tcp_wmem"] {
        set(file, SOCKET_BYTES)?;
    }
    set("core/somaxconn", BACKLOG)?;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: the kernel reads one `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}

/// Changes a setting of this network namespace. Some are not there before Linux 6.9 unless root owns the
/// namespace; and in a container whose runtime has made these files read-only, what the
/// machine gives all its sockets together is the only bound.
fn set(file: &str, value: &[u8]) -> Result<(), Errno> {
    let path = format!("/proc/sys/net/{file}");
    match openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(setting) => write(&setting, value).map(|_| ()),
        Err(Errno::NOENT | Errno::ROFS | Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}
