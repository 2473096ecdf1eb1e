//! The instructions of SEV-SNP, each a function around one of them (APM volume 3; encodings there).
//!
//! They take *virtual* addresses: whoever calls has the page mapped there.

#![allow(unsafe_code, reason = "instructions that the compiler does not know")]

use crate::rmp::{Adjustment, RmpError, result_of};
use core::arch::asm;

/// Pages of 4 KiB, in RCX.
const SIZE_4_KIB: u64 = 0;

/// `PVALIDATE`: says that the page at `address` is part of the guest, or is no longer.
///
/// # Errors
/// As the processor says; [`RmpError::Unchanged`] if the page was in that state already.
///
/// # Safety
/// The processor is at CPL0 and VMPL0 of an SNP guest. A page is mapped at `address`, nobody uses what it holds,
/// and nobody uses it after it was made invalid: the processor would stop there.
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
    let rax: u64;
    // SAFETY: the caller's; the instruction changes RAX and flags, and the page's entry in the reverse map.
    unsafe {
        asm!(
            // RMPADJUST
            ".byte 0xf3, 0x0f, 0x01, 0xfe",
            inlateout("rax") address => rax,
            in("rcx") SIZE_4_KIB,
            in("rdx") adjustment.rdx(),
            options(nostack),
        );
    }
    result_of(rax)
}

/// `VMGEXIT`: hands over to the hypervisor, which finds what is asked of it in the GHCB.
///
/// # Safety
/// The processor is at CPL0 of a guest with SEV-ES, whose GHCB holds a request; memory that the hypervisor may write
/// holds nothing that is relied on.
pub unsafe fn vmgexit() {
    // SAFETY: the caller's. What the hypervisor changes is memory, so the compiler forgets what it knows of it.
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
        assert!(has(vmgexit as *const (), [0xf3, 0x0f, 0x01, 0xd9]));
        assert!(!has(vmgexit as *const (), [0xf3, 0x0f, 0x01, 0xfe]));
    }
}
