//! Lists of pages in the operating system's memory, of the calls that take one.
//!
//! ```text
//! u16 entries, u16 next, u32 reserved, then for each entry u64:
//!   bits 1..0    size of the page: 0 for 4 KiB, 1 for 2 MiB
//!   bit  2       1: validate, 0: rescind (of the call that validates)
//!   bit  3       1: a page that is so already is no error (likewise)
//!   bits 11..4   reserved
//!   bits 63..12  number of the page
//! ```

use super::code::Code;
use crate::frame::{FRAME_BYTES, FRAME_WORDS, Frame};
use crate::hardware::Hardware;
use crate::ledger::PageLedger;
use alloc::vec::Vec;

/// A list, copied once from memory that its author can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageList {
    frame: Frame,
    /// Where its header is; counts words.
    index: usize,
    header: u64,
    entries: Vec<u64>,
    next: usize,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The page.
    pub frame: Frame,
    /// Whether it has 2 MiB.
    pub is_large: bool,
    /// Bit 2.
    pub validate: bool,
    /// Bit 3.
    pub ignore_unchanged: bool,
}

impl PageList {
    /// Copies the list at a physical address.
    ///
    /// # Errors
    /// The code to answer with, if no list is there that is whole and within one page.
    pub fn copy(hardware: &impl Hardware, ledger: &PageLedger, address: u64) -> Result<Self, Code> {
        if !address.is_multiple_of(8) {
            return Err(Code::InvalidParameter);
        }
        let frame = Frame::at(address & !(FRAME_BYTES as u64 - 1)).ok_or(Code::InvalidAddress)?;
        // Whatever else is there is not for the operating system to have read, or written.
        if !ledger.is_of_system(frame) {
            return Err(Code::InvalidAddress);
        }
        let index = usize::try_from(address % FRAME_BYTES as u64 / 8).map_err(|_| Code::InvalidAddress)?;
        let header = hardware.read(frame, index);
        let (count, next) = (field(header, 0), field(header, 1));
        let first = index + 1;
        if count == 0 || next >= count || first + count > FRAME_WORDS {
            return Err(Code::InvalidParameter);
        }
        let entries = (first..first + count).map(|index| hardware.read(frame, index));
        Ok(Self {
            frame,
            index,
            header,
            entries: entries.collect(),
            next,
        })
    }

    /// The first entry that was not dealt with; `None` after the last.
    ///
    /// # Errors
    /// The code to answer with, if it is none.
    pub fn current(&self) -> Result<Option<Entry>, Code> {
        self.entries
            .get(self.next)
            .copied()
            .map(Entry::decode)
            .transpose()
    }

    /// Whether all entries were dealt with.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.next >= self.entries.len()
    }

    /// Writes a page into the current entry, and goes on.
    pub fn fill(&mut self, hardware: &mut impl Hardware, ledger: &PageLedger, frame: Frame) {
        if ledger.is_of_system(self.frame) {
            hardware.write(self.frame, self.index + 1 + self.next, frame.address());
        }
        self.advance();
    }

    /// The current one was dealt with.
    pub const fn advance(&mut self) {
        self.next += 1;
    }

    /// Says in the caller's memory how many entries were dealt with: of the list that it gave, whatever is
    /// there now. Nothing is said if the page is no longer its own: an entry may have named it.
    pub fn say(&self, hardware: &mut impl Hardware, ledger: &PageLedger) {
        if ledger.is_of_system(self.frame) {
            let header = self.header & !(0xffff << 16) | (self.next as u64 & 0xffff) << 16;
            hardware.write(self.frame, self.index, header);
        }
    }
}

impl Entry {
    fn decode(word: u64) -> Result<Self, Code> {
        let is_large = match word & 3 {
            0 => false,
            1 => true,
            _ => return Err(Code::InvalidParameter),
        };
        if word & 0xff0 != 0 {
            return Err(Code::InvalidFormat);
        }
        let frame = Frame::at(word & !0xfff).ok_or(Code::InvalidAddress)?;
        Ok(Self {
            frame,
            is_large,
            validate: word & 1 << 2 != 0,
            ignore_unchanged: word & 1 << 3 != 0,
        })
    }
}

/// A field of 16 bits of a header.
const fn field(header: u64, number: u32) -> usize {
    (header >> (16 * number) & 0xffff) as usize
}
