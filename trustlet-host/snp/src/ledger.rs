//! What each page of memory is used for, and the only way from one use to another.
//!
//! ```text
//!              accept                  deposit               take
//! not valid ------------> system's --------------> spare --------------> of trustlets
//!           <------------          <-------------- (empty) <------------
//!              rescind       |  ^       withdraw              release
//!                 lend_state |  | return_state
//!                            v  |
//!                   state of a processor
//! ```
//!
//! A spare page is empty and no level but the monitor's reaches it. It got so by one function, which first
//! takes it from all other levels and then empties it: nobody writes into it meanwhile, and nobody finds in
//! it what another left. Whoever takes a page gets what its purpose needs and no more.

mod purpose;
mod refused;

pub use purpose::{Purpose, SpaceId};
pub use refused::Refused;

use crate::frame::{FRAME_BYTES, Frame};
use crate::hardware::Hardware;
use crate::rmp::{Adjustment, Permissions, RmpError, Vmpl};
use crate::state;
use alloc::vec::Vec;
use core::ops::Range;

/// What a page is at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// The monitor's: its memory, and every page that the launch made for it alone (secrets, CPUID, VMSA,
    /// GHCB).
    Monitor,
    /// The operating system's, and validated.
    System,
    /// Memory that was not validated.
    NotValidated,
    /// Memory that the hypervisor lets nobody write, such as firmware: what it holds is the hypervisor's, but
    /// firmware and operating systems validate it all the same.
    ReadOnly,
    /// No memory: a device, a hole.
    NoMemory,
}

/// What a page is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Never anything.
    None,
    /// Not part of the guest, as far as is known.
    Absent,
    /// Memory that cannot be written, and was not validated.
    Unadopted,
    /// Memory that cannot be written, which the operating system may read and execute.
    ReadOnly,
    /// The monitor's own, from the start to the end.
    Monitor,
    /// In the middle of a change. If the processor refuses there, it stays so: nobody gets it again, and who
    /// had it before may still reach it.
    Lost,
    /// The operating system's.
    System,
    /// The state of a virtual processor of the operating system's, which nobody but the monitor reads or
    /// writes.
    State,
    /// Nobody's, and empty.
    Spare,
    /// A trustlet's, or of several.
    Taken(Taken),
}

/// A page that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    purpose: Purpose,
    /// How often it is mapped in all, and how often to be written.
    mapped: u32,
    writable: u32,
    /// Whether the operating system may read it.
    shown: bool,
}

/// The uses of all pages.
pub struct PageLedger {
    /// Of these pages, in their order.
    memory: Range<u64>,
    uses: Vec<Use>,
    spare: Vec<Frame>,
    /// Whether a page was ever anybody's but the operating system's.
    has_begun: bool,
}

impl PageLedger {
    /// The ledger of a guest that has the pages with these numbers, of which each is what `boot` says. Levels
    /// below the monitor's have nothing of the monitor's own.
    #[must_use]
    pub fn new(memory: Range<u64>, boot: impl Fn(u64) -> Boot) -> Self {
        let use_of = |number: u64| match boot(number) {
            Boot::Monitor => Use::Monitor,
            Boot::System => Use::System,
            Boot::NotValidated => Use::Absent,
            Boot::ReadOnly => Use::Unadopted,
            Boot::NoMemory => Use::None,
        };
        let uses: Vec<Use> = memory.clone().map(use_of).collect();
        Self {
            // As many as the operating system can lend: none of its calls makes the monitor's heap grow.
            spare: Vec::with_capacity(uses.len()),
            uses,
            memory,
            has_begun: false,
        }
    }

    /// Takes the memory that cannot be written ([`Boot::ReadOnly`]) into the guest, for the operating system
    /// to read and execute. Such a page cannot be emptied, and the hypervisor may have put a page behind its
    /// address that is another one of this guest. So this happens once, before pages of the ledger hold
    /// secrets; `secret` are those that do so from the launch, such as the secrets page. They are looked at
    /// between validating and giving: one that lies behind another address by then stops the monitor.
    ///
    /// # Errors
    /// When the operating system has lent pages already, or the processor refuses. A guest whose memory was
    /// refused does not start.
    pub fn adopt_read_only(
        &mut self,
        hardware: &mut impl Hardware,
        secret: impl IntoIterator<Item = Frame>,
    ) -> Result<(), Refused> {
        if self.has_begun {
            return Err(Refused::InUse);
        }
        let numbers = self.memory.clone().zip(&self.uses);
        let found = numbers.filter(|(_, found)| **found == Use::Unadopted);
        let found: Vec<Frame> = found
            .filter_map(|(number, _)| Frame::at(number.checked_mul(FRAME_BYTES as u64)?))
            .collect();
        for &frame in &found {
            self.set(frame, Use::Lost);
            hardware.validate(frame, true)?;
        }
        hardware.flush();
        for frame in secret {
            let _ = hardware.read(frame, 0);
        }
        for &frame in &found {
            let level = Vmpl::OPERATING_SYSTEM;
            let permissions = Permissions::READ_AND_EXECUTE;
            hardware.adjust(frame, Adjustment { level, permissions })?;
            self.set(frame, Use::ReadOnly);
        }
        Ok(())
    }

