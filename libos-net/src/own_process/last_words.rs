//! The last words of a process that aborts: why, in a word of its instance page, where its replacement and
//! the daemon find them. An abort itself only leaves a signal, which says neither that memory was used up nor
//! that a stack was.
//!
//! Said by a handler of SIGABRT: it runs on the aborting thread, before the process goes. What it knows:
//!
//! - a panic that does not unwind has been seen by the panic hook, on the same thread;
//! - Rust's handler of a stack overflow aborts on the alternate signal stack, where nothing else does. Of the
//!   first thread's stack Rust does not know where it ends, as a trustlet has no `/proc`: a handler of
//!   SIGSEGV does;
//! - a failed allocation leaves `ENOMEM` in `errno`, which [`begin_run`] has set to 0; or memory is so short
//!   that not even a page can be had now.
//!
//! A signal that another process has sent says nothing: programs that the function starts can send it any.
//! The kernel says where a signal comes from, in a word that no other process can make up: a fault has a
//! positive code, and a signal to a thread (`SI_TKILL`) names its sender (`do_rt_sigqueueinfo` in the
//! kernel's kernel/signal.c). Nor does a copy of the process say anything, which has the handlers until it
//! executes something else.
//!
//! Who is out of threads or descriptors panics, as a rule, in an `unwrap`. The hook reads the number of the
//! error in the panic's message, and tries whether a thread can be started now.
#![allow(unsafe_code, reason = "handles a signal, and asks the C library for errno")]

use core::cell::Cell;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use hacher_data_path::fault::end::LastWords;
use hacher_data_path::hop::Own;
use hacher_data_path::region::layout::page_word;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

/// Where the words go: the word of the instance page, which stays mapped for as long as the process lives.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
/// The thread that panicked last and has not caught it, and what it is to say: the kernel's thread id above
/// the word.
static PANICKED: AtomicU64 = AtomicU64::new(0);

/// The process that says them.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// About where the stack of the first thread ends.
static STACK_END: AtomicUsize = AtomicUsize::new(0);
/// How SIGSEGV was handled before.
static FAULTS_BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// How far from there a fault can be: what lies above the frame that measured it, and how far one frame
/// reaches down.
const STACK_END_NEAR_BYTES: usize = 1024 * 1024;
/// What is tried, to find out whether there is memory.
const PROBE_BYTES: usize = 64 * 1024;
/// The stack that a thread gets unless its starter says otherwise.
const THREAD_STACK_BYTES: usize = 2 * 1024 * 1024;

thread_local! {
    static LAST_PANIC: Cell<LastWords> = const { Cell::new(LastWords::Panicked) };
    /// [`errno_at`], once it was asked for: asking before each run would fetch one more page of code.
    static ERRNO: Cell<*mut libc::c_int> = const { Cell::new(core::ptr::null_mut()) };
}

/// Has this process say last words in the page of `own`, for good.
pub(crate) fn install(own: &Own) {
    if let Some(word) = own.word(page_word::LAST_WORDS) {
        PROCESS.store(process_id(), Ordering::Relaxed);
        WORD.store(core::ptr::from_ref(word).cast_mut(), Ordering::Release);
    }
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        note_panic(info);
        print(info);
    }));
    handle_abort();
    handle_faults();
}

fn handle_abort() {
    // SAFETY: `sigaction` is plain data, for which all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_abort;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // No SA_ONSTACK: the handler stays on the stack of whoever aborts, and sees which that is.
    // SAFETY: `on_abort` does what is safe in a handler alone: system calls, and loads and stores of atomics.
    let _ = unsafe { libc::sigaction(libc::SIGABRT, &raw const action, core::ptr::null_mut()) };
}

