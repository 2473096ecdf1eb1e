//! Memory, its reverse map, and what a hypervisor does to both; and the monitor's view of them.

use crate::frame::{FRAME_BYTES, FRAME_WORDS, Frame};
use crate::hardware::Hardware;
use crate::rmp::{Adjustment, Permissions, RmpError, Vmpl};
use crate::state::{self, SVME};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use hacher_data_path::region::heap::Heap;
use hacher_data_path::region::memory::OwnRegion;
use hacher_data_path::sync::{AtomicU64, Ordering};

/// The bit of addresses that makes a page encrypted. What is mapped without it is not memory of the guest.
pub const ENCRYPTED: u64 = 1 << 51;

/// An access that was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A page fault: the page tables do not allow it.
    PageTable,
    /// A nested page fault, which ends up with the hypervisor: the reverse map does not allow it.
    ReverseMap,
    /// A VMM communication exception: the page was not validated.
    NotValidated,
    /// A general protection fault: the instruction is not for this level or ring.
    Privilege,
}

/// What is done with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is read.
    Load,
    /// It is written.
    Store,
    /// It is executed.
    Fetch,
}

/// The entry of a page in the reverse map.
#[derive(Debug, Clone, Copy)]
struct Entry {
    assigned: bool,
    validated: bool,
    permissions: [Permissions; 4],
    /// Whether it is the state of a virtual processor, and whether one runs from it.
    is_state: bool,
    runs: bool,
}

impl Entry {
    /// As it comes from the hypervisor: all for the first level, nothing for the others.
    const fn new(assigned: bool) -> Self {
        let mut permissions = [Permissions::NONE; 4];
        permissions[0] = Permissions::ALL;
        Self {
            assigned,
            validated: false,
            permissions,
            is_state: false,
            runs: false,
        }
    }
}

/// What a page holds.
type Words = Box<[u64; FRAME_WORDS]>;

/// The machine.
pub struct Machine {
    heap: Heap,
    /// The same, to be reached.
    memory: OwnRegion,
    entries: Vec<Entry>,
    /// Whether the hypervisor lets nobody write there (firmware): who tries does so for ever.
    read_only: Vec<bool>,
    /// Memory that the hypervisor can put behind the same addresses, with entries of its own in the reverse
    /// map.
    others: Vec<(Words, Entry)>,
    /// What was permitted once counts until the number changes.
    pub(super) flushes: u64,
    stopped: Cell<bool>,
}

