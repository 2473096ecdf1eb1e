//! What compilers expect of a C library.
#![allow(
    unsafe_code,
    reason = "functions over addresses, which the compiler calls by name"
)]

use core::arch::asm;

/// Copies `count` bytes.
///
/// # Safety
/// As `memcpy` of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's; the direction flag is clear (System V ABI).
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

/// Copies `count` bytes, which may overlap.
///
/// # Safety
/// As `memmove` of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: the caller's; what is read later is not written before.
        return unsafe { memcpy(to, from, count) };
    }
    let (last_to, last_from) = (
        to.wrapping_add(count).wrapping_sub(1),
        from.wrapping_add(count).wrapping_sub(1),
    );
    // SAFETY: the caller's; from the end, so that what is read later is not written before. The flag is
    // cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") count => _, inout("rdi") last_to => _,
             inout("rsi") last_from => _, options(nostack));
    }
    to
}

/// Fills `count` bytes.
///
/// # Safety
/// As `memset` of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's; the direction flag is clear (System V ABI).
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("eax") byte,
             options(nostack, preserves_flags));
    }
    to
}

/// Compares `count` bytes.
///
/// # Safety
/// As `memcmp` of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at < count {
        // SAFETY: within the bytes that the caller names.
        let first = unsafe { left.wrapping_add(at).read() };
        // SAFETY: as above.
        let second = unsafe { right.wrapping_add(at).read() };
        if first != second {
            return i32::from(first) - i32::from(second);
        }
        at += 1;
    }
    0
}

/// Whether `count` bytes differ.
///
/// # Safety
/// As `bcmp` of C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(left, right, count) }
}

/// The library of the host's target is built to unwind, and names this; nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("something unwinds")
}
