//! A program without the standard library, and so without anything that needs an operating system: it attaches two
//! instances in memory that it has set aside, hands a record from one to the other, and has a forged one
//! refused. `tests/no_std.rs` builds and runs it; what it links that is of an operating system is how a program
//! starts and ends on the machine that runs the test.
//!
//! It exits with the number of the first thing that was not as it should be, or with 0.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use hacher_data_path::inlet::Step;
use hacher_data_path::machine::clock::{Clock, Monotonic};
use hacher_data_path::place::making::Place;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::record::refusal::Refusal;
use hacher_data_path::region::ring::{self, Found};
use hacher_data_path::seal::RecordContext;
use hacher_data_path::simulated::chain::{Chain, Way};

#[link(name = "c")]
unsafe extern "C" {
    fn _exit(code: i32) -> !;
}

const ARENA_BYTES: usize = 64 << 20;

/// All memory that there is: given out once, and never taken back.
#[repr(C, align(4096))]
struct Arena(core::cell::UnsafeCell<[u8; ARENA_BYTES]>);

// SAFETY: bytes are given out once each, by an atomic count.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(core::cell::UnsafeCell::new([0; ARENA_BYTES]));
static USED_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Bump;

// SAFETY: each call gets bytes of the arena that no other got, aligned as it asks.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut at = 0;
        let taken = USED_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            at = used.next_multiple_of(layout.align());
            at.checked_add(layout.size()).filter(|end| *end <= ARENA_BYTES)
        });
        match taken {
            // SAFETY: within the arena, as was just checked.
            Ok(_) if layout.align() <= 4096 => unsafe { ARENA.0.get().cast::<u8>().add(at) },
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _at: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    // SAFETY: ends the process, whatever state it is in.
    unsafe { _exit(101) }
}

/// The libraries of the compiler that come with the test's machine are built to unwind, and name this; nothing
/// here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: as in `panic`.
    unsafe { _exit(102) }
}

#[unsafe(no_mangle)]
extern "C" fn main(_count: i32, _words: *const *const u8) -> i32 {
    match walk() {
        Ok(()) => 0,
        Err(step) => step,
    }
}

fn send(place: &mut Place, count: u128, plain: &[u8]) -> Option<()> {
    let record = RecordContext {
        invocation: InvocationId::new(count),
        deadline: Monotonic::from_ns(u64::MAX),
        attempt: 1,
    };
    place.sender.send(&place.own, 0, &record, plain, true).ok()
}

/// The life of two records.
fn walk() -> Result<(), i32> {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let mut producer = chain.attach(0).map_err(|_| 1)?;
    let mut consumer = chain.attach(1).map_err(|_| 2)?;
    if !consumer.receiver.announce(&consumer.own) {
        return Err(3);
    }
    send(&mut producer, 1, b"a record").ok_or(4)?;
    if chain.bell(1).rings() != 1 {
        return Err(5);
    }
    consumer.receiver.awake(&consumer.own);
    let mut opened = Vec::new();
    let Step::Opened(step) = consumer.receiver.step(&consumer.own, 0, &mut opened) else {
        return Err(6);
    };
    if opened != b"a record" || step.published > chain.clock().now() {
        return Err(7);
    }
    consumer.receiver.release(&consumer.own, step.record);
    send(&mut producer, 2, b"another").ok_or(8)?;
    let (outbox, layout) = (chain.outbox(0), chain.outbox_layout(0));
    let slots = layout
        .ring_at(0)
        .and_then(|at| outbox.slots(at, layout.ring_capacity()));
    let Found::Words(words) = ring::peek(slots.ok_or(9)?, 1) else {
        return Err(10);
    };
    let segment_at = usize::try_from(words[1] >> 32).map_err(|_| 11)? * 64;
    outbox.word(segment_at).ok_or(12)?.fetch_xor(1, Ordering::Relaxed);
    match consumer.receiver.step(&consumer.own, 0, &mut opened) {
        Step::Refused {
            refusal: Refusal::Forged,
            ..
        } => Ok(()),
        _ => Err(13),
    }
}
