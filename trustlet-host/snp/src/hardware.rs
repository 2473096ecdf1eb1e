//! The processor and the memory, as the ledger and page tables see them.

use crate::frame::Frame;
use crate::rmp::{Adjustment, RmpError};

/// What the monitor, at VMPL0 and CPL0, does with pages.
///
/// It reaches every page. Where the hypervisor has taken one away, the processor raises an exception (#VC) or
/// a nested page fault, also in the instructions here: whoever implements this ends the guest then. To go on
/// with an error would be to go on with a page that is not what it was. Availability is the hypervisor's
/// anyway.
pub trait Hardware {
    /// Says that a page is part of the guest, or is no longer (`PVALIDATE`).
    ///
    /// # Errors
    /// When the processor refuses, or the page was in that state already.
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError>;

    /// Sets what a level may do with a page (`RMPADJUST`).
    ///
    /// # Errors
    /// When the processor refuses.
    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError>;

    /// Marks a page as the state of a virtual processor (VMSA), or takes the mark away (`RMPADJUST` with or
    /// without bit 16); the operating system's level may do nothing with it either way.
    ///
    /// # Errors
    /// When the processor refuses.
    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError>;

    /// Keeps processors from running from a state: clears `EFER.SVME` in it. `false` if one does now; then it
    /// goes on.
    fn park(&mut self, frame: Frame) -> bool;

    /// Fills a page with zeros.
    fn zero(&mut self, frame: Frame);

    /// Reads a word of a page; `index` counts words.
    fn read(&self, frame: Frame, index: usize) -> u64;

    /// Writes a word of a page.
    fn write(&mut self, frame: Frame, index: usize, word: u64);

    /// Writes the two lowest bytes of a word at once, and no others: another processor may be writing those.
    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16);

    /// Makes all processors forget what they remember of page tables and permissions, at every level. Returns
    /// only when each has, and has done what it did by them before; if that cannot be known, it does not
    /// return. Whoever takes a mapping or a permission away calls it before the page gets another use.
    fn flush(&mut self);
}
