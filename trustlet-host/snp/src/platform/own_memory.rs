//! Memory of trustlets in the hands of the monitor: filled before they run, and copied from and to when they
//! call.
//!
//! A trustlet's pointers are looked up in its space, page by page, and have to lead to memory of its own that
//! it can write. No other pointer of it is followed.

use crate::frame::{FRAME_BYTES, Frame};
use crate::hardware::Hardware;
use crate::ledger::{PageLedger, Purpose, Refused};
use crate::space::{Access, Mapped, Space};
use alloc::vec;
use alloc::vec::Vec;

/// Writes bytes into a page; those beyond its end are dropped.
pub(super) fn write(hardware: &mut impl Hardware, frame: Frame, at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len()).min(FRAME_BYTES);
    let mut at = at;
    let mut bytes = bytes;
    while at < end {
        let (index, offset) = (at / 8, at % 8);
        let count = (8 - offset).min(end - at);
        let Some((now, later)) = bytes.split_at_checked(count) else {
            return;
        };
        let mut word = hardware.read(frame, index).to_le_bytes();
        if let Some(place) = word.get_mut(offset..offset + count) {
            place.copy_from_slice(now);
        }
        hardware.write(frame, index, u64::from_le_bytes(word));
        (at, bytes) = (at + count, later);
    }
}

/// Reads bytes of a page.
fn read(hardware: &impl Hardware, frame: Frame, at: usize, into: &mut [u8]) {
    for (at, byte) in (at..FRAME_BYTES).zip(into) {
        let word = hardware.read(frame, at / 8).to_le_bytes();
        *byte = word.get(at % 8).copied().unwrap_or(0);
    }
}

/// The pieces of `len_bytes` bytes at an address of a trustlet: page, place in it, and bytes; `None` if one
/// is not its own to write.
fn pieces(
    space: &Space,
    ledger: &PageLedger,
    address: u64,
    len_bytes: usize,
) -> Option<Vec<(Frame, usize, usize)>> {
    let end = address.checked_add(u64::try_from(len_bytes).ok()?)?;
    let mut pieces = Vec::new();
    let mut at = address;
    while at < end {
        let offset = usize::try_from(at % FRAME_BYTES as u64).ok()?;
        let Mapped { frame, access } = space.at(at - offset as u64)?;
        let is_own = ledger.purpose(frame) == Some(Purpose::Private(space.id())) && access == Access::Write;
        if !is_own {
            return None;
        }
        let left = usize::try_from(end - at).ok()?;
        let count = left.min(FRAME_BYTES - offset);
        pieces.push((frame, offset, count));
        at += count as u64;
    }
    Some(pieces)
}

/// A copy of bytes at an address of a trustlet.
pub(super) fn copy_in(
    hardware: &impl Hardware,
    (space, ledger): (&Space, &PageLedger),
    address: u64,
    len_bytes: usize,
) -> Option<Vec<u8>> {
    let pieces = pieces(space, ledger, address, len_bytes)?;
    let mut bytes = vec![0; len_bytes];
    let mut rest = bytes.as_mut_slice();
    for (frame, at, count) in pieces {
        let (now, later) = rest.split_at_mut_checked(count)?;
        read(hardware, frame, at, now);
        rest = later;
    }
    Some(bytes)
}

/// Copies bytes to an address of a trustlet: all, or none.
#[must_use]
pub(super) fn copy_out(
    hardware: &mut impl Hardware,
    (space, ledger): (&Space, &PageLedger),
    address: u64,
    bytes: &[u8],
) -> Option<()> {
    let mut rest = bytes;
    for (frame, at, count) in pieces(space, ledger, address, bytes.len())? {
        let (now, later) = rest.split_at_checked(count)?;
        write(hardware, frame, at, now);
        rest = later;
    }
    Some(())
}

/// Whether bytes could be copied there.
#[must_use]
pub(super) fn can_copy_out((space, ledger): (&Space, &PageLedger), address: u64, len_bytes: usize) -> bool {
    pieces(space, ledger, address, len_bytes).is_some()
}

/// Takes a page for `purpose` and fills it.
pub(super) fn filled(
    hardware: &mut impl Hardware,
    ledger: &mut PageLedger,
    purpose: Purpose,
    (lead, bytes): (usize, &[u8]),
) -> Result<Frame, Refused> {
    let frame = ledger.take(hardware, purpose)?;
    write(hardware, frame, lead, bytes);
    Ok(frame)
}
