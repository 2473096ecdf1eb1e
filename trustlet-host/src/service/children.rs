//! The monitor's own children, which are no trustlets: the loader, with the rights of whoever started the
//! service, and the daemon, with none. And the signals that the monitor takes.
#![allow(
    unsafe_code,
    reason = "signalfd and pidfd_open by system call; a parent-death signal between fork and exec"
)]

use crate::linux::patience::BURIAL_MAX;
use crate::machine::{Machine, OwnLaunch, OwnProgram};
use crate::platform::PlatformError;
use crate::scribe;
use hacher_libos_net::attach::{CHANNEL_FD, seqpacket};
use hacher_libos_net::clock::Monotonic;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// In the loader's environment if what it says reaches a terminal, which it does not have itself.
pub const LOADER_TERMINAL: &str = "HACHER_LOADER_TERMINAL";

/// What the daemon may use, where the machine allows as much.
const DAEMON_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
const DAEMON_OPEN_FILES: u32 = 16 * 1024;
/// Descriptors of a daemon besides those of instances: standard ones, channel, event loop, bell, the
/// operators' socket and some connections.
const DAEMON_OPEN_FILES_MIN: u32 = 24;
/// Descriptors of a daemon for each instance: its page and its log.
const DAEMON_OPEN_FILES_OF_INSTANCE: u32 = 2;

/// What the scribe may use: a line of each source.
const SCRIBE_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
const SCRIBE_OPEN_FILES: (u32, u32) = (64, 16);

/// Threads of either: its own, and for the scribe one for each output.
const OWN_THREADS: u32 = 4;

/// The loader's process.
pub(super) struct Loader {
    child: std::process::Child,
    /// Its calls come in here.
    pub(super) socket: OwnedFd,
    /// Readable once it has ended.
    pub(super) pidfd: OwnedFd,
    /// It has closed its socket, and is given up if it has not ended by then.
    pub(super) exit_due: Option<Monotonic>,
}

impl Loader {
    /// Waits for it, which has ended.
    pub(super) fn exit_code(&mut self) -> u8 {
        let status = self.child.wait().ok();
        status
            .and_then(|status| status.code())
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1)
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        // Fails for one that has ended.
        let _ = self.child.kill();
        // One that a file system keeps in the kernel does not keep the monitor.
        let mut gone = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let _ = poll(&mut gone, Some(&BURIAL_MAX));
        let _ = self.child.try_wait();
    }
}

/// Starts `executable`, which is `hacher-fabric`, as the loader, with these words and its call socket at the
/// number where trustlets have their channel.
///
/// # Errors
/// When descriptors or processes are short.
pub(super) fn start_loader(
    executable: BorrowedFd<'_>,
    words: &[OsString],
    [stdout, stderr]: [BorrowedFd<'_>; 2],
    to_terminal: bool,
) -> io::Result<Loader> {
    let (ours, theirs) = seqpacket::pair()?;
    // The file that the daemon was copied from, whatever its path names by now.
    let mut command = Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone_to_owned()?)
        .stderr(stderr.try_clone_to_owned()?);
    if to_terminal {
        command.env(LOADER_TERMINAL, "1");
    }
    if let Some((name, rest)) = words.split_first() {
        command.arg0(name).args(rest);
    }
    let number = theirs.as_raw_fd();
    let monitor = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls are made, on values copied before the fork.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if rustix::process::getppid() != Some(monitor) {
                // It ended before its end was a signal.
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            unblock_signals()?;
            place_channel(number)
        });
    }
    let child = command.spawn()?;
    drop(theirs);
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Loader {
        child,
        socket: ours,
        pidfd,
        exit_due: None,
    })
}

