//! The monitor as what a machine boots: the core, the platform `hacher-snp` and nothing else in ring 0,
//! trustlets in ring 3, no operating system.
//!
//! ```text
//! boot, paging, segments, traps   the machine, until the monitor runs with page tables of its own
//! board                           what the platform asks of the machine
//! registers                       into a trustlet and out of it
//! turns                           whose turn it is, and what becomes of calls, faults and deaths
//! chain                           a chain of three functions, defined by the monitor's own calls
//! calling_area                    calls of an operating system
//! demonstration                   records go through it while a hostile trustlet tries what it can
//! ```
//!
//! One processor runs all of it, with interrupts off while it is the monitor's. `docs/snp.md` says how to
//! boot it, and what it does not show.

#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod boot;
mod calling_area;
mod chain;
mod clock;
mod demonstration;
mod fault;
mod paging;
mod port;
mod processor;
mod random;
mod registers;
mod segments;
mod serial;
mod start_info;
mod traps;
mod turns;

use alloc::string::String;
use core::ops::Range;
use core::panic::PanicInfo;
use core::ptr::addr_of_mut;
use hacher_snp_bare::heap::OneThreadHeap;
use serial::say;

/// All went as it should. QEMU exits with twice the code plus one, so 0 cannot be had.
const CODE_SUCCESS: u8 = 0x10;
/// Something did not.
const CODE_FAILURE: u8 = 0x20;
/// The monitor itself erred.
pub(crate) const CODE_MONITOR_ERRED: u8 = 0x30;

/// Memory of the monitor itself.
const HEAP_BYTES: usize = 16 << 20;

#[repr(C, align(4096))]
struct HeapMemory([u8; HEAP_BYTES]);

static mut HEAP_MEMORY: HeapMemory = HeapMemory([0; HEAP_BYTES]);

#[global_allocator]
static HEAP: OneThreadHeap = OneThreadHeap::new();

/// Where [`boot`] goes on, with a stack, in 64-bit code.
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "gives the allocator its memory")]
extern "C" fn start(start_info_at: u64) -> ! {
    serial::begin();
    let heap = addr_of_mut!(HEAP_MEMORY).cast::<u8>();
    // SAFETY: nobody else uses these bytes, and this is the first thing that happens.
    unsafe { HEAP.begin(heap, HEAP_BYTES) };
    match run(start_info_at) {
        Ok(()) => {
            say!("result: success");
            port::exit(CODE_SUCCESS)
        }
        Err(why) => {
            say!("result: failure: {why}");
            port::exit(CODE_FAILURE)
        }
    }
}

fn run(start_info_at: u64) -> Result<(), String> {
    say!("hacher: the monitor boots");
    let memory = start_info::memory_around(start_info_at, paging::image_end_at())
        .ok_or("the loader tells of no memory (PVH start info of version 1)")?;
    let frames = paging::pages_for_trustlets(&memory);
    segments::begin();
    traps::begin();
    paging::begin(&frames);
    let features = processor::Features::ask();
    features.set();
    let random = random::Random::find(features).ok_or("the processor has no randomness: no start without")?;
    let clock = clock::Clock::begin().ok_or("the time-stamp counter or the timer does not run")?;
    clock::begin_turns();
    if cfg!(feature = "no-snp") {
        say!("no SNP: page tables only");
    }
    say!(
        "processor: {features:?}; {} pages for trustlets",
        frames.end - frames.start
    );
    let (of_suite, frames) = halves(frames);
    let machine = |frames: &Range<u64>| {
        board::Machine::new(frames.clone(), clock, random).ok_or("the processor's randomness ended")
    };
    let calls = calling_area::System::new(machine(&of_suite)?, &of_suite)?.run()?;
    say!("{calls} calls over a calling area are answered as over every carrier");
    demonstration::run(machine(&frames)?, &frames)
}

/// Pages for a monitor that answers the suite of calls, and those for one that runs trustlets.
const fn halves(frames: Range<u64>) -> (Range<u64>, Range<u64>) {
    let middle = frames.start + (frames.end - frames.start) / 4;
    (frames.start..middle, middle..frames.end)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("the monitor erred: {info}");
    port::exit(CODE_MONITOR_ERRED)
}