    /// Takes a page into the guest, for the operating system. Memory that cannot be written is so already,
    /// and is not validated again: it would not be emptied.
    ///
    /// # Errors
    /// When it is in use, is no memory, or the processor refuses. Then the operating system does not get it
    /// from here.
    pub fn accept(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        if self.is_read_only(frame) {
            return Ok(());
        }
        self.expect(frame, Use::Absent)?;
        if let Err(error) = hardware.validate(frame, true) {
            // What was validated already may have another page in its place.
            let refused = error == RmpError::Unchanged;
            self.set(frame, if refused { Use::Lost } else { Use::Absent });
            return Err(error.into());
        }
        self.set(frame, Use::Lost);
        // The hypervisor may have put a page here that was another one of this guest, with what it holds.
        hardware.zero(frame);
        give_to_system(hardware, frame)?;
        self.set(frame, Use::System);
        Ok(())
    }

    /// Lets a page of the operating system leave the guest; one that cannot be written for ever.
    ///
    /// # Errors
    /// When it is not the operating system's, or the processor refuses.
    pub fn rescind(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        let left = if self.is_read_only(frame) {
            Use::None
        } else {
            self.expect(frame, Use::System)?;
            Use::Absent
        };
        self.set(frame, Use::Lost);
        take_from_all(hardware, frame)?;
        hardware.validate(frame, false)?;
        self.set(frame, left);
        Ok(())
    }

    /// Takes a page from the operating system.
    ///
    /// # Errors
    /// When it is not the operating system's, or the processor refuses. In the second case nobody gets it
    /// again.
    pub fn deposit(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        self.expect(frame, Use::System)?;
        self.empty(hardware, frame)
    }

    /// Gives a spare page to the operating system; `None` if there is none.
    ///
    /// # Errors
    /// When the processor refuses. Then nobody gets it again.
    pub fn withdraw(&mut self, hardware: &mut impl Hardware) -> Result<Option<Frame>, Refused> {
        let Some(frame) = self.spare.pop() else {
            return Ok(None);
        };
        self.set(frame, Use::Lost);
        give_to_system(hardware, frame)?;
        self.set(frame, Use::System);
        Ok(Some(frame))
    }

    /// Makes a page of the operating system's the state of a virtual processor, if that runs at its level and
    /// with these features.
    ///
    /// # Errors
    /// When it is not the operating system's, or would be another kind of processor: then it has the page as
    /// before. Or the processor refuses, and nobody gets it again.
    pub fn lend_state(
        &mut self,
        hardware: &mut impl Hardware,
        frame: Frame,
        features: u64,
    ) -> Result<(), Refused> {
        self.expect(frame, Use::System)?;
        self.set(frame, Use::Lost);
        // What is looked at has to be what runs: so its author loses it before.
        take_from_all(hardware, frame)?;
        if !state::fits(hardware, frame, Vmpl::OPERATING_SYSTEM, features) {
            give_to_system(hardware, frame)?;
            self.set(frame, Use::System);
            return Err(Refused::NoState);
        }
        hardware.mark_state(frame, true)?;
        self.set(frame, Use::State);
        Ok(())
    }

    /// Gives the page of a state back, with what it holds.
    ///
    /// # Errors
    /// When it is none, a processor runs from it, or the processor refuses. In the third case nobody gets it
    /// again.
    pub fn return_state(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        self.expect(frame, Use::State)?;
        if !hardware.park(frame) {
            return Err(Refused::Running);
        }
        self.set(frame, Use::Lost);
        // Whoever writes a page that is marked chooses the level that it runs at: so the mark goes before.
        hardware.mark_state(frame, false)?;
        hardware.flush();
        give_to_system(hardware, frame)?;
        self.set(frame, Use::System);
        Ok(())
    }