impl Machine {
    /// One of `pages` pages, of which the hypervisor has assigned all to the guest.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let heap = Heap::new(pages * FRAME_BYTES);
        Self {
            memory: OwnRegion::new(Box::new(heap.clone())),
            heap,
            entries: alloc::vec![Entry::new(true); pages],
            read_only: alloc::vec![false; pages],
            others: (0..pages)
                .map(|_| (Words::new([0; FRAME_WORDS]), Entry::new(true)))
                .collect(),
            flushes: 0,
            stopped: Cell::new(false),
        }
    }

    /// All of its memory, as programs of the host reach it.
    #[must_use]
    pub fn heap(&self) -> Heap {
        self.heap.clone()
    }

    /// The page with a number.
    #[must_use]
    pub fn frame(&self, number: usize) -> Frame {
        assert!(
            number < self.entries.len(),
            "a page that the machine does not have"
        );
        Frame::at(number as u64 * 4096).expect("a page of the machine")
    }

    /// Whether the monitor met a page that the hypervisor had taken away. Then nothing goes on in this
    /// machine.
    #[must_use]
    pub const fn has_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// What a level may do with a page; nothing if it was not validated.
    #[must_use]
    pub fn permissions(&self, frame: Frame, level: Vmpl) -> Permissions {
        let entry = self.entries[place(frame)];
        if entry.assigned && entry.validated {
            entry.permissions[level as usize]
        } else {
            Permissions::NONE
        }
    }

    /// What a page holds, whoever may read it.
    #[must_use]
    pub fn words(&self, frame: Frame) -> [u64; FRAME_WORDS] {
        core::array::from_fn(|index| self.word(frame, index).load(Ordering::Relaxed))
    }

    pub(super) fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        let word = self.memory.word(place(frame) * FRAME_BYTES + index * 8);
        word.expect("a word of the machine's memory")
    }

    fn fill(&self, frame: Frame, words: &[u64; FRAME_WORDS]) {
        for (index, &word) in words.iter().enumerate() {
            self.word(frame, index).store(word, Ordering::Relaxed);
        }
    }

    /// What the launch of the guest does with a page: it is validated, and a level has it.
    pub fn launch(&mut self, frame: Frame, level: Vmpl) {
        let entry = &mut self.entries[place(frame)];
        entry.validated = true;
        entry.permissions[level as usize] = Permissions::ALL;
    }

    /// `PVALIDATE`, at a level and at CPL0.
    ///
    /// # Errors
    /// The fault that it raises.
    pub fn pvalidate(
        &mut self,
        level: Vmpl,
        frame: Frame,
        valid: bool,
    ) -> Result<Result<(), RmpError>, Fault> {
        if level != Vmpl::Zero {
            return Err(Fault::Privilege);
        }
        let Some(page) = self.entries.get_mut(place(frame)).filter(|page| page.assigned) else {
            return Err(Fault::ReverseMap);
        };
        if page.validated == valid {
            return Ok(Err(RmpError::Unchanged));
        }
        page.validated = valid;
        Ok(Ok(()))
    }

    /// `RMPADJUST`, at a level and at CPL0.
    ///
    /// # Errors
    /// The fault that it raises.
    pub fn rmpadjust(
        &mut self,
        level: Vmpl,
        frame: Frame,
        adjustment: Adjustment,
    ) -> Result<Result<(), RmpError>, Fault> {
        let Some(page) = self.entries.get_mut(place(frame)).filter(|page| page.assigned) else {
            return Err(Fault::ReverseMap);
        };
        if !page.validated {
            return Err(Fault::NotValidated);
        }
        if adjustment.level <= level || !page.permissions[level as usize].contain(adjustment.permissions) {
            return Ok(Err(RmpError::Permission));
        }
        page.permissions[adjustment.level as usize] = adjustment.permissions;
        if level == Vmpl::Zero {
            // Bit 16 is clear.
            page.is_state = false;
        }
        Ok(Ok(()))
    }

    /// The hypervisor has a processor run from a page: at which level. `None` if it cannot.
    pub fn enter(&mut self, frame: Frame) -> Option<Vmpl> {
        let entry = self.entries.get(place(frame)).copied()?;
        let may = entry.assigned && entry.validated && entry.is_state && !entry.runs;
        let words = self.words(frame);
        if !may || self.has_stopped() || words[state::word::EFER] & SVME == 0 {
            return None;
        }
        let level = words[state::word::LEVELS] >> 16 & 0xff;
        let level = Vmpl::ALL.into_iter().find(|known| *known as u64 == level)?;
        self.entries[place(frame)].runs = true;
        Some(level)
    }

    /// The processor that runs from a page leaves to the hypervisor, for the reason that this code says. It
    /// leaves these registers, by their words.
    pub fn leave(&mut self, frame: Frame, exit_code: u64, registers: &[(usize, u64)]) {
        let entry = &mut self.entries[place(frame)];
        if core::mem::take(&mut entry.runs) {
            let exit = (state::word::EXIT_CODE, exit_code);
            for &(index, word) in registers.iter().chain([&exit]) {
                self.word(frame, index).store(word, Ordering::Relaxed);
            }
        }
    }

    /// Marks a page, as a monitor does that forgets to take the mark away.
    #[cfg(test)]
    pub(super) fn mark(&mut self, frame: Frame) {
        self.entries[place(frame)].is_state = true;
    }

    /// From now on the hypervisor lets nobody write to a page, whatever the reverse map says.
    pub fn forbid_writing(&mut self, frame: Frame) {
        self.read_only[place(frame)] = true;
    }

    /// Whether a page is marked as the state of a virtual processor, and whether one runs from it.
    #[must_use]
    pub fn state(&self, frame: Frame) -> (bool, bool) {
        let entry = self.entries[place(frame)];
        (entry.is_state, entry.runs)
    }

    /// The hypervisor takes a page away, or gives it again with what it held. Processors forget it at once.
    pub fn assign(&mut self, frame: Frame, assigned: bool) {
        // What a processor runs from is not to be taken away.
        if self.entries[place(frame)].runs {
            return;
        }
        self.entries[place(frame)] = Entry::new(assigned);
        self.flushes += 1;
    }

    /// The hypervisor puts the memory of one page in the place of another's, whose own is put in its place.
    /// The guest's key opens both.
    pub fn exchange(&mut self, one: Frame, other: Frame) {
        if [one, other].iter().any(|frame| self.entries[place(*frame)].runs) {
            return;
        }
        let (words, others) = (self.words(one), self.words(other));
        self.fill(one, &others);
        self.fill(other, &words);
        self.assign(one, true);
        self.assign(other, true);
    }

    /// The hypervisor puts other memory behind an address, or what was there before: as long as the guest has
    /// validated one of them only, it cannot mistake one for the other.
    pub fn alternate(&mut self, frame: Frame) {
        let at = place(frame);
        if self.entries[at].runs {
            return;
        }
        let words = self.words(frame);
        let (others, entry) = &mut self.others[at];
        let new = core::mem::replace(&mut **others, words);
        core::mem::swap(&mut self.entries[at], entry);
        self.fill(frame, &new);
        self.flushes += 1;
    }

    /// Whether the reverse map lets a level do that.
    pub(super) fn check(&self, frame: Frame, level: Vmpl, needs: Permissions) -> Result<(), Fault> {
        let Some(page) = self.entries.get(place(frame)).filter(|page| page.assigned) else {
            return Err(Fault::ReverseMap);
        };
        if !page.validated {
            return Err(Fault::NotValidated);
        }
        let is_forbidden = needs.contain(Permissions::WRITE) && self.read_only[place(frame)];
        if page.permissions[level as usize].contain(needs) && !is_forbidden {
            Ok(())
        } else {
            Err(Fault::ReverseMap)
        }
    }

    /// The monitor touches a page.
    fn reach(&self, frame: Frame, needs: Permissions) -> bool {
        let reached = !self.has_stopped() && self.check(frame, Vmpl::MONITOR, needs).is_ok();
        if !reached {
            self.stopped.set(true);
        }
        reached
    }
}

