//! How a trustlet begins, and how it ends when it panics.
#![allow(
    unsafe_code,
    reason = "the first instructions of a program, and its allocator"
)]

use crate::call;
use core::arch::global_asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use hacher_snp_bare::heap::OneThreadHeap;

/// What a trustlet that panicked ends with.
const CODE_PANIC: u64 = 101;

#[global_allocator]
static HEAP: OneThreadHeap = OneThreadHeap::new();

/// Registers that are looked at: 13 general ones and 16 of 128 bits.
const FIRST_WORDS: usize = 13 + 2 * 16;

// The monitor leaves the stack as after a call, and the heap in RDI and RSI. What is in all other registers
// is kept, for whoever wants to know.
global_asm!(
    r#"
    .text
    .global begin_trustlet
begin_trustlet:
    movq %rax, first_registers(%rip)
    movq %rbx, first_registers+8(%rip)
    movq %rcx, first_registers+16(%rip)
    movq %rdx, first_registers+24(%rip)
    movq %rbp, first_registers+32(%rip)
    movq %r8, first_registers+40(%rip)
    movq %r9, first_registers+48(%rip)
    movq %r10, first_registers+56(%rip)
    movq %r11, first_registers+64(%rip)
    movq %r12, first_registers+72(%rip)
    movq %r13, first_registers+80(%rip)
    movq %r14, first_registers+88(%rip)
    movq %r15, first_registers+96(%rip)
    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups %xmm\number, first_registers+104+16*\number(%rip)
    .endr
    jmp begin_with_heap

    .bss
    .align 16
    .global first_registers
first_registers:
    .fill 45, 8, 0
    .text
"#,
    options(att_syntax)
);

unsafe extern "C" {
    static first_registers: [u64; FIRST_WORDS];
}

static HEAP_AT: AtomicUsize = AtomicUsize::new(0);
static HEAP_LEN_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What was in the registers when this trustlet began, but for its stack and its heap.
#[must_use]
pub fn registers_at_begin() -> &'static [u64] {
    // SAFETY: written by the first instructions, and by nobody after them.
    unsafe { &first_registers }
}

/// Where the heap is, and how many bytes it has.
#[must_use]
pub fn heap() -> (usize, usize) {
    (
        HEAP_AT.load(Ordering::Relaxed),
        HEAP_LEN_BYTES.load(Ordering::Relaxed),
    )
}

unsafe extern "Rust" {
    safe fn trustlet();
}

#[unsafe(no_mangle)]
extern "C" fn begin_with_heap(at: *mut u8, len_bytes: usize) -> ! {
    // SAFETY: the monitor gave these bytes to this trustlet alone, and this is the first thing that happens.
    unsafe { HEAP.begin(at, len_bytes) };
    HEAP_AT.store(at.expose_provenance(), Ordering::Relaxed);
    HEAP_LEN_BYTES.store(len_bytes, Ordering::Relaxed);
    trustlet();
    call::exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    call::print(&alloc::format!("{info}"));
    call::exit(CODE_PANIC)
}