fn handle_faults() {
    let stack = rustix::process::getrlimit(rustix::process::Resource::Stack);
    let here = 0_u8;
    let end = stack
        .current
        .and_then(|bytes| usize::try_from(bytes).ok())
        .and_then(|bytes| (&raw const here).addr().checked_sub(bytes));
    let Some(end) = end else { return };
    STACK_END.store(end, Ordering::Relaxed);
    // SAFETY: as in `handle_abort`.
    let mut before: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: only asks for the present action.
    let asked = unsafe { libc::sigaction(libc::SIGSEGV, core::ptr::null(), &raw mut before) };
    if asked != 0 || FAULTS_BEFORE.set(before).is_err() {
        return;
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    action.sa_sigaction = handler as libc::sighandler_t;
    // On the alternate stack, which Rust's runtime has given each of its threads: there may be no other.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `on_fault` does what is safe in a handler alone.
    let _ = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, core::ptr::null_mut()) };
}

/// Says whether the first thread's stack has overflowed, and leaves the fault to whoever handled it before:
/// it happens again.
extern "C" fn on_fault(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let end = STACK_END.load(Ordering::Relaxed);
    // SAFETY: null, or what the kernel tells a handler that asked for it.
    if let Some(info) = unsafe { info.as_ref() } {
        if info.si_code <= 0 {
            // A process has sent it: nothing has happened, and nothing happens again.
            return;
        }
        // SAFETY: the address is there for SIGSEGV.
        let at = unsafe { info.si_addr() }.addr();
        if at.abs_diff(end) < STACK_END_NEAR_BYTES {
            say(LastWords::StackOverflow);
        }
    }
    if let Some(before) = FAULTS_BEFORE.get() {
        // SAFETY: the action that held before this one.
        let _ = unsafe { libc::sigaction(libc::SIGSEGV, before, core::ptr::null_mut()) };
    }
}

/// Writes the words.
fn say(words: LastWords) {
    if process_id() != PROCESS.load(Ordering::Relaxed) {
        // A copy, in which the page is not mapped; or one that shares all memory, and is about to execute
        // something else.
        return;
    }
    let word = WORD.load(Ordering::Acquire);
    // SAFETY: null, or the address of a word in the instance page, which is never unmapped while the trustlet
    // serves.
    if let Some(word) = unsafe { word.as_ref() } {
        word.store(words.word(), Ordering::Relaxed);
    }
}

/// Before a run: forgets what earlier ones on this thread have left in `errno`.
pub(crate) fn begin_run() {
    let mut at = ERRNO.get();
    if at.is_null() {
        at = errno_at();
        ERRNO.set(at);
    }
    // SAFETY: the C library returned this address on this thread, for as long as the thread lives.
    unsafe { at.write(0) };
}

/// Where the C library keeps this thread's `errno`.
fn errno_at() -> *mut libc::c_int {
    // SAFETY: has no precondition.
    unsafe { libc::__errno_location() }
}

fn errno() -> libc::c_int {
    // SAFETY: the C library returns a valid address that belongs to this thread.
    unsafe { errno_at().read() }
}

fn set_errno(number: libc::c_int) {
    // SAFETY: as in `errno`.
    unsafe { errno_at().write(number) };
}

fn process_id() -> libc::c_int {
    // SAFETY: a system call without arguments.
    unsafe { libc::getpid() }
}

fn thread_id() -> u64 {
    // SAFETY: a system call without arguments.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    u64::try_from(id).unwrap_or(0)
}

/// Runs on the thread that aborts, and returns: the C library then ends the process.
extern "C" fn on_abort(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: null, or what the kernel tells a handler that asked for it.
    if !unsafe { info.as_ref() }.is_some_and(is_own) {
        return;
    }
    let errno = errno();
    let panicked = PANICKED.load(Ordering::Relaxed);
    let words = if panicked >> 8 == thread_id() {
        LastWords::from_word(panicked & 0xff).unwrap_or(LastWords::Panicked)
    } else if on_alternate_stack() {
        LastWords::StackOverflow
    } else if errno == libc::ENOMEM || !has_memory(PROBE_BYTES) {
        LastWords::OutOfMemory
    } else {
        LastWords::Aborted
    };
    say(words);
    set_errno(errno);
}

