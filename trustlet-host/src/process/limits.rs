//! Bounds on what a jailed process can take from the machine (I6), as resource limits of the kernel.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Stack of the first thread. The stacks of others count as memory.
const STACK_BYTES: u64 = 8 << 20;

/// The limit on core dumps: none is that short. Not 0, which a handler behind a pipe (`kernel.core_pattern`)
/// is not bound by: it would be given all memory of the process. At exactly 1 the kernel starts none
/// (`do_coredump` in its fs/coredump.c).
pub(super) const CORE_BYTES: u64 = 1;

/// Has the kernel write no core dump of this process and its children, nor hand one to a handler. Whether it
/// does not: where the hard limit is 0 and this process may not raise it, none is written to a file, but a
/// handler is started.
///
/// # Errors
/// What the kernel says.
pub(super) fn forbid_core_dumps() -> Result<bool, Errno> {
    let exactly = Rlimit {
        current: Some(CORE_BYTES),
        maximum: Some(CORE_BYTES),
    };
    if setrlimit(Resource::Core, exactly).is_ok() {
        return Ok(true);
    }
    set(Resource::Core, CORE_BYTES)?;
    Ok(false)
}

/// What a jailed process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Private writable memory in bytes: heap, thread stacks, initialised data. What is mapped from regions
    /// does not count, and no other shared memory can be made. Beyond it, allocations fail.
    pub memory_bytes: u64,
    /// Size of `/tmp` in bytes; 0: there is none.
    pub scratch_bytes: u64,
    /// Most threads at one time, the first included.
    pub threads: u32,
    /// Most open descriptors: every descriptor number is below it. Fewer where the machine does not allow as
    /// many.
    pub open_files: u32,
    /// Fewest open descriptors that it can work with.
    pub open_files_min: u32,
}

/// Sets the limits of this process for good. `count_threads`: it is alone in its user namespace; otherwise
/// the limit would count the other processes of the same user.
pub(super) fn apply(limits: &Limits, count_threads: bool) -> Result<(), Errno> {
    set(Resource::Core, CORE_BYTES)?;
    set(Resource::Data, limits.memory_bytes)?;
    set(Resource::Stack, STACK_BYTES)?;
    // Of a file; the sum is bounded by the size of the scratch file system. Without one there is no file that
    // the process could open for writing, and its standard output may well be a file that somebody gave
    // it.
    if limits.scratch_bytes > 0 {
        set(Resource::Fsize, limits.scratch_bytes)?;
    }
    set(Resource::Memlock, 0)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Rtprio, 0)?;
    if count_threads {
        set(Resource::Nproc, u64::from(limits.threads))?;
    }
    set(Resource::Nofile, u64::from(limits.open_files))
}

/// Soft and hard limit, never above the present hard limit.
///
/// # Errors
/// What the kernel says.
pub(super) fn set(resource: Resource, value: u64) -> Result<(), Errno> {
    let present = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = value.min(present);
    setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use rustix::process::getrlimit;

    #[test]
    fn a_hard_limit_of_0_on_core_dumps_is_raised_to_1_by_whoever_may() {
        let is_root = rustix::process::getuid().is_root();
        let mut child = super::super::fork::fork(0, || {
            if set(Resource::Core, 0).is_err() {
                return 1;
            }
            let forbidden = forbid_core_dumps();
            let limit = getrlimit(Resource::Core).maximum;
            match forbidden {
                Ok(true) if limit == Some(CORE_BYTES) => 0,
                Ok(false) if limit == Some(0) => 2,
                _ => 3,
            }
        })
        .unwrap();
        let status = child.wait_for(Duration::from_secs(60)).unwrap().unwrap();
        // Root may have lost the right, as in some containers.
        let code = status.exit_status();
        assert!(code == Some(0) || code == Some(2), "{code:?}");
        assert!(is_root || code == Some(2), "nobody else may");
    }
}
