//! A virtual processor at a level: it walks page tables, asks the reverse map, and remembers both. It marks
//! no entry as accessed or dirty: one that is not marked is not there for it, or not to be written.

use super::machine::{ENCRYPTED, Fault, Kind, Machine};
use crate::frame::Frame;
use crate::rmp::{Permissions, Vmpl};
use alloc::collections::BTreeMap;
use hacher_data_path::sync::Ordering;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x0007_ffff_ffff_f000;

/// Where code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// CPL0, without page tables: addresses are physical. An operating system can map whatever it likes, so
    /// nothing is lost.
    System,
    /// CPL3, with the page tables that CR3 leads to.
    User {
        /// The register.
        cr3: u64,
    },
}

/// A translation that was found once.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    frame: Frame,
    allows: Permissions,
}

/// A virtual processor.
pub struct Processor {
    level: Vmpl,
    ring: Ring,
    /// By page of the address, with all that page tables and reverse map allowed; what is older than the
    /// last flush counts no more.
    remembered: BTreeMap<u64, Remembered>,
    /// The last table on the way to each 2 MiB.
    tables: BTreeMap<u64, Frame>,
    since: u64,
}

impl Processor {
    /// One that has touched nothing yet.
    #[must_use]
    pub const fn new(level: Vmpl, ring: Ring) -> Self {
        Self {
            level,
            ring,
            remembered: BTreeMap::new(),
            tables: BTreeMap::new(),
            since: 0,
        }
    }

    /// Reads a word.
    ///
    /// # Errors
    /// The fault that is raised.
    pub fn load(&mut self, machine: &Machine, address: u64) -> Result<u64, Fault> {
        let frame = self.translate(machine, address, Kind::Load)?;
        Ok(machine.word(frame, word_of(address)).load(Ordering::Relaxed))
    }

    /// Writes a word.
    ///
    /// # Errors
    /// The fault that is raised.
    pub fn store(&mut self, machine: &mut Machine, address: u64, word: u64) -> Result<(), Fault> {
        let frame = self.translate(machine, address, Kind::Store)?;
        machine
            .word(frame, word_of(address))
            .store(word, Ordering::Relaxed);
        Ok(())
    }

    /// Executes what is at an address: gives its first word.
    ///
    /// # Errors
    /// The fault that is raised.
    pub fn fetch(&mut self, machine: &Machine, address: u64) -> Result<u64, Fault> {
        let frame = self.translate(machine, address, Kind::Fetch)?;
        Ok(machine.word(frame, word_of(address)).load(Ordering::Relaxed))
    }

    /// The page that is read at an address.
    ///
    /// # Errors
    /// The fault that is raised.
    pub fn reaches(&mut self, machine: &Machine, address: u64) -> Result<Frame, Fault> {
        self.translate(machine, address, Kind::Load)
    }

    fn translate(&mut self, machine: &Machine, address: u64, kind: Kind) -> Result<Frame, Fault> {
        if machine.has_stopped() {
            return Err(Fault::ReverseMap);
        }
        if self.since != machine.flushes {
            self.remembered.clear();
            self.tables.clear();
            self.since = machine.flushes;
        }
        let needs = self.needs(kind);
        let page = address / 4096;
        if let Some(known) = self.remembered.get(&page)
            && known.allows.contain(needs)
        {
            return Ok(known.frame);
        }
        let (frame, by_tables) = match self.ring {
            Ring::System => (
                Frame::at(address & !0xfff).ok_or(Fault::PageTable)?,
                Permissions::ALL,
            ),
            Ring::User { cr3 } => self.walk(machine, cr3, address, kind)?,
        };
        machine.check(frame, self.level, needs)?;
        let allows = by_tables.also_in(machine.permissions(frame, self.level));
        self.remembered.insert(page, Remembered { frame, allows });
        Ok(frame)
    }

    const fn needs(&self, kind: Kind) -> Permissions {
        match (kind, self.ring) {
            (Kind::Load, _) => Permissions::READ,
            (Kind::Store, _) => Permissions::WRITE,
            (Kind::Fetch, Ring::System) => Permissions::EXECUTE_SUPERVISOR,
            (Kind::Fetch, Ring::User { .. }) => Permissions::EXECUTE_USER,
        }
    }

    /// Walks four tables, or the last one, where the way to it is remembered; the page, and what may be done
    /// with it. Whoever walks a table counts as one who writes it.
    fn walk(
        &mut self,
        machine: &Machine,
        cr3: u64,
        address: u64,
        kind: Kind,
    ) -> Result<(Frame, Permissions), Fault> {
        if address >> 47 != 0 {
            return Err(Fault::Privilege);
        }
        let prefix = address >> 21;
        let last = match self.tables.get(&prefix) {
            Some(&table) => table,
            None => {
                let mut entry = cr3;
                for level in (1..4).rev() {
                    entry = self.entry(machine, page_of(entry)?, address, level)?;
                    if entry & WRITABLE == 0 || entry & NO_EXECUTE != 0 {
                        return Err(Fault::PageTable);
                    }
                }
                page_of(entry)?
            }
        };
        let entry = self.entry(machine, last, address, 0)?;
        self.tables.insert(prefix, last);
        let mut allows = Permissions::READ;
        if entry & WRITABLE != 0 && entry & DIRTY != 0 {
            allows = allows.and(Permissions::WRITE);
        }
        if entry & NO_EXECUTE == 0 {
            allows = allows.and(Permissions::EXECUTE_USER);
        }
        if !allows.contain(self.needs(kind)) {
            return Err(Fault::PageTable);
        }
        Ok((page_of(entry)?, allows))
    }

    fn entry(&self, machine: &Machine, table: Frame, address: u64, level: u32) -> Result<u64, Fault> {
        machine.check(table, self.level, Permissions::READ.and(Permissions::WRITE))?;
        let index = usize::try_from((address >> (12 + 9 * level)) & 0x1ff).expect("nine bits");
        let entry = machine.word(table, index).load(Ordering::Relaxed);
        if entry & (PRESENT | USER | ACCESSED) == PRESENT | USER | ACCESSED {
            Ok(entry)
        } else {
            Err(Fault::PageTable)
        }
    }
}

/// The page of the guest's memory that an entry leads to.
fn page_of(entry: u64) -> Result<Frame, Fault> {
    if entry & ENCRYPTED == 0 {
        return Err(Fault::ReverseMap);
    }
    Frame::at(entry & ADDRESS & !ENCRYPTED).ok_or(Fault::ReverseMap)
}

fn word_of(address: u64) -> usize {
    usize::try_from(address % 4096 / 8).expect("a word of a page")
}
