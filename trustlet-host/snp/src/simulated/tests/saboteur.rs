//! The machine as the monitor uses it, with the operating system at work between any two of its steps, and
//! perhaps with one fault.

use super::super::{Machine, Processor, Ring};
use crate::frame::Frame;
use crate::hardware::Hardware;
use crate::rmp::{Adjustment, Permissions, RmpError, Vmpl};
use crate::state::word;
use core::cell::RefCell;
use std::collections::BTreeMap;

/// Marks what trustlets write; their number is in the bits above 32.
const SECRET: u64 = 0x5ec2_0000_0000_0000;
/// Marks what the operating system writes.
const POISON: u64 = 0xbad0_0000_0000_0000;
/// Words of a page that anybody looks at: few, so that what one writes another finds.
pub(super) const WORDS: usize = 3;
/// Where trustlets have pages: neighbours, and one behind another table.
pub(super) const PLACES: [u64; 5] = [0x40_0000, 0x40_1000, 0x40_2000, 0x60_0000, 0x7f_0000_0000];
const MARK: u64 = 0xffff_0000_0000_0000;

/// What a trustlet writes.
pub(super) const fn secret(id: u32, number: u64) -> u64 {
    SECRET | ((id & 0xffff) as u64) << 32 | number & 0xffff_ffff
}

/// Whether somebody has marked this word so.
const fn is_marked(word: u64, mark: u64) -> bool {
    word & MARK == mark
}

/// A fault of the monitor, as the machine would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Pages are not emptied.
    NoZero,
    /// They are, but only after the next permission was given.
    LateZero,
    /// What is meant for trustlets goes to the operating system, and the reverse.
    SwappedLevels,
    /// Nothing is taken from the operating system's level.
    SystemKeeps,
    /// Nothing is taken from the lowest level.
    LowestKeeps,
    /// Nothing is taken from the level of trustlets.
    TrustletsKeep,
    /// Pages are not validated.
    NoValidation,
    /// A page that a trustlet finds not validated is validated, as if it were new.
    ValidatesAgain,
    /// What is mapped to be read can be written.
    WritableByTwo,
    /// The level of trustlets may write what it may read or execute.
    WritableCode,
    /// Nothing is forgotten by processors.
    NoFlush,
    /// What was the state of a processor stays marked as one.
    StaysState,
    /// A state is given up while a processor runs from it.
    NoPark,
    /// A state is looked at while the operating system can write it.
    LooksEarly,
}

/// The machine, and who acts in between.
pub(super) struct Saboteur {
    inner: RefCell<Inner>,
    fault: Option<Fault>,
}

pub(super) struct Inner {
    pub(super) machine: Machine,
    /// Those of each trustlet that lives: two, so that each may remember what the other does not.
    pub(super) processors: Vec<(u32, [Processor; 2])>,
    /// What trustlets have written since a page was taken, by page and word.
    pub(super) written: BTreeMap<(Frame, u64), u64>,
    /// What a trustlet has read and not written.
    pub(super) wrong: Option<u64>,
    /// Whether the processor has refused something, which it may.
    pub(super) has_refused: bool,
    /// Whether it ever does.
    refuses: bool,
    pub(super) random: fastrand::Rng,
    pub(super) system: Processor,
    pub(super) lowest: Processor,
    /// What the operating system has read that it should not have.
    pub(super) stolen: Option<u64>,
    late: Vec<Frame>,
}

impl Saboteur {
    pub(super) fn new(machine: Machine, random: fastrand::Rng, refuses: bool, fault: Option<Fault>) -> Self {
        Self {
            inner: RefCell::new(Inner {
                machine,
                processors: Vec::new(),
                written: BTreeMap::new(),
                wrong: None,
                has_refused: false,
                refuses,
                random,
                system: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
                lowest: Processor::new(Vmpl::Three, Ring::System),
                stolen: None,
                late: Vec::new(),
            }),
            fault,
        }
    }

    pub(super) fn inner(&mut self) -> &mut Inner {
        self.inner.get_mut()
    }

