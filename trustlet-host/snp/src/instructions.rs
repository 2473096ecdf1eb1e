//! The instructions of SEV-SNP, each a function around one of them (APM volume 3; encodings there).
//!
//! They take *virtual* addresses: whoever calls has the page mapped there.

#![allow(unsafe_code, reason = "instructions that the compiler does not know")]

use crate::rmp::{Adjustment, RmpError, Vmpl, result_of, state_rdx};
use core::arch::asm;

/// Pages of 4 KiB, in RCX.
const SIZE_4_KIB: u64 = 0;

/// `PVALIDATE`: says that the page at `address` is part of the guest, or is no longer.
///
/// # Errors
/// As the processor says; [`RmpError::Unchanged`] if the page was in that state already.
///
/// # Safety
/// The processor is at CPL0 and VMPL0 of an SNP guest. A page is mapped at `address`, nobody uses what it
/// holds, and nobody uses it after it was made invalid: the processor would stop there.
pub unsafe fn pvalidate(address: u64, valid: bool) -> Result<(), RmpError> {
    let (rax, unchanged): (u64, u8);
    // SAFETY: the caller's; the instruction changes RAX and flags, and the page's entry in the reverse map.
    unsafe {
        asm!(
            // PVALIDATE
            ".byte 0xf2, 0x0f, 0x01, 0xff",
            "setc {unchanged}",
            unchanged = out(reg_byte) unchanged,
            inlateout("rax") address => rax,
            in("rcx") SIZE_4_KIB,
            in("rdx") u64::from(valid),
            options(nostack),
        );
    }
    // The result has 32 bits.
    result_of(rax & u64::from(u32::MAX))?;
    if unchanged == 0 {
        Ok(())
    } else {
        Err(RmpError::Unchanged)
    }
}

/// `RMPADJUST`: sets what a level may do with the page at `address`.
///
/// # Errors
/// As the processor says.
///
/// # Safety
/// The processor is at CPL0 of an SNP guest. A page is mapped at `address`, and what it holds may be seen, or
/// written, by the level that gets the permission.
pub unsafe fn rmpadjust(address: u64, adjustment: Adjustment) -> Result<(), RmpError> {
    // SAFETY: the caller's.
    unsafe { rmpadjust_with(address, adjustment.rdx()) }
}

/// `RMPADJUST`: marks the page at `address` as the state of a virtual processor, or no longer, and leaves
/// `level` nothing of it.
///
/// # Errors
/// As the processor says.
///
/// # Safety
/// The processor is at CPL0 and VMPL0 of an SNP guest. A page is mapped at `address`; if it becomes a state,
/// the hypervisor may run what it describes from now on, and nobody but the monitor may change it.
pub unsafe fn rmpadjust_state(address: u64, level: Vmpl, is_state: bool) -> Result<(), RmpError> {
    // SAFETY: the caller's.
    unsafe { rmpadjust_with(address, state_rdx(level, is_state)) }
}

/// # Safety
/// That of the two above, by what `rdx` says. Inlined, so that each of them is the instruction.
#[inline(always)]
unsafe fn rmpadjust_with(address: u64, rdx: u64) -> Result<(), RmpError> {
    let rax: u64;
    // SAFETY: the caller's; the instruction changes RAX and flags, and the page's entry in the reverse map.
    unsafe {
        asm!(
            // RMPADJUST
            ".byte 0xf3, 0x0f, 0x01, 0xfe",
            inlateout("rax") address => rax,
            in("rcx") SIZE_4_KIB,
            in("rdx") rdx,
            options(nostack),
        );
    }
    result_of(rax)
}

