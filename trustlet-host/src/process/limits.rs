//! Bounds on what a jailed process can take from the machine (I6), as resource limits of the kernel.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Stack of the first thread. The stacks of others count as memory.
const STACK_BYTES: u64 = 8 << 20;

/// The limit on core dumps: none is that short. Not 0, which a handler behind a pipe (`kernel.core_pattern`)
/// is not bound by: it would be given all memory of the process. At exactly 1 the kernel starts none
/// (`do_coredump` in its fs/coredump.c).
pub(crate) const CORE_BYTES: u64 = 1;

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
pub(crate) fn set(resource: Resource, value: u64) -> Result<(), Errno> {
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
