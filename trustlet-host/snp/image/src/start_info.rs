//! What the loader tells of the machine: the start info of the PVH protocol (Xen,
//! `public/arch-x86/hvm/start_info.h`).
#![allow(unsafe_code, reason = "reads memory by its physical address")]

use core::ops::Range;
use zerocopy::FromBytes;

const MAGIC: u32 = 0x336e_c578;
/// The first version that has a map of memory.
const VERSION: u32 = 1;
const RAM: u32 = 1;
/// More than any machine has.
const ENTRIES_MAX: u32 = 128;
/// What is mapped while this is read.
const MAPPED_END: u64 = 1 << 30;

#[derive(FromBytes)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    _modules: u32,
    _modules_at: u64,
    _command_line_at: u64,
    _acpi_at: u64,
    memory_at: u64,
    memory_entries: u32,
    _reserved: u32,
}

#[derive(FromBytes)]
#[repr(C)]
struct Entry {
    at: u64,
    len_bytes: u64,
    kind: u32,
    _reserved: u32,
}

/// What lies at a physical address, as long as the first GiB is mapped where it is.
fn at<T: FromBytes>(address: u64) -> Option<T> {
    let end = address.checked_add(size_of::<T>() as u64)?;
    if address == 0 || end > MAPPED_END {
        return None;
    }
    // SAFETY: mapped, as the caller says, any bytes are a `T`, and the read asks for no alignment.
    Some(unsafe { core::ptr::with_exposed_provenance::<T>(usize::try_from(address).ok()?).read_unaligned() })
}

/// The memory that `address` is in, up to the first GiB; `None` if the loader told of none.
pub(crate) fn memory_around(start_info_at: u64, address: u64) -> Option<Range<u64>> {
    let info: StartInfo = at(start_info_at)?;
    if info.magic != MAGIC || info.version < VERSION || info.memory_entries > ENTRIES_MAX {
        return None;
    }
    for number in 0..u64::from(info.memory_entries) {
        let entry: Entry = at(info.memory_at.checked_add(number * size_of::<Entry>() as u64)?)?;
        let end = entry.at.checked_add(entry.len_bytes)?.min(MAPPED_END);
        if entry.kind == RAM && (entry.at..end).contains(&address) {
            return Some(entry.at..end);
        }
    }
    None
}
