//! The monitor's own page tables: its code, its data and all memory of trustlets, for CPL0 alone, in the
//! upper half of addresses. The tables of each trustlet share them.
//!
//! Nothing is writable and executable, and nothing of the lower half is mapped: null pointers of the
//! monitor lead nowhere. The first page of its stack is not there, so a stack that is too small ends the
//! machine and overwrites nothing.
#![allow(unsafe_code, reason = "tables that the processor reads")]

use crate::processor;
use core::ops::Range;
use core::ptr::addr_of_mut;
use hacher_snp::frame::{FRAME_BYTES, Frame};
use hacher_snp::hardware::Hardware;

/// What the image is linked at above where it is loaded.
const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;
/// Where memory is, above its physical address.
const MEMORY_BASE: u64 = 0xffff_8000_0000_0000;
/// Where in the first table the monitor begins.
const MONITOR_FROM: usize = 256;
const ENTRIES: usize = 512;
const LARGE_BYTES: u64 = 2 << 20;
/// Tables of 2 MiB each: more than the image has.
const IMAGE_TABLES: usize = 32;
/// What one table of large pages maps.
const MEMORY_END: u64 = 1 << 30;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 5 | 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

impl Table {
    const EMPTY: Self = Self([0; ENTRIES]);
}

static mut ROOT: Table = Table::EMPTY;
static mut MEMORY: Table = Table::EMPTY;
static mut MEMORY_PAGES: Table = Table::EMPTY;
static mut IMAGE: Table = Table::EMPTY;
static mut IMAGE_PARTS: Table = Table::EMPTY;
static mut IMAGE_PAGES: [Table; IMAGE_TABLES] = [const { Table::EMPTY }; IMAGE_TABLES];

unsafe extern "C" {
    static image_text: [u8; 0];
    static image_rodata: [u8; 0];
    static image_data: [u8; 0];
    static image_guard: [u8; 0];
    static image_stack: [u8; 0];
    static image_end: [u8; 0];
}

fn physical(table: *mut Table) -> u64 {
    table as u64 - IMAGE_BASE
}

fn set(table: *mut Table, index: usize, entry: u64) {
    let entries = table.cast::<u64>();
    debug_assert!(index < ENTRIES);
    // SAFETY: one of the entries; nobody has a reference to a table, and the processor reads whole words.
    unsafe { entries.wrapping_add(index).write_volatile(entry) };
}

const fn index_at(address: u64, level: u32) -> usize {
    ((address >> (12 + 9 * level)) & 0x1ff) as usize
}

/// Where the image ends in physical memory.
pub(crate) fn image_end_at() -> u64 {
    (&raw const image_end) as u64 - IMAGE_BASE
}

/// What CR3 is while the monitor runs.
pub(crate) fn own_tables() -> u64 {
    physical(addr_of_mut!(ROOT))
}

/// The pages that trustlets can get of this memory: what lies behind the image, to the end.
pub(crate) fn pages_for_trustlets(memory: &Range<u64>) -> Range<u64> {
    let begin = image_end_at().next_multiple_of(LARGE_BYTES).max(memory.start);
    let end = memory.end.min(MEMORY_END) / LARGE_BYTES * LARGE_BYTES;
    begin / FRAME_BYTES as u64..end.max(begin) / FRAME_BYTES as u64
}

/// Makes the tables and takes them. Once. `frames` are the pages that the monitor reaches beside the image.
pub(crate) fn begin(frames: &Range<u64>) {
    let root = addr_of_mut!(ROOT);
    let (memory, memory_pages) = (addr_of_mut!(MEMORY), addr_of_mut!(MEMORY_PAGES));
    set(
        root,
        index_at(MEMORY_BASE, 3),
        physical(memory) | PRESENT | WRITABLE | ACCESSED,
    );
    set(memory, 0, physical(memory_pages) | PRESENT | WRITABLE | ACCESSED);
    let bytes = frames.start * FRAME_BYTES as u64..frames.end * FRAME_BYTES as u64;
    for at in bytes.step_by(LARGE_BYTES as usize) {
        let rights = PRESENT | WRITABLE | ACCESSED | LARGE | NO_EXECUTE;
        set(memory_pages, index_at(at, 1), at | rights);
    }
    let (image, parts) = (addr_of_mut!(IMAGE), addr_of_mut!(IMAGE_PARTS));
    set(
        root,
        index_at(IMAGE_BASE, 3),
        physical(image) | PRESENT | WRITABLE | ACCESSED,
    );
    set(
        image,
        index_at(IMAGE_BASE, 2),
        physical(parts) | PRESENT | WRITABLE | ACCESSED,
    );
    map_image(parts);
    // SAFETY: the monitor is mapped in them where it is linked, and uses no other addresses from here on.
    unsafe { processor::take_tables(own_tables()) };
}

fn map_image(parts: *mut Table) {
    let [text, rodata, data, guard, stack, end] = [
        &raw const image_text,
        &raw const image_rodata,
        &raw const image_data,
        &raw const image_guard,
        &raw const image_stack,
        &raw const image_end,
    ]
    .map(|symbol| symbol as u64);
    let tables = addr_of_mut!(IMAGE_PAGES).cast::<Table>();
    for at in (text..end).step_by(FRAME_BYTES) {
        if (guard..stack).contains(&at) {
            continue;
        }
        let rights = if at < rodata {
            0
        } else if at < data {
            NO_EXECUTE
        } else {
            WRITABLE | NO_EXECUTE
        };
        let part = index_at(at, 1);
        assert!(
            part < IMAGE_TABLES,
            "the image is longer than what is mapped of it"
        );
        let table = tables.wrapping_add(part);
        set(parts, part, physical(table) | PRESENT | WRITABLE | ACCESSED);
        set(
            table,
            index_at(at, 0),
            (at - IMAGE_BASE) | PRESENT | ACCESSED | rights,
        );
    }
}

/// Adds the monitor to the tables of a trustlet, whose first one is `root`. Only the first table's entries
/// are copied, and they never change.
pub(crate) fn share(hardware: &mut impl Hardware, root: Frame) {
    let own = addr_of_mut!(ROOT).cast::<u64>();
    for index in MONITOR_FROM..ENTRIES {
        // SAFETY: one of the entries, which nobody writes any more.
        let entry = unsafe { own.wrapping_add(index).read() };
        hardware.write(root, index, entry);
    }
}

/// Where the monitor reaches a word of a page of trustlets.
pub(crate) fn word_at(frame: Frame, index: usize) -> *mut u64 {
    let at = MEMORY_BASE + frame.address() + index as u64 * 8;
    core::ptr::with_exposed_provenance_mut(at as usize)
}
