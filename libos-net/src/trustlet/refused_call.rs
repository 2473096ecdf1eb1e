//! System calls that the machine refuses to this process: counted by number, where the daemon reads them.
//!
//! The monitor's lockdown has the kernel send `SIGSYS` for a call that a function may not make. The handler
//! here counts the call in the instance page and lets it fail with `EPERM`, so that a function's author hears
//! which call it was instead of an error number alone. The kernel kills a process that must take a signal and
//! blocks it, so changes of what a thread blocks come here as well, and are made but for `SIGSYS`. It
//! protects nothing: a function that takes the handler away dies of its next refused call, and one
//! that writes other numbers into its own page lies about nobody but itself.
#![allow(
    unsafe_code,
    reason = "installs a signal handler, which answers a system call"
)]

use crate::region::memory::{MapError, OwnRegion};
use crate::sync::Ordering;
use hacher_data_path::region::layout::{REFUSED_CALLS, page_word};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::sync::OnceLock;

/// `si_code` of a `SIGSYS` by seccomp (siginfo.h). Any other comes from a process, which is none of these.
const SYS_SECCOMP: i32 = 1;
/// An entry: the call's number plus one, and how often.
const COUNT_BITS: u32 = 48;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Set once the handler is there.
static ANSWERED: OnceLock<()> = OnceLock::new();
/// The page that is written to. Its mapping is this module's own and is never undone, as a handler may run at
/// any time.
static PAGE: OnceLock<OwnRegion> = OnceLock::new();

/// Counts from now on, in a mapping of the instance page behind `page` of its own. Without effect where no
/// call is answered.
///
/// # Errors
/// When the page cannot be mapped once more.
pub(crate) fn count_in(page: &OwnedFd, len_bytes: usize) -> Result<(), MapError> {
    if ANSWERED.get().is_some() {
        // A process has one page; a second one would be ignored.
        let _ = PAGE.set(OwnRegion::map(page, len_bytes)?);
    }
    Ok(())
}

/// Answers refused calls from now on. To be called before the program is installed that has them signalled.
///
/// # Errors
/// When the kernel refuses the handler.
pub(crate) fn answer_all() -> Result<(), Errno> {
    // SAFETY: a `sigaction` is plain data, for which all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = answer;
    action.sa_sigaction = handler as usize;
    // On the thread's alternate stack, if it has one; and never masked, because the kernel kills whoever
    // masks it.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
    // SAFETY: `answer` does only what a signal handler may: it loads and stores atomics and its own
    // arguments.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, core::ptr::null_mut()) };
    if result == 0 {
        let _ = ANSWERED.set(());
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// The handler.
extern "C" fn answer(_signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler that asked for it.
    let code = unsafe { (*info).si_code };
    if code != SYS_SECCOMP {
        return;
    }
    // SAFETY: with this code the union holds `_sigsys`, whose first field is an address and whose second is
    // the number (struct siginfo in the kernel's asm-generic/siginfo.h).
    let number = unsafe { (*info.cast::<SigsysInfo>()).number };
    // SAFETY: the kernel passes a valid context, which it restores when the handler returns, and which nobody
    // else has.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let result = if libc::c_long::from(number) == libc::SYS_rt_sigprocmask {
        change_mask(context)
    } else {
        if let (Some(page), Ok(number)) = (PAGE.get(), u64::try_from(number)) {
            count(page, number);
        }
        -libc::EPERM
    };
    set_result(context, result);
}

/// Does what `rt_sigprocmask` would, but for blocking `SIGSYS`: in the mask that the kernel restores when the
/// handler returns.
fn change_mask(context: &mut libc::ucontext_t) -> i32 {
    const MASK_BYTES: usize = size_of::<u64>();
    let [how, set, old, len_bytes] = arguments(context);
    if len_bytes != MASK_BYTES {
        return -libc::EINVAL;
    }
    let mask = (&raw mut context.uc_sigmask).cast::<u64>();
    // SAFETY: the kernel's mask is the first word of the C library's, which is aligned for it.
    let before = unsafe { mask.read() };
    if set != 0 {
        let set = core::ptr::with_exposed_provenance::<u64>(set);
        // SAFETY: the caller of the system call says that a mask is there. If it is not, this process ends
        // where the kernel would have said EFAULT.
        let set = unsafe { set.read_unaligned() };
        let after = match i32::try_from(how) {
            Ok(libc::SIG_BLOCK) => before | set,
            Ok(libc::SIG_UNBLOCK) => before & !set,
            Ok(libc::SIG_SETMASK) => set,
            _ => return -libc::EINVAL,
        };
        // SAFETY: as for reading it.
        unsafe { mask.write(after & !(1 << (libc::SIGSYS - 1))) };
    }
    if old != 0 {
        let old = core::ptr::with_exposed_provenance_mut::<u64>(old);
        // SAFETY: as for the new mask.
        unsafe { old.write_unaligned(before) };
    }
    0
}

/// The start of `siginfo_t` for `SIGSYS` on machines of 64 bits.
#[repr(C)]
struct SigsysInfo {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    address: *mut libc::c_void,
    number: i32,
    architecture: u32,
}

/// The first four arguments of the system call.
#[cfg(target_arch = "x86_64")]
fn arguments(context: &libc::ucontext_t) -> [usize; 4] {
    [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10].map(|register| {
        let register = usize::try_from(register).ok();
        let value = register.and_then(|register| context.uc_mcontext.gregs.get(register));
        value
            .and_then(|value| usize::try_from(value.cast_unsigned()).ok())
            .unwrap_or(0)
    })
}

#[cfg(target_arch = "aarch64")]
fn arguments(context: &libc::ucontext_t) -> [usize; 4] {
    [0, 1, 2, 3].map(|register| {
        let value = context.uc_mcontext.regs.get(register);
        value.and_then(|value| usize::try_from(*value).ok()).unwrap_or(0)
    })
}

#[cfg(target_arch = "x86_64")]
fn set_result(context: &mut libc::ucontext_t, value: i32) {
    let register = usize::try_from(libc::REG_RAX).ok();
    if let Some(result) = register.and_then(|register| context.uc_mcontext.gregs.get_mut(register)) {
        *result = i64::from(value);
    }
}

#[cfg(target_arch = "aarch64")]
fn set_result(context: &mut libc::ucontext_t, value: i32) {
    if let Some(result) = context.uc_mcontext.regs.first_mut() {
        *result = i64::from(value).cast_unsigned();
    }
}

fn entry_at(entry: usize) -> usize {
    page_word::REFUSED_CALLS + entry * size_of::<u64>()
}

/// Adds one to the entry of `number`, takes a free one for it, or adds to the last entry, which stands for
/// all others.
fn count(page: &OwnRegion, number: u64) {
    let key = (number.min(u64::from(u16::MAX) - 2) + 1) << COUNT_BITS;
    for entry in 0..REFUSED_CALLS - 1 {
        let Some(word) = page.word(entry_at(entry)) else {
            return;
        };
        // SYNC relaxed: a count by itself; several threads may be in here.
        let counted = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
            let of_this = value == 0 || value & !COUNT_MASK == key;
            of_this.then_some(key | (value + 1) & COUNT_MASK)
        });
        if counted.is_ok() {
            return;
        }
    }
    if let Some(word) = page.word(entry_at(REFUSED_CALLS - 1)) {
        word.fetch_add(1, Ordering::Relaxed);
    }
}