/// In the child: a duplicate of `number` at the channel's number, kept open across exec.
fn place_channel(number: i32) -> io::Result<()> {
    if number == CHANNEL_FD {
        // SAFETY: a number that this process has open; only a flag of it changes.
        let done = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        return if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        };
    }
    // SAFETY: duplicates a number that this process has open; what was at the target is the monitor's, and
    // this child's copy of it is not needed.
    let done = unsafe { libc::dup2(number, CHANNEL_FD) };
    if done == CHANNEL_FD {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Starts the daemon of `instance_count` instances.
pub(super) fn start_daemon<M: Machine>(
    machine: &M,
    program: &OwnProgram<M>,
    arguments: &[OsString],
    channel: BorrowedFd<'_>,
    outputs: Option<[BorrowedFd<'_>; 2]>,
    instance_count: u32,
) -> Result<M::OwnProcess, PlatformError> {
    let args: Vec<&OsStr> = arguments.iter().skip(1).map(OsString::as_os_str).collect();
    let argv0 = arguments
        .first()
        .map_or("hacher-daemon".as_ref(), OsString::as_os_str);
    let least = DAEMON_OPEN_FILES_MIN + DAEMON_OPEN_FILES_OF_INSTANCE * instance_count;
    machine.start_own(
        program,
        &OwnLaunch {
            name: "hacher-daemon",
            arguments: (argv0, &args),
            memory_bytes: DAEMON_MEMORY_BYTES,
            threads: OWN_THREADS,
            descriptors: (DAEMON_OPEN_FILES, least),
            outputs,
            channel,
        },
    )
}

/// Starts the scribe, with standard output and standard error as the service has them.
pub(super) fn start_scribe<M: Machine>(
    machine: &M,
    program: &OwnProgram<M>,
    channel: BorrowedFd<'_>,
    outputs: [BorrowedFd<'_>; 2],
) -> Result<M::OwnProcess, PlatformError> {
    machine.start_own(
        program,
        &OwnLaunch {
            name: scribe::ROLE,
            arguments: (scribe::ROLE.as_ref(), &[]),
            memory_bytes: SCRIBE_MEMORY_BYTES,
            threads: OWN_THREADS,
            descriptors: SCRIBE_OPEN_FILES,
            outputs: Some(outputs),
            channel,
        },
    )
}

/// The sockets that a service manager has opened at 3 and above, one for each of `names`. Called once, before
/// this process opens anything; numbers that are no open descriptors are passed over.
pub(super) fn inherited_sockets(names: Vec<String>) -> Vec<(String, OwnedFd)> {
    const FIRST: i32 = 3;
    let numbered = (FIRST..).zip(names);
    let open = numbered.filter(|&(number, _)| {
        // SAFETY: only a flag of the number is set, so that no other program gets it; for one that is not
        // open this is an error.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0 }
    });
    // SAFETY: open, and handed to this process for it to own; nothing else here does, as this is called once
    // and first.
    open.map(|(number, name)| (name, unsafe { OwnedFd::from_raw_fd(number) }))
        .collect()
}

/// A file that another executable has left open at this number when it became this one. Called once for each.
pub(super) fn inherited_file(number: i32) -> Option<OwnedFd> {
    // SAFETY: only a flag of the number is set, so that no other program gets it; for one that is not open
    // this is an error.
    let is_open = number >= 0 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0 };
    // SAFETY: open, and handed to this process for it to own; nothing else here does.
    is_open.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// The signals that the monitor takes through a descriptor.
fn taken_signals() -> libc::sigset_t {
    // SAFETY: a signal set is plain data for which zeros are valid; it is initialised right below.
    let mut set = unsafe { core::mem::zeroed::<libc::sigset_t>() };
    // SAFETY: `set` is ours.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: `set` is initialised, the numbers are valid.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// A descriptor from which SIGTERM, SIGINT and SIGHUP are read; they have no other effect from here on.
pub(super) fn signals() -> io::Result<OwnedFd> {
    let set = taken_signals();
    // SAFETY: changes this thread's mask; the set is initialised.
    let blocked = unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut()) };
    if blocked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: makes a new descriptor; the set is initialised.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// In a child: takes signals as usual again.
fn unblock_signals() -> io::Result<()> {
    let set = taken_signals();
    // SAFETY: changes this thread's mask; the set is initialised.
    let done = unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, core::ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has a file that reaches its limit be an error, not the end of the monitor: regions are files in memory
/// (setrlimit(2)).
pub(super) fn outlive_file_limits() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// How somebody asks the service to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGTERM: a service manager, or an operator.
    Ordered,
    /// SIGINT: somebody at a terminal.
    Interrupted,
}

/// What signals ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// To stop.
    pub(super) stop: Option<Stop>,
    /// To look at files that may have been replaced. A terminal that goes asks for no more than that.
    pub(super) look: bool,
}

/// Reads what has come.
pub(super) fn take_signals(signals: &OwnedFd) -> Asked {
    let mut asked = Asked::default();
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    while rustix::io::read(signals, &mut info) == Ok(info.len()) {
        let number = info.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let is = |signal: i32| u32::try_from(signal) == Ok(number);
        if is(libc::SIGTERM) {
            asked.stop = Some(Stop::Ordered);
        } else if is(libc::SIGINT) {
            asked.stop = asked.stop.or(Some(Stop::Interrupted));
        }
        asked.look |= is(libc::SIGHUP);
    }
    asked
}
