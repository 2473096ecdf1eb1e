//! Reads, writes and jumps where nothing of its own is.

use super::Given;
use core::arch::asm;
use hacher_snp_bare::attack::Attack;
use hacher_snp_trustlets::start;

/// The monitor's code and data, where `layout.ld` of the image has them.
pub(crate) const MONITOR_CODE: u64 = 0xffff_ffff_8011_0000;
pub(crate) const MONITOR_DATA: u64 = 0xffff_ffff_8080_0000;
/// Where the monitor has all memory, from 32 MiB on.
pub(crate) const ALL_MEMORY: u64 = 0xffff_8000_0200_0000;
/// No address has these bits.
pub(crate) const NON_CANONICAL: u64 = 0x0000_8000_0000_0000;
/// `ret`.
const RETURN: u8 = 0xc3;
/// What the heap is soiled with.
const SOIL: u64 = 0xa5a5_a5a5_a5a5_a5a5;

fn read(at: u64) {
    // SAFETY: none: this has to end the trustlet.
    unsafe { asm!("mov {0:r}, [{0:r}]", inout(reg) at => _, options(nostack)) }
}

fn write(at: u64) {
    // SAFETY: none: this has to end the trustlet.
    unsafe { asm!("mov byte ptr [{0:r}], 1", in(reg) at, options(nostack)) }
}

fn jump(at: u64) {
    // SAFETY: none: this has to end the trustlet. If there is a `ret`, it comes back.
    unsafe { asm!("call {0:r}", in(reg) at, clobber_abi("C")) }
}

/// Tries one of these; `false` if it came back, or is none of these.
pub(crate) fn run(attack: Attack, given: &Given) -> bool {
    match attack {
        Attack::ReadNull => read(0),
        Attack::ReadMonitorCode => read(MONITOR_CODE),
        Attack::ReadMonitorData => read(MONITOR_DATA),
        Attack::WriteMonitorData => write(MONITOR_DATA),
        Attack::WriteMonitorCode => write(MONITOR_CODE),
        Attack::RunMonitorCode => jump(MONITOR_CODE),
        Attack::ReadAllMemory => read(ALL_MEMORY),
        Attack::WritePageTables => write(ALL_MEMORY + (1 << 20)),
        Attack::ReadPhysical => read(0x0200_0000),
        Attack::ReadNextRegion => {
            let ends = given
                .regions
                .iter()
                .map(|region| region.address + region.len_bytes);
            read(ends.max().unwrap_or(0));
        }
        Attack::WriteForeignRegion => write(given.foreign.address),
        Attack::WriteOwnCode => write(run as *const () as u64),
        Attack::RunOwnStack => {
            let code = [RETURN; 16];
            jump(core::hint::black_box(&code).as_ptr() as u64);
        }
        Attack::RunOwnRegion => {
            let at = core::ptr::with_exposed_provenance_mut::<u8>(given.own.address as usize);
            // SAFETY: a region that this trustlet may write.
            unsafe { at.write_volatile(RETURN) };
            jump(given.own.address);
        }
        Attack::ReadNonCanonical => read(NON_CANONICAL),
        Attack::JumpNonCanonical => jump(NON_CANONICAL),
        Attack::JumpWild => jump(0x1234_5000),
        _ => {}
    }
    false
}

/// The half of the heap that this trustlet does not use: words, and how many.
fn unused_heap() -> (*mut u64, usize) {
    let (at, len_bytes) = start::heap();
    let half = len_bytes / 2;
    (core::ptr::with_exposed_provenance_mut(at + half), half / 8)
}

/// Whether there is nothing in memory that this trustlet did not write.
pub(crate) fn heap_is_clean() -> bool {
    let (at, words) = unused_heap();
    (0..words).all(|offset| {
        // SAFETY: in the heap, where nothing was allocated yet.
        let word = unsafe { at.wrapping_add(offset).read_volatile() };
        word == 0
    })
}

/// Leaves something in memory.
pub(crate) fn soil_heap() {
    let (at, words) = unused_heap();
    for offset in 0..words {
        // SAFETY: in the heap, where nothing was allocated yet, and nothing will be.
        unsafe { at.wrapping_add(offset).write_volatile(SOIL) };
    }
}