/// `VMGEXIT`: hands over to the hypervisor, which finds what is asked of it in the GHCB.
///
/// # Safety
/// The processor is at CPL0 of a guest with SEV-ES, whose GHCB holds a request; memory that the hypervisor
/// may write holds nothing that is relied on.
pub unsafe fn vmgexit() {
    // SAFETY: the caller's. What the hypervisor changes is memory, so the compiler forgets what it knows of
    // it.
    unsafe {
        asm!(
            // VMGEXIT
            ".byte 0xf3, 0x0f, 0x01, 0xd9",
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmp::{Permissions, Vmpl};
    use core::ffi::c_int;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Bytes of machine code that are looked at. None of the functions is longer in a debug build.
    const CODE_BYTES: usize = 256;

    /// Whether the machine code at `function` has `encoding` in it.
    fn has(function: *const (), encoding: [u8; 4]) -> bool {
        // SAFETY: code is mapped for reading, and more code of this program follows each of these functions.
        let code = unsafe { core::slice::from_raw_parts(function.cast::<u8>(), CODE_BYTES) };
        // The instructions after it are of others.
        let end = code
            .iter()
            .position(|&byte| byte == 0xc3)
            .map_or(CODE_BYTES, |at| at + 1);
        let own = code.get(..end).unwrap();
        own.windows(encoding.len()).any(|bytes| bytes == encoding)
    }

    #[test]
    fn each_instruction_has_the_encoding_that_the_manual_gives() {
        // APM volume 3: "PVALIDATE F2 0F 01 FF", "RMPADJUST F3 0F 01 FE", "VMGEXIT F3 0F 01 D9".
        assert!(has(pvalidate as *const (), [0xf2, 0x0f, 0x01, 0xff]));
        assert!(has(rmpadjust as *const (), [0xf3, 0x0f, 0x01, 0xfe]));
        assert!(has(rmpadjust_state as *const (), [0xf3, 0x0f, 0x01, 0xfe]));
        assert!(has(vmgexit as *const (), [0xf3, 0x0f, 0x01, 0xd9]));
        assert!(!has(vmgexit as *const (), [0xf3, 0x0f, 0x01, 0xfe]));
    }

    /// What the next instruction answers: RAX, and the carry flag.
    static ANSWER: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    /// RAX, RCX and RDX as it found them.
    static FOUND: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

    /// Plays the processor, for an instruction that this one does not know, or does not have at CPL3.
    extern "C" fn play(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a handler with `SA_SIGINFO` the context of the thread that was
        // interrupted.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let registers = &mut context.uc_mcontext.gregs;
        let place = |register: c_int| usize::try_from(register).unwrap_or(0);
        let words = [libc::REG_RAX, libc::REG_RCX, libc::REG_RDX].map(|register| registers[place(register)]);
        for (found, word) in FOUND.iter().zip(words) {
            found.store(word.cast_unsigned(), Ordering::Relaxed);
        }
        let [answer, carry] = [&ANSWER[0], &ANSWER[1]].map(|word| word.load(Ordering::Relaxed));
        registers[place(libc::REG_RAX)] = answer.cast_signed();
        // The carry flag is the lowest.
        let flags = &mut registers[place(libc::REG_EFL)];
        *flags = *flags & !1 | carry.cast_signed();
        // Each instruction has four bytes.
        registers[place(libc::REG_RIP)] += 4;
    }

    /// Executes with this answer: the result, and what the instruction found in RAX, RCX and RDX.
    fn executed<T>(rax: u64, carry: bool, instruction: impl FnOnce() -> T) -> (T, [u64; 3]) {
        ANSWER[0].store(rax, Ordering::Relaxed);
        ANSWER[1].store(u64::from(carry), Ordering::Relaxed);
        let result = instruction();
        (result, [0, 1, 2].map(|at| FOUND[at].load(Ordering::Relaxed)))
    }

    #[test]
    fn operands_and_results_are_where_the_manual_has_them() {
        // SAFETY: a structure of plain words, for which zeros are valid.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = play as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        for signal in [libc::SIGILL, libc::SIGSEGV] {
            // SAFETY: the handler touches nothing but registers and atomics.
            let set = unsafe { libc::sigaction(signal, &raw const action, core::ptr::null_mut()) };
            assert_eq!(set, 0);
        }
        let address = 0x7fff_1234_5000;
        // SAFETY: `play` answers in the place of the processor.
        let validate = |valid| unsafe { pvalidate(address, valid) };
        for (valid, rdx) in [(true, 1), (false, 0)] {
            let (result, found) = executed(0, false, || validate(valid));
            assert_eq!((result, found), (Ok(()), [address, 0, rdx]));
        }
        for (rax, carry, expected) in [
            (0, true, RmpError::Unchanged),
            (1, false, RmpError::Input),
            (6, true, RmpError::Size),
            (0xdead_0000_0006, false, RmpError::Size),
            (9, false, RmpError::Unknown(9)),
        ] {
            let (result, _) = executed(rax, carry, || validate(true));
            assert_eq!(result, Err(expected));
        }
        let adjustment = Adjustment {
            level: Vmpl::Two,
            permissions: Permissions::READ.and(Permissions::WRITE),
        };
        // SAFETY: as above.
        let adjust = || unsafe { rmpadjust(address, adjustment) };
        let (result, found) = executed(0, true, adjust);
        assert_eq!((result, found), (Ok(()), [address, 0, 0x0302]));
        for (is_state, rdx) in [(true, 0x1_0002), (false, 0x0002)] {
            // SAFETY: as above.
            let mark = || unsafe { rmpadjust_state(address, Vmpl::Two, is_state) };
            let (result, found) = executed(0, true, mark);
            assert_eq!((result, found), (Ok(()), [address, 0, rdx]));
            assert_eq!(executed(2, false, mark).0, Err(RmpError::Permission));
        }
        for (rax, expected) in [
            (1, RmpError::Input),
            (2, RmpError::Permission),
            (6, RmpError::Size),
        ] {
            assert_eq!(executed(rax, false, adjust).0, Err(expected));
        }
        for signal in [libc::SIGILL, libc::SIGSEGV] {
            // SAFETY: the default action.
            assert_ne!(unsafe { libc::signal(signal, libc::SIG_DFL) }, libc::SIG_ERR);
        }
    }
}
