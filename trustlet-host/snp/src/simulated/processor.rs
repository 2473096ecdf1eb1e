//! A virtual processor at a level: it walks page tables, asks the reverse map, and remembers both.

use super::{ENCRYPTED, Fault, Kind, Machine};
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
    /// By page of the address; what is older than the last flush counts no more.
    remembered: BTreeMap<(u64, u8), Remembered>,
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
            self.since = machine.flushes;
        }
        let needs = self.needs(kind);
        let key = (address / 4096, needs.bits());
        if let Some(known) = self.remembered.get(&key)
            && known.allows.contain(needs)
        {
            return Ok(known.frame);
        }
        let frame = match self.ring {
            Ring::System => Frame::at(address & !0xfff).ok_or(Fault::PageTable)?,
            Ring::User { cr3 } => self.walk(machine, cr3, address, kind)?,
        };
        machine.check(frame, self.level, needs)?;
        self.remembered.insert(key, Remembered { frame, allows: needs });
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

    /// Walks four tables. Each is read with the rights of this level, and written where it does not say yet that
    /// it was used.
    fn walk(&self, machine: &Machine, cr3: u64, address: u64, kind: Kind) -> Result<Frame, Fault> {
        if address >> 47 != 0 {
            return Err(Fault::Privilege);
        }
        let mut entry = cr3;
        for level in (0..4).rev() {
            let table = page_of(entry)?;
            machine.check(table, self.level, Permissions::READ)?;
            let index = usize::try_from(address >> (12 + 9 * level) & 0x1ff).expect("nine bits");
            entry = machine.word(table, index).load(Ordering::Relaxed);
            let is_leaf = level == 0;
            let refused = entry & PRESENT == 0
                || entry & USER == 0
                || kind == Kind::Store && entry & WRITABLE == 0
                || kind == Kind::Fetch && entry & NO_EXECUTE != 0;
            if refused {
                return Err(Fault::PageTable);
            }
            let is_marked = entry & ACCESSED != 0 && (!is_leaf || kind != Kind::Store || entry & DIRTY != 0);
            if !is_marked {
                machine.check(table, self.level, Permissions::WRITE)?;
            }
        }
        page_of(entry)
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
