//! The processor: what it can, how it is set, and the registers that only CPL0 reaches.
#![allow(unsafe_code, reason = "instructions")]

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;

/// What the monitor wants of a processor, if it has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// No code of trustlets at CPL0.
    pub(crate) smep: bool,
    /// No data of trustlets at CPL0.
    pub(crate) smap: bool,
    /// No addresses of tables at CPL3.
    pub(crate) umip: bool,
    /// Random numbers.
    pub(crate) rdseed: bool,
    /// Random numbers, from a generator with a seed.
    pub(crate) rdrand: bool,
}

const SMEP: u64 = 1 << 20;
const SMAP: u64 = 1 << 21;
const UMIP: u64 = 1 << 11;
/// Only CPL0 reads the time-stamp counter: trustlets ask for the time.
const TSD: u64 = 1 << 2;

impl Features {
    /// Asks the processor.
    pub(crate) fn ask() -> Self {
        let basic = __cpuid_count(1, 0);
        let has_extended = __cpuid_count(0, 0).eax >= 7;
        let (ebx, ecx) = if has_extended {
            let extended = __cpuid_count(7, 0);
            (extended.ebx, extended.ecx)
        } else {
            (0, 0)
        };
        Self {
            smep: ebx & 1 << 7 != 0,
            smap: ebx & 1 << 20 != 0,
            umip: ecx & 1 << 2 != 0,
            rdseed: ebx & 1 << 18 != 0,
            rdrand: basic.ecx & 1 << 30 != 0,
        }
    }

    /// Switches them on.
    pub(crate) fn set(self) {
        let bits = [
            (self.smep, SMEP),
            (self.smap, SMAP),
            (self.umip, UMIP),
            (true, TSD),
        ];
        let wanted = bits
            .into_iter()
            .filter(|(has, _)| *has)
            .fold(0, |all, (_, bit)| all | bit);
        let mut cr4: u64;
        // SAFETY: reads.
        unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
        cr4 |= wanted;
        // SAFETY: the processor has these features; the monitor reaches no page of a trustlet where that is
        // mapped, and runs none.
        unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags)) };
    }
}

/// Takes these page tables, and forgets what was remembered of those before.
///
/// # Safety
/// The monitor is mapped in them as it is now.
pub(crate) unsafe fn take_tables(cr3: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("mov cr3, {}", in(reg) cr3, options(nostack, preserves_flags)) };
}

/// The page tables that are taken.
pub(crate) fn tables() -> u64 {
    let cr3;
    // SAFETY: reads.
    unsafe { asm!("mov {}, cr3", out(reg) cr3, options(nomem, nostack, preserves_flags)) };
    cr3
}

/// The address of the last page fault.
pub(crate) fn fault_address() -> u64 {
    let cr2;
    // SAFETY: reads.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    cr2
}

/// The time-stamp counter, read after everything before.
pub(crate) fn time_stamp() -> u64 {
    // SAFETY: changes nothing.
    unsafe { core::arch::x86_64::_mm_lfence() };
    // SAFETY: CPL0 may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A random word of RDSEED; `None` where there is none right now.
pub(crate) fn seed() -> Option<u64> {
    let (word, good): (u64, u8);
    // SAFETY: whoever calls has asked for the feature.
    unsafe { asm!("rdseed {}", "setc {}", out(reg) word, out(reg_byte) good, options(nomem, nostack)) };
    (good == 1).then_some(word)
}

/// A random word of RDRAND; `None` where there is none right now.
pub(crate) fn random() -> Option<u64> {
    let (word, good): (u64, u8);
    // SAFETY: as above.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) word, out(reg_byte) good, options(nomem, nostack)) };
    (good == 1).then_some(word)
}
