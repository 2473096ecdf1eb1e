//! System calls that the machine refuses to this process: counted by number, where the daemon reads them.
//!
//! The monitor's lockdown has the kernel send `SIGSYS` for a call that a function may not make. The handler
//! here counts the call in the instance page and lets it fail with `EPERM`, so that a function's author hears
//! which call it was instead of an error number alone. The kernel kills a process that must take a signal and
//! blocks it, so changes of what a thread blocks come here as well, and are made but for `SIGSYS`. What a new
//! thread does first does not come here: until it has set the mask that it is to have, it blocks all signals,
//! and it may have been started just before the lockdown. The handler protects nothing: a function that takes
//! it away dies of its next refused call, and one that writes other numbers into its own page lies about
//! nobody but itself.
#![allow(
    unsafe_code,
    reason = "installs a signal handler, which answers a system call"
)]

use crate::region::mapping::{self, MapError};
use hacher_data_path::page::refused_call::count;
use hacher_data_path::region::memory::OwnRegion;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::sync::OnceLock;

/// `si_code` of a `SIGSYS` by seccomp (siginfo.h). Any other comes from a process, which is none of these.
const SYS_SECCOMP: i32 = 1;

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
        let _ = PAGE.set(mapping::own(page, len_bytes)?);
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
