//! The registers of a trustlet, and how the processor gets them and gives them back.
//!
//! The task state has the end of [`Registers`] as the stack of CPL0, so the processor pushes where a
//! trustlet was right into it; the stub of the vector adds all other registers and goes on where
//! [`Registers::run`] was called.
#![allow(unsafe_code, reason = "hands the processor over")]

use crate::segments::{self, TRUSTLET_CODE, TRUSTLET_DATA};
use crate::{paging, processor};
use alloc::boxed::Box;

/// Interrupts on; bit 1 is always set.
const FLAGS: u64 = 1 << 9 | 1 << 1;
/// Exceptions of floating point masked, as a program finds it (System V ABI, section 3.4.1).
const X87_CONTROL: u16 = 0x37f;
const SSE_CONTROL: u32 = 0x1f80;

unsafe extern "C" {
    fn enter_trustlet(registers: *mut Registers);
}

/// All that a trustlet has in the processor. The stubs in [`crate::traps`] know this layout.
#[derive(Clone)]
#[repr(C, align(16))]
pub(crate) struct Registers {
    floats: [u8; 512],
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    rbp: u64,
    pub(crate) rdx: u64,
    rcx: u64,
    rbx: u64,
    pub(crate) rax: u64,
    /// Why it was left.
    pub(crate) vector: u64,
    /// What the processor says of an exception.
    pub(crate) error: u64,
    /// Where it was.
    pub(crate) rip: u64,
    code_segment: u64,
    flags: u64,
    rsp: u64,
    stack_segment: u64,
}

const _: () = assert!(size_of::<Registers>() == 512 + 22 * 8);
const _: () = assert!(size_of::<Registers>().is_multiple_of(16));
const _: () = assert!(core::mem::offset_of!(Registers, r15) == 512);

impl Registers {
    /// Those of a trustlet that begins: all zero but where it is, its stack, and what it finds in RDI and
    /// RSI.
    pub(crate) fn begin(rip: u64, rsp: u64, rdi: u64, rsi: u64) -> Box<Self> {
        let mut floats = [0; 512];
        let (x87, sse) = (X87_CONTROL.to_le_bytes(), SSE_CONTROL.to_le_bytes());
        for (at, byte) in (0..).zip(x87).chain((24..).zip(sse)) {
            if let Some(place) = floats.get_mut(at) {
                *place = byte;
            }
        }
        Box::new(Self {
            floats,
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rdi,
            rsi,
            rbp: 0,
            rdx: 0,
            rcx: 0,
            rbx: 0,
            rax: 0,
            vector: 0,
            error: 0,
            rip,
            code_segment: TRUSTLET_CODE,
            flags: FLAGS,
            // As after a call.
            rsp: (rsp & !15) - 8,
            stack_segment: TRUSTLET_DATA,
        })
    }

    /// Runs the trustlet until it calls, errs, or its turn is over. `false`, and it did not run, if it is
    /// at an address that is none: the processor would err at the monitor's level.
    pub(crate) fn run(&mut self, cr3: u64) -> bool {
        if self.rip >= hacher_snp::space::ADDRESS_END {
            return false;
        }
        let registers: *mut Self = self;
        let end = registers.wrapping_add(1) as u64;
        // SAFETY: these registers, which nobody else touches while the trustlet runs.
        unsafe { segments::set_stack(end) };
        let own = processor::tables();
        // SAFETY: the trustlet's tables have the monitor as it is (`paging::share`).
        unsafe { processor::take_tables(cr3) };
        // SAFETY: the registers are a trustlet's: CPL3, and an address that is one. It comes back with all
        // registers that the ABI asks for.
        unsafe { enter_trustlet(registers) };
        // SAFETY: the monitor's own, as before.
        unsafe { processor::take_tables(own) };
        debug_assert!(own == paging::own_tables());
        true
    }
}
