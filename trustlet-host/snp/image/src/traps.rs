//! The interrupt table: how the processor leaves a trustlet, and what it does where the monitor itself errs.
//!
//! The monitor has interrupts off, so whatever interrupts it is a fault of its own: it says so and ends the
//! machine. A trustlet is left through [`crate::registers`].
#![allow(
    unsafe_code,
    reason = "a table that the processor reads, and the instructions it leads to"
)]

use crate::segments::{DOUBLE_FAULT_STACK, MACHINE_CHECK_STACK, MONITOR_CODE, NMI_STACK, Pointer};
use crate::serial::say;
use crate::{port, processor};
use core::arch::{asm, global_asm};
use core::ptr::addr_of_mut;

/// Vectors that lead somewhere: exceptions, and interrupts of the two controllers.
const VECTORS: usize = 48;
/// What a trustlet calls the monitor by (`int 0x80`): the one entry that CPL3 may use.
pub(crate) const CALL: u64 = 0x80;
/// As many as a table has.
const ENTRIES: usize = 256;
/// Bytes of each stub, as it is aligned.
const STUB_BYTES: u64 = 16;

global_asm!(
    r#"
    .text
    .align 16
    .global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 48
    .align 16
    # Those that the processor pushes an error code for (APM volume 2, section 8.2).
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
    .elseif (vector == 29) || (vector == 30)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trap
    .set vector, vector + 1
    .endr
    .align 16
    .global trap_call
trap_call:
    pushq $0
    pushq $0x80
    jmp trap

trap:
    # Of the monitor's own level, or on a stack that is no trustlet's: there is no way back.
    testb $3, 24(%rsp)
    jz trap_fatal
    cmpq $2, (%rsp)
    je trap_fatal
    cmpq $8, (%rsp)
    je trap_fatal
    cmpq $18, (%rsp)
    je trap_fatal
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    # The trustlet's flags (direction, alignment check, which also opens its memory to CPL0) end here.
    pushq $2
    popfq
    fxsave64 -512(%rsp)
    fninit
    ldmxcsr default_mxcsr(%rip)
    movq monitor_stack(%rip), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

trap_fatal:
    cld
    movq (%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    andq $-16, %rsp
    call fatal

    # RDI: the registers of a trustlet. Returns when it is left.
    .global enter_trustlet
enter_trustlet:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, monitor_stack(%rip)
    xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    fxrstor64 (%rdi)
    leaq 512(%rdi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

    .section .data
    .align 8
monitor_stack:
    .quad 0
default_mxcsr:
    .long 0x1f80
    .text
"#,
    options(att_syntax)
);

unsafe extern "C" {
    static trap_stubs: [u8; 0];
    static trap_call: [u8; 0];
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

#[repr(C, align(16))]
struct Table([Gate; ENTRIES]);

static mut TABLE: Table = Table([Gate { low: 0, high: 0 }; ENTRIES]);

/// An interrupt gate: interrupts are off where it leads (APM volume 2, section 4.8.4).
const fn gate(at: u64, stack: u8, level: u64) -> Gate {
    let present = 1 << 47;
    let kind = 0xe << 40;
    Gate {
        low: at & 0xffff
            | (MONITOR_CODE as u64) << 16
            | (stack as u64) << 32
            | kind
            | level << 45
            | present
            | (at >> 16 & 0xffff) << 48,
        high: at >> 32,
    }
}

/// Takes the table. Once, before any trustlet runs.
pub(crate) fn begin() {
    let table = addr_of_mut!(TABLE).cast::<Gate>();
    for vector in 0..VECTORS {
        let stack = match vector {
            2 => NMI_STACK,
            8 => DOUBLE_FAULT_STACK,
            18 => MACHINE_CHECK_STACK,
            _ => 0,
        };
        let at = (&raw const trap_stubs) as u64 + vector as u64 * STUB_BYTES;
        // SAFETY: one of the entries; nobody has a reference to them.
        unsafe { table.wrapping_add(vector).write(gate(at, stack, 0)) };
    }
    let call = gate((&raw const trap_call) as u64, 0, 3);
    // SAFETY: as above.
    unsafe { table.wrapping_add(CALL as usize).write(call) };
    let pointer = Pointer {
        limit: size_of::<Table>() as u16 - 1,
        at: table as u64,
    };
    // SAFETY: the table is as the manual has it, and lives for ever.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) };
}

/// The monitor itself erred.
#[unsafe(no_mangle)]
extern "C" fn fatal(vector: u64, error: u64, at: u64) -> ! {
    say!(
        "the monitor erred: exception {vector}, error {error:#x}, at {at:#x}, address {:#x}",
        processor::fault_address()
    );
    port::exit(crate::CODE_MONITOR_ERRED)
}
