//! What a trustlet does to its own process: takes the channel that it was born with, gives up what it needs
//! no more, and says when something is refused to it or it dies.
#![allow(
    unsafe_code,
    reason = "takes an inherited descriptor, installs a seccomp program by system call, and sets up the allocator"
)]

pub(crate) mod last_words;
pub(crate) mod refused_call;

#[cfg(target_env = "gnu")]
use core::ffi::c_int;
use core::ffi::c_ushort;
use hacher_data_path::attach::message::CHANNEL_FD;
use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Takes the channel to the monitor, if this process was started by one. From then on what this process holds
/// is dumped nowhere and seen by nobody but root, whatever `fs.suid_dumpable` made of it when its program was
/// executed.
#[must_use]
pub fn take_channel() -> Option<OwnedFd> {
    // SAFETY: only asked what it is; a number that is no open descriptor gives an error.
    let fd = unsafe { BorrowedFd::borrow_raw(CHANNEL_FD) };
    let is_channel = rustix::net::sockopt::socket_type(fd) == Ok(SocketType::SEQPACKET)
        && rustix::net::sockopt::socket_domain(fd) == Ok(AddressFamily::UNIX);
    if is_channel {
        // Nothing that a process may do to itself is refused here; and there are other layers.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        // It came through one exec and goes through no other: keys come by it.
        let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
    // SAFETY: a descriptor that the monitor made for us at this number; nothing else in this process owns it,
    // as this is called once, before anything was opened.
    is_channel.then(|| unsafe { OwnedFd::from_raw_fd(CHANNEL_FD) })
}

/// Layout of `struct sock_fprog` (linux/filter.h).
#[repr(C)]
struct Program {
    len: c_ushort,
    filter: *const u8,
}

/// Bytes of one `struct sock_filter`.
const INSTRUCTION_BYTES: usize = 8;

/// Installs a seccomp program, for all threads of this process: a function in another language may have
/// started some while it was loaded.
///
/// # Errors
/// `Errno::INVAL` for bytes that are no program, `Errno::SRCH` if a thread has programs of its own, else what
/// the kernel says.
pub fn lock_down(program: &[u8]) -> Result<(), Errno> {
    let count = program.len() / INSTRUCTION_BYTES;
    if count == 0 || !program.len().is_multiple_of(INSTRUCTION_BYTES) {
        return Err(Errno::INVAL);
    }
    let program = Program {
        len: c_ushort::try_from(count).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr(),
    };
    // SAFETY: `program` points to `len` instructions, which the kernel copies and checks before it returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            core::ptr::from_ref(&program),
        )
    };
    if result == 0 {
        return Ok(());
    }
    // The number of the thread that could not follow.
    if result > 0 {
        return Err(Errno::SRCH);
    }
    let code = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    Err(Errno::from_raw_os_error(code))
}

/// Has the allocator keep up to `bytes` of free memory at the end of its heap. glibc returns it to the kernel
/// from 128 KiB on, so a process that allocates and frees records of 64 KiB pays for new pages each time.
/// With other C libraries nothing changes.
pub fn keep_freed_memory(bytes: u32) {
    #[cfg(target_env = "gnu")]
    {
        let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        // Setting one sets the other, which would grow with what is freed, for good: to what it would become.
        for limit in [libc::M_TRIM_THRESHOLD, libc::M_MMAP_THRESHOLD] {
            // SAFETY: sets a number that the allocator reads under its own lock.
            let _ = unsafe { libc::mallopt(limit, bytes) };
        }
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often this thread was the first to touch a page (`minflt`, proc_pid_stat(5)).
    #[cfg(target_env = "gnu")]
    fn pages_first_touched() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The name before the last parenthesis can hold anything.
        let (_, after_the_name) = stat.rsplit_once(") ").unwrap();
        after_the_name.split(' ').nth(7).unwrap().parse().unwrap()
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn memory_of_records_that_were_freed_is_used_again() {
        const BODY_BYTES: usize = 64 << 10;
        let records = || -> Vec<Vec<u8>> { (0..4).map(|fill| vec![fill; BODY_BYTES]).collect() };
        keep_freed_memory(1 << 20);
        drop(std::hint::black_box(records()));
        let before = pages_first_touched();
        for _ in 0..50 {
            drop(std::hint::black_box(records()));
        }
        // The kernel would give each page of each record anew: 3,200.
        let pages = pages_first_touched() - before;
        assert!(pages < 400, "{pages} pages were given back and taken again");
    }

    #[test]
    fn bytes_that_are_no_program_are_refused() {
        assert_eq!(lock_down(&[]), Err(Errno::INVAL));
        assert_eq!(lock_down(&[0; 7]), Err(Errno::INVAL));
    }
}