    /// Takes a spare page for `purpose`. It is empty.
    ///
    /// # Errors
    /// When there is none, or the processor refuses.
    pub fn take(&mut self, hardware: &mut impl Hardware, purpose: Purpose) -> Result<Frame, Refused> {
        let frame = self.spare.pop().ok_or(Refused::NoMemory)?;
        self.set(frame, Use::Lost);
        hardware.adjust(
            frame,
            Adjustment {
                level: Vmpl::TRUSTLETS,
                permissions: purpose.permissions(),
            },
        )?;
        let taken = Taken {
            purpose,
            mapped: 0,
            writable: 0,
            shown: false,
        };
        self.set(frame, Use::Taken(taken));
        Ok(frame)
    }

    /// Takes a page back, which no page table leads to any more, and empties it.
    ///
    /// # Errors
    /// When it was not taken, something leads to it, or the processor refuses.
    pub fn release(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        match self.taken(frame)? {
            Taken { mapped: 0, .. } => self.empty(hardware, frame),
            _ => Err(Refused::Mapped),
        }
    }

    /// Gives a page another writer, or none. Whoever reads it goes on (I10).
    ///
    /// # Errors
    /// When somebody can write it still, or it is not of a kind that has a writer.
    pub fn set_writer(&mut self, frame: Frame, writer: Option<SpaceId>) -> Result<(), Refused> {
        let taken = self.taken(frame)?;
        match taken.purpose {
            Purpose::Region { .. } if taken.writable > 0 => Err(Refused::Mapped),
            Purpose::Region { .. } => {
                let purpose = Purpose::Region { writer };
                self.set(frame, Use::Taken(Taken { purpose, ..taken }));
                Ok(())
            }
            _ => Err(Refused::NotTaken),
        }
    }

    /// Lets the operating system read a page of a region, until that ends: what trustlets tell of themselves.
    ///
    /// # Errors
    /// When it is of another kind, or the processor refuses.
    pub fn show(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        let taken = self.taken(frame)?;
        if !matches!(taken.purpose, Purpose::Region { .. }) {
            return Err(Refused::NotTaken);
        }
        let adjustment = Adjustment {
            level: Vmpl::OPERATING_SYSTEM,
            permissions: Permissions::READ,
        };
        hardware.adjust(frame, adjustment)?;
        self.set(frame, Use::Taken(Taken { shown: true, ..taken }));
        Ok(())
    }

    /// Shows pages of a region, all or none.
    ///
    /// # Errors
    /// As [`PageLedger::show`].
    pub fn show_all(&mut self, hardware: &mut impl Hardware, frames: &[Frame]) -> Result<(), Refused> {
        let mut new = Vec::new();
        for &frame in frames {
            let was_shown = self.is_shown(frame);
            if let Err(refused) = self.show(hardware, frame) {
                new.into_iter().for_each(|frame| self.hide(hardware, frame));
                return Err(refused);
            }
            if !was_shown {
                new.push(frame);
            }
        }
        Ok(())
    }

    /// Takes back what [`PageLedger::show`] gave, and what the operating system has given of it to the level
    /// below. If the processor refuses, the page counts as shown still.
    fn hide(&mut self, hardware: &mut impl Hardware, frame: Frame) {
        let nothing = |level| Adjustment {
            level,
            permissions: Permissions::NONE,
        };
        let taken = hardware.adjust(frame, nothing(Vmpl::OPERATING_SYSTEM));
        hardware.flush();
        let last = hardware.adjust(frame, nothing(Vmpl::Three));
        // What the lowest level remembers of it.
        hardware.flush();
        if let (Ok(()), Ok(()), Ok(found)) = (taken, last, self.taken(frame)) {
            self.set(
                frame,
                Use::Taken(Taken {
                    shown: false,
                    ..found
                }),
            );
        }
    }

    /// Whether the operating system may read a page that is not its own.
    #[must_use]
    pub fn is_shown(&self, frame: Frame) -> bool {
        self.taken(frame).is_ok_and(|taken| taken.shown)
    }

    /// Whether a page is the operating system's: the only ones that are read or written because it says so.
    #[must_use]
    pub fn is_of_system(&self, frame: Frame) -> bool {
        self.use_of(frame) == Ok(Use::System)
    }

    /// Whether a page is memory that cannot be written, which the operating system may read and execute.
    #[must_use]
    pub fn is_read_only(&self, frame: Frame) -> bool {
        self.use_of(frame) == Ok(Use::ReadOnly)
    }

