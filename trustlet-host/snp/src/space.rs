//! The address space of a trustlet: page tables of four levels (APM volume 2, section 5.3), which the monitor
//! alone writes.
//!
//! No page is writable in two spaces, none is writable and executable, and each is mapped only as what it was
//! taken for: [`Space::map`] asks the ledger.

use crate::frame::{FRAME_BYTES, FRAME_WORDS, Frame};
use crate::hardware::Hardware;
use crate::ledger::{PageLedger, Purpose, Refused, SpaceId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Addresses of user space end here, with page tables of four levels.
pub const ADDRESS_END: u64 = 1 << 47;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Set from the start, so that no walk has to write it.
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
/// Where in an entry the address is.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What a trustlet may do with what is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
    /// Read and execute it.
    Execute,
}

/// Why a page is not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotMapped {
    /// No page can be there.
    #[error("{0:#x} is no address of a page of user space")]
    Address(u64),
    /// Another page is there.
    #[error("a page is mapped at {0:#x} already")]
    Occupied(u64),
    /// It was taken for something else, or for somebody else.
    #[error("the page may not be mapped so")]
    Forbidden,
    /// There is no page for a table, or none to be mapped.
    #[error("{0}")]
    Refused(#[from] Refused),
}

/// An address space.
pub struct Space {
    id: SpaceId,
    root: Frame,
    /// The bit that makes a page encrypted memory, in the address of an entry (APM volume 2, section 7.10);
    /// 0 where there is none.
    encrypted: u64,
    tables: Vec<Frame>,
    /// By address.
    mapped: BTreeMap<u64, Mapped>,
}

/// A page that is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The page.
    pub frame: Frame,
    /// What may be done with it there.
    pub access: Access,
}

impl Space {
    /// An empty one. `encrypted` is the bit of addresses that makes pages encrypted, or 0.
    ///
    /// # Errors
    /// When there is no page for it.
    pub fn new(
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        id: SpaceId,
        encrypted: u64,
    ) -> Result<Self, Refused> {
        let root = ledger.take(hardware, Purpose::Table(id))?;
        Ok(Self {
            id,
            root,
            encrypted,
            tables: Vec::new(),
            mapped: BTreeMap::new(),
        })
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> SpaceId {
        self.id
    }

    /// What CR3 is set to while its trustlet runs.
    #[must_use]
    pub const fn cr3(&self) -> u64 {
        self.root.address() | self.encrypted
    }

    /// The page at an address.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<Mapped> {
        self.mapped.get(&address).copied()
    }

    /// Maps a page.
    ///
    /// # Errors
    /// [`NotMapped`]. Then nothing leads to it that did not before.
    pub fn map(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        address: u64,
        frame: Frame,
        access: Access,
    ) -> Result<(), NotMapped> {
        // Nothing is mapped where null pointers lead.
        if !address.is_multiple_of(FRAME_BYTES as u64) || address == 0 || address >= ADDRESS_END {
            return Err(NotMapped::Address(address));
        }
        if self.mapped.contains_key(&address) {
            return Err(NotMapped::Occupied(address));
        }
        if !self.may_map(ledger.purpose(frame), access) {
            return Err(NotMapped::Forbidden);
        }
        let table = self.table_of(hardware, ledger, address)?;
        ledger.mapped(frame, access == Access::Write)?;
        let rights = match access {
            Access::Read => NO_EXECUTE,
            Access::Write => NO_EXECUTE | WRITABLE | DIRTY,
            Access::Execute => 0,
        };
        let entry = frame.address() | self.encrypted | rights | PRESENT | USER | ACCESSED;
        hardware.write(table, index_at(address, 0), entry);
        self.mapped.insert(address, Mapped { frame, access });
        Ok(())
    }

    /// Takes a mapping away, and gives the page that was there.
    pub fn unmap(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        address: u64,
    ) -> Option<Frame> {
        let Mapped { frame, access } = self.mapped.remove(&address)?;
        if let Some(table) = self.existing_table_of(hardware, address) {
            hardware.write(table, index_at(address, 0), 0);
        }
        hardware.flush();
        ledger.unmapped(frame, access == Access::Write);
        Some(frame)
    }

    /// Ends it: takes all mappings away, and gives the pages back that it has alone. Its trustlet runs no
    /// more.
    ///
    /// # Errors
    /// When the processor refuses to take one back; all others are back.
    pub fn end(self, hardware: &mut impl Hardware, ledger: &mut PageLedger) -> Result<(), Refused> {
        let Self {
            id,
            root,
            encrypted: _,
            tables,
            mapped,
        } = self;
        // Nothing leads anywhere any more.
        for index in 0..FRAME_WORDS {
            hardware.write(root, index, 0);
        }
        hardware.flush();
        let mut result = Ok(());
        let mut release = |hardware: &mut _, ledger: &mut PageLedger, frame| {
            result = result.and(ledger.release(hardware, frame));
        };
        for Mapped { frame, access } in mapped.values() {
            ledger.unmapped(*frame, *access == Access::Write);
        }
        for Mapped { frame, .. } in mapped.into_values() {
            // One that was mapped at two addresses comes back once.
            if ledger.purpose(frame) == Some(Purpose::Private(id)) {
                release(hardware, ledger, frame);
            }
        }
        for table in tables {
            release(hardware, ledger, table);
        }
        release(hardware, ledger, root);
        result
    }

    fn may_map(&self, purpose: Option<Purpose>, access: Access) -> bool {
        match (purpose, access) {
            (Some(Purpose::Private(of)), Access::Read | Access::Write) => of == self.id,
            (Some(Purpose::Region { writer }), Access::Write) => writer == Some(self.id),
            (Some(Purpose::Region { .. } | Purpose::Code), Access::Read)
            | (Some(Purpose::Code), Access::Execute) => true,
            _ => false,
        }
    }

    /// The last table on the way to an address, made where it is missing.
    fn table_of(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        address: u64,
    ) -> Result<Frame, Refused> {
        let mut table = self.root;
        for level in (1..=3).rev() {
            let index = index_at(address, level);
            table = match next_table(hardware, table, index, self.encrypted) {
                Some(next) => next,
                None => {
                    let next = ledger.take(hardware, Purpose::Table(self.id))?;
                    self.tables.push(next);
                    let rights = PRESENT | WRITABLE | USER | ACCESSED;
                    hardware.write(table, index, next.address() | self.encrypted | rights);
                    next
                }
            };
        }
        Ok(table)
    }

    fn existing_table_of(&self, hardware: &impl Hardware, address: u64) -> Option<Frame> {
        (1..=3).rev().try_fold(self.root, |table, level| {
            next_table(hardware, table, index_at(address, level), self.encrypted)
        })
    }
}

fn next_table(hardware: &impl Hardware, table: Frame, index: usize, encrypted: u64) -> Option<Frame> {
    let entry = hardware.read(table, index);
    if entry & PRESENT == 0 {
        return None;
    }
    Frame::at(entry & ADDRESS & !encrypted)
}

/// The entry of a table of a level, 0 for the last, that leads on to an address.
const fn index_at(address: u64, level: u32) -> usize {
    ((address >> (12 + 9 * level)) & 0x1ff) as usize
}

#[cfg(test)]
mod tests;
