//! Registers and flags: those of others, and its own.

use super::Given;
use core::arch::asm;
use hacher_snp::abi::{REFUSED, call};
use hacher_snp_trustlets::start;

/// Rounds of a loop that is longer than many turns.
const ROUNDS: u64 = 60_000_000;
const IOPL: u64 = 3 << 12;
const INTERRUPTS: u64 = 1 << 9;
const DIRECTION: u64 = 1 << 10;
const ALIGNMENT: u64 = 1 << 18;
const RANDOM_BYTES: usize = 64;
/// Exceptions of floating point, none of them masked.
static UNMASKED: u32 = 0;
static MASKED: u32 = 0x1f80;
static X87_UNMASKED: u16 = 0x340;

/// Whether there was nothing in registers when it began.
pub(crate) fn are_empty_at_begin() -> bool {
    start::registers_at_begin().iter().all(|&word| word == 0)
}

/// Whether what it puts into registers is what it finds in them when others ran in between.
pub(crate) fn stay() -> bool {
    let pattern: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
    let mut found = [[0_u64; 2]; 4];
    let mut general = [0_u64; 4];
    // SAFETY: reads and writes these arrays.
    unsafe {
        asm!(
            "movups xmm0, [{pattern}]",
            "movups xmm7, [{pattern}]",
            "movups xmm8, [{pattern}]",
            "movups xmm15, [{pattern}]",
            "mov r8, 0x1111",
            "mov r9, 0x2222",
            "mov r14, 0x3333",
            "mov r15, 0x4444",
            "2:",
            "dec rcx",
            "jnz 2b",
            "movups [{found}], xmm0",
            "movups [{found} + 16], xmm7",
            "movups [{found} + 32], xmm8",
            "movups [{found} + 48], xmm15",
            "mov [{general}], r8",
            "mov [{general} + 8], r9",
            "mov [{general} + 16], r14",
            "mov [{general} + 24], r15",
            pattern = in(reg) &raw const pattern,
            found = in(reg) &raw mut found,
            general = in(reg) &raw mut general,
            inout("rcx") ROUNDS => _,
            out("r8") _, out("r9") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm7") _, out("xmm8") _, out("xmm15") _,
            options(nostack),
        );
    }
    found == [pattern; 4] && general == [0x1111, 0x2222, 0x3333, 0x4444]
}

/// Calls with all exceptions of floating point unmasked and one of them pending.
pub(crate) fn poisoned_floats() -> bool {
    let answer: u64;
    // SAFETY: the call has no arguments, and what was set is set back.
    unsafe {
        asm!(
            "fldcw [{x87}]",
            "ldmxcsr [{unmasked}]",
            "fld1",
            "fldz",
            "fdivp st(1), st(0)",
            "int 0x80",
            "fnclex",
            "fninit",
            "ldmxcsr [{masked}]",
            x87 = in(reg) &raw const X87_UNMASKED,
            unmasked = in(reg) &raw const UNMASKED,
            masked = in(reg) &raw const MASKED,
            inlateout("rax") call::NOW => answer,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
    answer != 0
}

/// Asks for random bytes at an address with a flag set; the answer, and whether the flag is still set.
fn call_with_flag(flag: u64, at: u64) -> (u64, bool) {
    let (answer, flags): (u64, u64);
    // SAFETY: the call writes bytes that the caller has, or is refused; the flags are set back.
    unsafe {
        asm!(
            "pushfq",
            "pushfq",
            "or [rsp], rdx",
            "popfq",
            "int 0x80",
            "pushfq",
            "pop rdx",
            "popfq",
            inlateout("rax") call::RANDOM => answer,
            in("rdi") at,
            in("rsi") RANDOM_BYTES,
            inlateout("rdx") flag => flags,
        );
    }
    (answer, flags & flag != 0)
}

/// Calls with the direction flag set; the flag is its own, and is set afterwards.
pub(crate) fn backward_call() -> bool {
    let mut random = [0_u8; RANDOM_BYTES];
    let came = call_with_flag(DIRECTION, random.as_mut_ptr() as u64);
    came == (0, true) && core::hint::black_box(&random).iter().any(|&byte| byte != 0)
}

/// Calls with the alignment flag set, for a region that it may not write.
pub(crate) fn open_call(given: &Given) -> bool {
    call_with_flag(ALIGNMENT, given.foreign.address) == (REFUSED, true)
}

/// Asks for ports and for no interrupts, which flags do not give it.
pub(crate) fn raise_iopl() -> bool {
    let flags: u64;
    // SAFETY: sets flags, which do nothing to this program.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {iopl}",
            "and qword ptr [rsp], {no_interrupts}",
            "popfq",
            "pushfq",
            "pop {flags}",
            iopl = const IOPL,
            no_interrupts = const !INTERRUPTS as i32,
            flags = out(reg) flags,
        );
    }
    flags & IOPL == 0 && flags & INTERRUPTS != 0
}

/// Runs without end.
pub(crate) fn spin() -> bool {
    // SAFETY: never comes back.
    unsafe { asm!("2:", "pause", "jmp 2b", options(noreturn)) }
}