    /// Whether a page is the state of a virtual processor.
    #[must_use]
    pub fn is_state(&self, frame: Frame) -> bool {
        self.use_of(frame) == Ok(Use::State)
    }

    /// Whether a page is memory that is no part of the guest.
    #[must_use]
    pub fn is_absent(&self, frame: Frame) -> bool {
        self.use_of(frame) == Ok(Use::Absent)
    }

    /// Whether the processor has refused in the middle of a change of its use.
    #[must_use]
    pub fn is_lost(&self, frame: Frame) -> bool {
        self.use_of(frame) == Ok(Use::Lost)
    }

    /// How many spare pages there are.
    #[must_use]
    pub const fn spare(&self) -> usize {
        self.spare.len()
    }

    /// What a page was taken for; `None` if it was not.
    #[must_use]
    pub fn purpose(&self, frame: Frame) -> Option<Purpose> {
        self.taken(frame).ok().map(|taken| taken.purpose)
    }

    /// A page table is about to lead to the page.
    pub(crate) fn mapped(&mut self, frame: Frame, to_write: bool) -> Result<(), Refused> {
        let taken = self.taken(frame)?;
        let mapped = taken.mapped.checked_add(1).ok_or(Refused::Mapped)?;
        let writable = taken.writable + u32::from(to_write);
        let taken = Taken {
            mapped,
            writable,
            ..taken
        };
        self.set(frame, Use::Taken(taken));
        Ok(())
    }

    /// A page table that led to the page does so no more, and no processor remembers it.
    pub(crate) fn unmapped(&mut self, frame: Frame, to_write: bool) {
        if let Ok(taken) = self.taken(frame) {
            let taken = Taken {
                mapped: taken.mapped.saturating_sub(1),
                writable: taken.writable.saturating_sub(u32::from(to_write)),
                ..taken
            };
            self.set(frame, Use::Taken(taken));
        }
    }

    /// The one way to a spare page: taken from everybody, then emptied.
    fn empty(&mut self, hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
        self.has_begun = true;
        self.set(frame, Use::Lost);
        take_from_all(hardware, frame)?;
        hardware.zero(frame);
        self.set(frame, Use::Spare);
        self.spare.push(frame);
        Ok(())
    }

    fn expect(&self, frame: Frame, expected: Use) -> Result<(), Refused> {
        match self.use_of(frame)? {
            Use::None | Use::Unadopted => Err(Refused::NoSuchPage),
            found if found == expected => Ok(()),
            _ => Err(Refused::InUse),
        }
    }

    fn taken(&self, frame: Frame) -> Result<Taken, Refused> {
        match self.use_of(frame)? {
            Use::Taken(taken) => Ok(taken),
            _ => Err(Refused::NotTaken),
        }
    }

    fn use_of(&self, frame: Frame) -> Result<Use, Refused> {
        let found = self.place(frame).and_then(|place| self.uses.get(place));
        found.copied().ok_or(Refused::NoSuchPage)
    }

    fn set(&mut self, frame: Frame, to: Use) {
        if let Some(at) = self.place(frame).and_then(|place| self.uses.get_mut(place)) {
            *at = to;
        }
    }

    fn place(&self, frame: Frame) -> Option<usize> {
        usize::try_from(frame.number().checked_sub(self.memory.start)?).ok()
    }
}

/// Leaves a page to the monitor's level alone, at once. All levels are tried, whatever one of them says.
fn take_from_all(hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
    let mut take = |level| {
        let permissions = Permissions::NONE;
        hardware.adjust(frame, Adjustment { level, permissions })
    };
    // The operating system can give what it has to the level below its own, until it has nothing: so its own
    // comes first, and the lowest once more, when no processor remembers what was permitted.
    let taken = [Vmpl::OPERATING_SYSTEM, Vmpl::Three, Vmpl::TRUSTLETS].map(&mut take);
    hardware.flush();
    let permissions = Permissions::NONE;
    let level = Vmpl::Three;
    let last = hardware.adjust(frame, Adjustment { level, permissions });
    taken.into_iter().chain([last]).collect::<Result<(), _>>()?;
    Ok(())
}

fn give_to_system(hardware: &mut impl Hardware, frame: Frame) -> Result<(), Refused> {
    let adjustment = Adjustment {
        level: Vmpl::OPERATING_SYSTEM,
        permissions: Permissions::ALL,
    };
    Ok(hardware.adjust(frame, adjustment)?)
}

#[cfg(test)]
mod tests;