/// A refused call, as an instance page tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedCall {
    /// Its number on this architecture; `None` for all those together that had no entry of their own left.
    pub number: Option<u64>,
    /// How often.
    pub count: u64,
}

/// Reads the entries of a page by its words. Whatever stands in there is hostile, and only told on.
pub(crate) fn read(word: impl Fn(usize) -> u64) -> Vec<RefusedCall> {
    let named = (0..REFUSED_CALLS - 1).filter_map(|entry| {
        let value = word(entry_at(entry));
        let number = (value >> COUNT_BITS).checked_sub(1)?;
        Some(RefusedCall {
            number: Some(number),
            count: value & COUNT_MASK,
        })
    });
    let others = word(entry_at(REFUSED_CALLS - 1));
    let others = (others > 0).then_some(RefusedCall {
        number: None,
        count: others,
    });
    named.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_data_path::region::layout::PAGE_BYTES;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    fn page() -> OwnRegion {
        let fd = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, PAGE_BYTES as u64).unwrap();
        OwnRegion::map(&fd, PAGE_BYTES).unwrap()
    }

    fn read_page(page: &OwnRegion) -> Vec<RefusedCall> {
        read(|at| page.word(at).map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    #[test]
    fn calls_are_counted_by_number_and_what_has_no_room_together() {
        let page = page();
        assert_eq!(read_page(&page), []);
        for number in 0..20 {
            for _ in 0..=number {
                count(&page, number);
            }
        }
        let calls = read_page(&page);
        assert_eq!(calls.len(), REFUSED_CALLS);
        for (at, call) in calls.iter().take(REFUSED_CALLS - 1).enumerate() {
            let number = at as u64;
            assert_eq!((call.number, call.count), (Some(number), number + 1));
        }
        let others: u64 = (16..=20).sum();
        assert_eq!(
            calls.last(),
            Some(&RefusedCall {
                number: None,
                count: others
            })
        );
    }

    #[test]
    fn any_bytes_in_a_page_can_be_read() {
        assert_eq!(read(|_| u64::MAX).len(), REFUSED_CALLS);
        assert_eq!(
            read(|_| COUNT_MASK),
            [RefusedCall {
                number: None,
                count: COUNT_MASK
            }]
        );
    }
}
