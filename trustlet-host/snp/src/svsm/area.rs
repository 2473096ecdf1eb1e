//! The calling area: a word of the operating system's memory that both sides write.
//!
//! Byte 0 says that a call waits. The caller sets it, and leaves to the hypervisor to let the monitor run;
//! the monitor clears it, and looks at the registers only if it was set. A caller that finds it set
//! afterwards knows that nobody has looked. Byte 1 says that the monitor has memory to return. The monitor
//! writes no other byte of an area in use.

use crate::frame::Frame;
use crate::hardware::Hardware;
use crate::ledger::PageLedger;

/// Where in the first word a call is said to wait.
const PENDING: u64 = 0xff;
/// Byte 1, where it says that memory can be withdrawn.
const AVAILABLE: u16 = 1 << 8;

/// A calling area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallingArea {
    frame: Frame,
    /// Counts words.
    index: usize,
}

impl CallingArea {
    /// The one at a physical address; `None` if it is not a multiple of 8, or not of the operating system's
    /// memory.
    #[must_use]
    pub fn at(ledger: &PageLedger, address: u64) -> Option<Self> {
        let frame = Frame::at(address & !0xfff)?;
        let index = usize::try_from(address % 4096 / 8).ok()?;
        let is_fit = address.is_multiple_of(8) && ledger.is_of_system(frame);
        is_fit.then_some(Self { frame, index })
    }

    /// Takes the call that waits; `false` if none does. The area has to be the operating system's still: it
    /// may have given the page back.
    #[must_use]
    pub fn take(self, hardware: &mut impl Hardware, ledger: &PageLedger) -> bool {
        if !ledger.is_of_system(self.frame) {
            return false;
        }
        let word = hardware.read(self.frame, self.index);
        let available = if ledger.spare() > 0 { AVAILABLE } else { 0 };
        hardware.write_low(self.frame, self.index, available);
        word & PENDING == 1
    }

    /// Says that no call waits, in an area that is new.
    pub fn clear(self, hardware: &mut impl Hardware) {
        hardware.write(self.frame, self.index, 0);
    }
}

#[cfg(test)]
mod tests;