    /// A trustlet has met a page that is not validated any more. A monitor that is right leaves it so.
    pub(super) fn is_missed(&mut self, frame: Frame, permissions: Permissions) {
        if self.has(Fault::ValidatesAgain) {
            let level = Vmpl::TRUSTLETS;
            let machine = &mut self.inner().machine;
            let _ = machine.pvalidate(Vmpl::MONITOR, frame, true);
            let _ = machine.rmpadjust(Vmpl::MONITOR, frame, Adjustment { level, permissions });
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The operating system acts, where the monitor is about to; and trustlets go on.
    fn between(&self, frame: Frame) {
        let mut inner = self.inner.borrow_mut();
        for _ in 0..inner.random.u8(0..4) {
            inner.attack(frame);
        }
        inner.go_on();
    }

    /// Whether the processor refuses the next change.
    fn refuses(&mut self) -> bool {
        let inner = self.inner();
        let refuses = inner.refuses && inner.random.u16(..2000) == 0;
        inner.has_refused |= refuses;
        refuses
    }
}

impl Inner {
    /// Trustlets read and write where they can, on any of their processors.
    fn go_on(&mut self) {
        for _ in 0..self.random.u8(0..3) {
            let Some((id, processors)) = self.random.choice(&mut self.processors) else {
                return;
            };
            let processor = &mut processors[self.random.usize(..2)];
            let address = *self.random.choice(&PLACES).unwrap_or(&0) + 8 * self.random.u64(..WORDS as u64);
            let (Ok(read), Ok(frame)) = (
                processor.load(&self.machine, address),
                processor.reaches(&self.machine, address),
            ) else {
                continue;
            };
            let place = (frame, address % 4096 / 8);
            if read != self.written.get(&place).copied().unwrap_or(0) {
                self.wrong = Some(read);
            }
            let word = secret(*id, self.random.u64(..));
            if processor.store(&mut self.machine, address, word).is_ok() {
                self.written.insert(place, word);
            }
        }
    }

    /// Something that an operating system can do to a page at any time.
    pub(super) fn attack(&mut self, frame: Frame) {
        let word = self.random.usize(..WORDS);
        let address = frame.address() + 8 * word as u64;
        let Self {
            machine,
            random,
            system,
            lowest,
            ..
        } = self;
        let processor = if random.u8(..4) == 0 { lowest } else { system };
        let read = match random.u8(..6) {
            0..=1 => processor.load(machine, address).ok(),
            2 => processor.fetch(machine, address).ok(),
            3 if random.bool() => {
                // A state that would run at any level.
                let level = random.u64(..4) << 16;
                let at = frame.address() + 8 * word::LEVELS as u64;
                let _ = processor.store(machine, at, level);
                None
            }
            3 => {
                let word = POISON | random.u64(..1 << 32);
                let _ = processor.store(machine, address, word);
                None
            }
            4 => {
                let level = random.choice(Vmpl::ALL).unwrap_or(Vmpl::Three);
                let permissions = Permissions::of_bits(random.u8(..16)).unwrap_or_default();
                let adjustment = Adjustment { level, permissions };
                let _ = machine.rmpadjust(Vmpl::OPERATING_SYSTEM, frame, adjustment);
                None
            }
            _ => {
                let _ = machine.pvalidate(Vmpl::OPERATING_SYSTEM, frame, random.bool());
                None
            }
        };
        self.stolen = self.stolen.or(read.filter(|&word| is_marked(word, SECRET)));
    }
}

impl Hardware for Saboteur {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        self.between(frame);
        if self.refuses() {
            return Err(RmpError::Size);
        }
        if self.has(Fault::NoValidation) {
            return Ok(());
        }
        self.inner().machine.validate(frame, valid)
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        self.between(frame);
        if self.refuses() {
            return Err(RmpError::Input);
        }
        let Adjustment {
            mut level,
            mut permissions,
        } = adjustment;
        let is_kept = permissions == Permissions::NONE
            && match level {
                Vmpl::Zero => false,
                Vmpl::One => self.has(Fault::TrustletsKeep),
                Vmpl::Two => self.has(Fault::SystemKeeps),
                Vmpl::Three => self.has(Fault::LowestKeeps),
            };
        if is_kept {
            return Ok(());
        }
        if self.has(Fault::SwappedLevels) {
            level = match level {
                Vmpl::One => Vmpl::Two,
                Vmpl::Two => Vmpl::One,
                other => other,
            };
        }
        if self.has(Fault::WritableCode) && level == Vmpl::One && permissions != Permissions::NONE {
            permissions = permissions.and(Permissions::WRITE);
        }
        let done = self
            .inner()
            .machine
            .adjust(frame, Adjustment { level, permissions });
        if self.has(Fault::StaysState) && permissions == Permissions::ALL {
            self.inner().machine.mark(frame);
        }
        self.between(frame);
        let inner = self.inner();
        for late in core::mem::take(&mut inner.late) {
            inner.machine.zero(late);
        }
        done
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        self.between(frame);
        if self.refuses() {
            return Err(RmpError::Input);
        }
        if self.has(Fault::LooksEarly) && is_state {
            // As if what is marked now had been written since it was looked at.
            let level = self.inner().random.u64(..4) << 16;
            self.inner().machine.write(frame, word::LEVELS, level);
        }
        let done = self.inner().machine.mark_state(frame, is_state);
        self.between(frame);
        done
    }

    fn park(&mut self, frame: Frame) -> bool {
        self.between(frame);
        let parked = self.inner().machine.park(frame);
        self.between(frame);
        parked || self.has(Fault::NoPark)
    }

    fn zero(&mut self, frame: Frame) {
        self.between(frame);
        if self.has(Fault::LateZero) {
            self.inner().late.push(frame);
        } else if !self.has(Fault::NoZero) {
            self.inner().machine.zero(frame);
        }
        self.between(frame);
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        self.between(frame);
        let word = self.inner.borrow().machine.read(frame, index);
        self.between(frame);
        word
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        self.between(frame);
        let leads_to_a_page_to_read = word & 0b101 == 0b101 && word >> 63 == 1;
        let word = if self.has(Fault::WritableByTwo) && leads_to_a_page_to_read {
            word | 0b0100_0010
        } else {
            word
        };
        self.inner().machine.write(frame, index, word);
        self.between(frame);
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        self.between(frame);
        self.inner().machine.write_low(frame, index, bytes);
        self.between(frame);
    }

    fn flush(&mut self) {
        self.inner().go_on();
        if !self.has(Fault::NoFlush) {
            self.inner().machine.flush();
        }
        self.inner().go_on();
    }
}
