//! Segments, and the task state that says where the processor goes on when it leaves a trustlet.
#![allow(unsafe_code, reason = "tables that the processor reads")]

use core::arch::asm;
use core::mem::offset_of;
use core::ptr::addr_of_mut;

/// The monitor's code.
pub(crate) const MONITOR_CODE: u16 = 0x08;
/// Data of trustlets.
pub(crate) const TRUSTLET_DATA: u64 = 0x18 | 3;
/// Code of trustlets.
pub(crate) const TRUSTLET_CODE: u64 = 0x20 | 3;
const TASK: u16 = 0x28;
const STACK_BYTES: usize = 16 << 10;

/// Entries of the task state for exceptions that must not use the stack of whoever ran (APM volume 2,
/// section 8.9.4).
pub(crate) const NMI_STACK: u8 = 1;
pub(crate) const DOUBLE_FAULT_STACK: u8 = 2;
pub(crate) const MACHINE_CHECK_STACK: u8 = 3;

#[repr(C, align(16))]
struct Stack([u8; STACK_BYTES]);

/// The task state (APM volume 2, section 12.2.5).
#[repr(C, packed(4))]
struct Task {
    _reserved: u32,
    /// Of CPL 0, 1 and 2.
    stacks: [u64; 3],
    _reserved_too: u64,
    interrupt_stacks: [u64; 7],
    _reserved_again: u64,
    _reserved_still: u16,
    /// Past the end: no port is anybody's but CPL0's.
    port_map_at: u16,
}

#[repr(C, align(16))]
struct Segments([u64; 7]);

static mut STACKS: [Stack; 3] = [const { Stack([0; STACK_BYTES]) }; 3];
static mut TASK_STATE: Task = Task {
    _reserved: 0,
    stacks: [0; 3],
    _reserved_too: 0,
    interrupt_stacks: [0; 7],
    _reserved_again: 0,
    _reserved_still: 0,
    port_map_at: size_of::<Task>() as u16,
};
static mut SEGMENTS: Segments = Segments([
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
    0,
    0,
]);

/// Where a table is and how long, as `lgdt` and `lidt` take it.
#[repr(C, packed(2))]
pub(crate) struct Pointer {
    /// Its last byte.
    pub(crate) limit: u16,
    /// Its address.
    pub(crate) at: u64,
}

/// Takes the segments. Once, before any trustlet runs.
pub(crate) fn begin() {
    let task = addr_of_mut!(TASK_STATE);
    let stacks = addr_of_mut!(STACKS).cast::<Stack>();
    for number in 0..3 {
        let end = stacks.wrapping_add(number + 1) as u64;
        let field = offset_of!(Task, interrupt_stacks) + 8 * number;
        // SAFETY: one of the seven fields; nobody else has a reference to the task state.
        unsafe { field_of(task, field).write_unaligned(end) };
    }
    let (at, limit) = (task as u64, size_of::<Task>() as u64 - 1);
    let low = limit | (at & 0x00ff_ffff) << 16 | 0x89 << 40 | (at >> 24 & 0xff) << 56;
    let segments = addr_of_mut!(SEGMENTS).cast::<u64>();
    // SAFETY: two of the seven entries; nobody else has a reference to them.
    unsafe { segments.wrapping_add(usize::from(TASK / 8)).write(low) };
    // SAFETY: as above.
    unsafe { segments.wrapping_add(usize::from(TASK / 8) + 1).write(at >> 32) };
    let pointer = Pointer {
        limit: size_of::<Segments>() as u16 - 1,
        at: segments as u64,
    };
    // SAFETY: the table is as the manual has it, lives for ever, and has the code segment that is loaded
    // here.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {data:x}",
            "mov ds, {none:x}",
            "mov es, {none:x}",
            "mov fs, {none:x}",
            "mov gs, {none:x}",
            "ltr {task:x}",
            pointer = in(reg) &raw const pointer,
            code = in(reg) u64::from(MONITOR_CODE),
            data = in(reg) 0x10_u16,
            none = in(reg) 0_u16,
            task = in(reg) TASK,
            scratch = out(reg) _,
        );
    }
}

/// Says where the processor goes on when it leaves a trustlet: it pushes there.
///
/// # Safety
/// From `stack_end` downwards is memory for what it pushes, and stays that while a trustlet runs.
pub(crate) unsafe fn set_stack(stack_end: u64) {
    let task = addr_of_mut!(TASK_STATE);
    // SAFETY: a field of the task state, which the processor reads when it leaves a trustlet and not now.
    unsafe { field_of(task, offset_of!(Task, stacks)).write_unaligned(stack_end) };
}

/// The word so many bytes into the task state.
const fn field_of(task: *mut Task, at: usize) -> *mut u64 {
    task.cast::<u8>().wrapping_add(at).cast::<u64>()
}