fn place(frame: Frame) -> usize {
    usize::try_from(frame.number()).expect("a small machine")
}

/// The monitor's view. After it has stopped nothing happens any more.
impl Hardware for Machine {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        if self.has_stopped() {
            return Err(RmpError::Input);
        }
        self.pvalidate(Vmpl::MONITOR, frame, valid).unwrap_or_else(|_| {
            self.stopped.set(true);
            Err(RmpError::Input)
        })
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        if self.has_stopped() {
            return Err(RmpError::Input);
        }
        self.rmpadjust(Vmpl::MONITOR, frame, adjustment)
            .unwrap_or_else(|_| {
                self.stopped.set(true);
                Err(RmpError::Input)
            })
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        let level = Vmpl::OPERATING_SYSTEM;
        let permissions = Permissions::NONE;
        self.adjust(frame, Adjustment { level, permissions })?;
        self.entries[place(frame)].is_state = is_state;
        Ok(())
    }

    fn park(&mut self, frame: Frame) -> bool {
        if !self.reach(frame, Permissions::WRITE) || self.entries[place(frame)].runs {
            return false;
        }
        let efer = self.word(frame, state::word::EFER);
        efer.fetch_and(!SVME, Ordering::Relaxed);
        true
    }

    fn zero(&mut self, frame: Frame) {
        if self.reach(frame, Permissions::WRITE) {
            self.fill(frame, &[0; FRAME_WORDS]);
        }
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        if self.reach(frame, Permissions::READ) {
            self.word(frame, index).load(Ordering::Relaxed)
        } else {
            0
        }
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        if self.reach(frame, Permissions::WRITE) {
            self.word(frame, index).store(word, Ordering::Relaxed);
        }
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        if self.reach(frame, Permissions::WRITE) {
            let with = |word| Some(word & !0xffff | u64::from(bytes));
            let word = self.word(frame, index);
            let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
        }
    }

    fn flush(&mut self) {
        self.flushes += 1;
    }
}
