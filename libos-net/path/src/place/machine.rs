//! Who gives an instance what its entries name.

use crate::machine::bell::{Bell, OwnBell};
use crate::machine::clock::Clock;
use crate::machine::memory::{Memory, OwnMemory};
use alloc::boxed::Box;

/// How memory that an instance writes is to be backed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backing {
    /// By huge pages, where there are some.
    pub huge_pages: bool,
    /// All of it now.
    pub prefault: bool,
}

/// Turns what comes beside the entries of an attachment into memory and bells. Asked when an instance is
/// attached, and never again.
pub trait Machine {
    /// What stands for memory or a bell until it is taken: on Linux a descriptor.
    type Handle;
    /// Why memory cannot be had.
    type Fault;

    /// At least `len_bytes` bytes that this instance alone writes.
    ///
    /// # Errors
    /// When there are fewer, or they cannot be had.
    fn own_memory(
        &mut self,
        region: &Self::Handle,
        len_bytes: usize,
        backing: Backing,
    ) -> Result<Box<dyn OwnMemory>, Self::Fault>;

    /// At least `len_bytes` bytes that another instance writes.
    ///
    /// # Errors
    /// When there are fewer, or they cannot be had.
    fn memory(&mut self, region: &Self::Handle, len_bytes: usize) -> Result<Box<dyn Memory>, Self::Fault>;

    /// A bell of a peer.
    fn bell(&mut self, bell: Self::Handle) -> Box<dyn Bell>;

    /// The bell of this instance.
    fn own_bell(&mut self, bell: Self::Handle) -> Box<dyn OwnBell>;

    /// The clock of this machine.
    fn clock(&mut self) -> Box<dyn Clock>;

    /// A number that no earlier process of this instance can have known: what it left cannot be made for it.
    fn random(&mut self) -> u64;
}
