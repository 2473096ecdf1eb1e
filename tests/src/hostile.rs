//! A function that tries what no function may do, and reports what became of each attempt.
#![allow(
    unsafe_code,
    reason = "makes system calls that no safe interface offers, as an attacker would"
)]

use hacher_libos_net::{Failure, Input, Output};
use std::ffi::CString;
use std::fmt::Write as _;
use std::io;

/// Does everything that is forbidden; the output has a line for each, `refused` or `ALLOWED` first.
///
/// # Errors
/// When there is no input.
pub fn try_everything(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let chain_file = String::from_utf8_lossy(input.bytes()?).into_owned();
    output.send(report(&chain_file, Vec::new()).as_bytes())
}

/// What became of everything that is forbidden, and of `more`.
#[must_use]
pub fn report(chain_file: &str, more: Vec<(&'static str, io::Result<()>)>) -> String {
    let mut report = String::new();
    let mut attempt = |what: &str, result: io::Result<()>| {
        let _ = match result {
            Ok(()) => writeln!(report, "ALLOWED {what}"),
            Err(error) => writeln!(report, "refused {what}: {error}"),
        };
    };
    attempt(
        "open a file of the machine",
        std::fs::read("/etc/os-release").map(drop),
    );
    attempt("open the chain file", std::fs::read(chain_file).map(drop));
    attempt("create a file outside scratch", std::fs::write("/hostile", b"x"));
    attempt("list processes", std::fs::read_dir("/proc").map(drop));
    attempt(
        "connect to a TCP address",
        std::net::TcpStream::connect("127.0.0.1:22").map(drop),
    );
    attempt(
        "send a UDP packet",
        std::net::UdpSocket::bind("127.0.0.1:0").map(drop),
    );
    attempt(
        "make a Unix socket",
        std::os::unix::net::UnixDatagram::unbound().map(drop),
    );
    attempt(
        "execute another program",
        std::process::Command::new("/bin/true").status().map(drop),
    );
    for (what, result) in forbidden_calls().into_iter().chain(more) {
        attempt(what, result);
    }
    report
}

/// The result of a system call.
pub(crate) fn checked(result: libc::c_long) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn forbidden_calls() -> Vec<(&'static str, io::Result<()>)> {
    let root = CString::default();
    let slash = CString::new("/").unwrap_or_default();
    // SAFETY: each is a system call with valid or null pointers; what it might do is what the jail must
    // refuse.
    let ptrace = unsafe { libc::ptrace(libc::PTRACE_ATTACH, 2, 0, 0) };
    let traced = checked(ptrace);
    // SAFETY: as above.
    let mount = unsafe {
        libc::mount(
            root.as_ptr(),
            slash.as_ptr(),
            root.as_ptr(),
            libc::MS_BIND,
            core::ptr::null(),
        )
    };
    let mounted = checked(libc::c_long::from(mount));
    // SAFETY: as above.
    let unshare = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    let unshared = checked(libc::c_long::from(unshare));
    // SAFETY: as above; a child that came to be would be this program again, so it ends at once.
    let fork = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if fork == 0 {
        std::process::abort();
    }
    let forked = checked(fork);
    // SAFETY: as above.
    let memfd = unsafe { libc::syscall(libc::SYS_memfd_create, slash.as_ptr(), 0) };
    let made = checked(memfd);
    // SAFETY: a fresh mapping; nothing of this program is touched.
    let code = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    let executable = if code == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    };
    // SAFETY: a signal 0 sends nothing.
    let kill = unsafe { libc::kill(-1, libc::SIGKILL) };
    let killed = checked(libc::c_long::from(kill));
    // SAFETY: asks for a ring of io_uring with a null parameter block.
    let uring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, core::ptr::null::<u8>()) };
    let ringed = checked(uring);
    vec![
        ("ptrace", traced),
        ("mount", mounted),
        ("make a namespace", unshared),
        ("fork", forked),
        ("make a memfd", made),
        ("map executable memory", executable),
        ("kill all others", killed),
        ("set up io_uring", ringed),
    ]
}
