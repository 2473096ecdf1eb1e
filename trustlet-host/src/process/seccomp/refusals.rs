//! Calls that are refused to a function with programs of its own: the kernel holds each until the monitor has
//! heard of it, and the monitor has it fail with `EPERM` (seccomp_unotify(2)).
//!
//! A function without programs counts its refused calls itself, in a signal handler; but handlers do not
//! outlive `execve`. And whoever holds this descriptor can have a refused call go through, so it is the
//! monitor and nobody in the trustlet. A call is told from its number alone: nothing that the caller's memory
//! holds is looked at, so nothing can change under the eyes of the monitor.
#![allow(
    unsafe_code,
    reason = "installs a seccomp program by system call, and answers by ioctl"
)]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use seccompiler::BpfProgram;

/// `SECCOMP_RET_USER_NOTIF` (linux/seccomp.h).
pub(super) const RETURN_NOTICE: u32 = 0x7fc0_0000;

/// Installs a program in this thread, for good, and returns the descriptor by which its refusals are heard
/// of.
pub(super) fn install(program: &BpfProgram) -> Result<OwnedFd, Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `program` points to `len` instructions of the kernel's layout, which it copies and checks
    // before it returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let number = RawFd::try_from(result).ok().filter(|&number| number >= 0);
    let number = number.ok_or_else(last_errno)?;
    // SAFETY: the kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Where the monitor hears of one trustlet's refused calls.
#[derive(Debug)]
pub struct Refusals(OwnedFd);

impl Refusals {
    pub(in crate::process) const fn new(listener: OwnedFd) -> Self {
        Self(listener)
    }

    /// Has the call that has waited longest fail with `EPERM`: its number. `None` if none waits, or its
    /// process is gone. Does not wait itself.
    ///
    /// # Errors
    /// `Errno::SRCH` once no process of the trustlet is left; else what the kernel says.
    pub fn refuse_next(&self) -> Result<Option<u64>, Errno> {
        // The kernel may keep whoever asks for a call where none waits; that one is there, nobody else takes
        // it.
        let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec::default()))?;
        let [waiting] = waiting.map(|waiting| waiting.revents());
        if !waiting.contains(PollFlags::IN) {
            return if waiting.is_empty() {
                Ok(None)
            } else {
                Err(Errno::SRCH)
            };
        }
        // SAFETY: plain data, for which all zeros is a valid value, and the one that the kernel wants.
        let mut notice: libc::seccomp_notif = unsafe { core::mem::zeroed() };
        match self.control(RECEIVE, (&raw mut notice).cast()) {
            // Its process was killed meanwhile, or is to handle a signal first.
            Err(Errno::NOENT | Errno::INTR) => return Ok(None),
            other => other?,
        }
        let mut answer = libc::seccomp_notif_resp {
            id: notice.id,
            val: 0,
            error: -libc::EPERM,
            flags: 0,
        };
        match self.control(SEND, (&raw mut answer).cast()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        Ok(u64::try_from(notice.data.nr).ok())
    }

    /// One of the two requests below.
    fn control(&self, request: libc::Ioctl, structure: *mut libc::c_void) -> Result<(), Errno> {
        // SAFETY: the kernel reads and writes one structure of the request's kind, which outlives the call.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request, structure) };
        if result < 0 { Err(last_errno()) } else { Ok(()) }
    }
}

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND`, which hold the size of their structures: it has
/// been the same since Linux 5.0.
const RECEIVE: libc::Ioctl = 0xc050_2100;
const SEND: libc::Ioctl = 0xc018_2101;
const _: () = assert!(size_of::<libc::seccomp_notif>() == 0x50);
const _: () = assert!(size_of::<libc::seccomp_notif_resp>() == 0x18);

impl AsFd for Refusals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