/// Whether a signal comes from `abort`, or something like it, in this process.
fn is_own(info: &libc::siginfo_t) -> bool {
    // SAFETY: the sender is there with this code, as the kernel has it.
    info.si_code == libc::SI_TKILL && unsafe { info.si_pid() } == process_id()
}

fn on_alternate_stack() -> bool {
    // SAFETY: `stack_t` is plain data, for which all zeros is a valid value.
    let mut present: libc::stack_t = unsafe { core::mem::zeroed() };
    // SAFETY: sets nothing, and writes the present state to what it is given.
    let asked = unsafe { libc::sigaltstack(core::ptr::null(), &raw mut present) };
    asked == 0 && present.ss_flags & libc::SS_ONSTACK != 0
}

/// Whether `len_bytes` bytes of memory can be had now.
fn has_memory(len_bytes: usize) -> bool {
    // SAFETY: a new private mapping, at an address that the kernel chooses.
    let at = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len_bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the mapping that was just made; nobody else knows of it.
    let _ = unsafe { libc::munmap(at, len_bytes) };
    true
}

/// In the panic hook: what the panic is about.
fn note_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let words = message
        .and_then(error_number)
        .and_then(limit_behind)
        .unwrap_or(LastWords::Panicked);
    LAST_PANIC.set(words);
    PANICKED.store(thread_id() << 8 | words.word(), Ordering::Relaxed);
}

/// The number of the operating system's error that a message quotes, as `{:?}` or `{}` of [`std::io::Error`]
/// write it.
fn error_number(message: &str) -> Option<i32> {
    let after = ["code: ", "os error "]
        .iter()
        .find_map(|before| message.split(before).nth(1))?;
    let end = after
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(after.len());
    after.get(..end)?.parse().ok()
}

/// Which limit an error speaks of, if one is reached now.
fn limit_behind(error: i32) -> Option<LastWords> {
    match error {
        libc::ENOMEM => Some(LastWords::OutOfMemory),
        libc::EMFILE | libc::ENFILE => Some(LastWords::OutOfDescriptors),
        // What pthread_create says whatever is missing; other calls say so as well, for other reasons.
        libc::EAGAIN if std::thread::Builder::new().spawn(|| ()).is_err() => {
            let stack_fits = has_memory(THREAD_STACK_BYTES);
            Some(if stack_fits {
                LastWords::OutOfThreads
            } else {
                LastWords::OutOfMemory
            })
        }
        _ => None,
    }
}

/// After a panic of this thread was caught: it is over.
pub(crate) fn caught() {
    PANICKED.store(0, Ordering::Relaxed);
}

/// What the last panic of this thread was about.
pub(crate) fn last_panic() -> LastWords {
    LAST_PANIC.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_found_in_what_panics_say() {
        let error = std::io::Error::from_raw_os_error(libc::EAGAIN);
        assert_eq!(
            error_number(&format!("failed to spawn thread: {error:?}")),
            Some(libc::EAGAIN)
        );
        assert_eq!(error_number(&format!("cannot: {error}")), Some(libc::EAGAIN));
        assert_eq!(error_number("index out of bounds"), None);
        assert_eq!(error_number("code: "), None);
        assert_eq!(error_number("code: 99999999999999"), None);
    }

    #[test]
    fn an_error_is_a_limit_only_if_it_is_reached() {
        assert_eq!(limit_behind(libc::EMFILE), Some(LastWords::OutOfDescriptors));
        assert_eq!(limit_behind(libc::EAGAIN), None, "this process can start threads");
        assert_eq!(limit_behind(libc::EINVAL), None);
    }

    #[test]
    fn memory_that_cannot_be_had_is_known() {
        assert!(has_memory(PROBE_BYTES));
        assert!(!has_memory(usize::MAX / 2));
    }
}
