//! The state of a virtual processor (VMSA; APM volume 2, table B-4), as far as the monitor looks at it.
//!
//! A hypervisor may run any page that the reverse map marks as a state, at the level that the page says. So
//! whoever writes such a page chooses the level: nobody but the monitor may, from before it looks until the
//! mark is gone.

use crate::frame::Frame;
use crate::hardware::Hardware;
use crate::rmp::Vmpl;

/// Words of a state.
pub mod word {
    /// VMPL in bits 23 to 16 (byte 0xca), CPL above it.
    pub const LEVELS: usize = 0xc8 / 8;
    /// EFER.
    pub const EFER: usize = 0xd0 / 8;
    /// RAX.
    pub const RAX: usize = 0x1f8 / 8;
    /// RCX.
    pub const RCX: usize = 0x308 / 8;
    /// RDX.
    pub const RDX: usize = 0x310 / 8;
    /// R8.
    pub const R8: usize = 0x340 / 8;
    /// `SEV_FEATURES`.
    pub const FEATURES: usize = 0x3b0 / 8;
    /// `GUEST_EXIT_CODE`: why the processor left the state, written by the processor itself.
    pub const EXIT_CODE: usize = 0x3c0 / 8;
}

/// The bit of EFER without which a processor does not run from a state.
pub const SVME: u64 = 1 << 12;

/// `GUEST_EXIT_CODE` of a processor that has executed `VMGEXIT`, whether it asks by GHCB or by its MSR.
pub const VMGEXIT: u64 = 0x403;

/// Whether the processor left a state of its own accord. One that the hypervisor has interrupted may have
/// anything in its registers.
#[must_use]
pub fn left_by_vmgexit(hardware: &impl Hardware, frame: Frame) -> bool {
    hardware.read(frame, word::EXIT_CODE) == VMGEXIT
}

/// The level that a state runs at, as it is written there.
#[must_use]
pub fn level_of(hardware: &impl Hardware, frame: Frame) -> u64 {
    hardware.read(frame, word::LEVELS) >> 16 & 0xff
}

/// Whether a processor would run from this state, at this level, with these features and no others.
#[must_use]
pub fn fits(hardware: &impl Hardware, frame: Frame, level: Vmpl, features: u64) -> bool {
    level_of(hardware, frame) == level as u64
        && hardware.read(frame, word::EFER) & SVME != 0
        && hardware.read(frame, word::FEATURES) == features
}
