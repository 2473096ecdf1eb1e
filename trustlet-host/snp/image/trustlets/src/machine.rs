//! The data path's machine, made of calls of the monitor.
#![allow(unsafe_code, reason = "vouches for memory that the monitor has given")]

use crate::call;
use alloc::boxed::Box;
use core::ptr::NonNull;
use hacher_data_path::machine::bell::{Bell, OwnBell};
use hacher_data_path::machine::clock::{Clock, Monotonic};
use hacher_data_path::machine::memory::{Memory, OwnMemory};
use hacher_data_path::place::machine::{Backing, Machine};
use hacher_snp::abi::{Handle, handle};

/// The calls of the monitor.
pub(crate) struct Calls;

/// A region that is shorter than it has to be, or is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRegion;

impl core::fmt::Display for NoRegion {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("a region is too short, or is none")
    }
}

impl core::error::Error for NoRegion {}

/// A region that the monitor has mapped for as long as this trustlet lives.
#[derive(Debug)]
struct Region {
    at: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: memory that belongs to no thread.
unsafe impl Send for Region {}
// SAFETY: as above; nothing here reads or writes it.
unsafe impl Sync for Region {}

// SAFETY: the monitor maps whole pages, moves them never, and this program makes no references to them.
unsafe impl Memory for Region {
    fn span(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.at, self.len_bytes)
    }
}

// SAFETY: made for handles of regions alone that this trustlet may write.
unsafe impl OwnMemory for Region {}

impl Region {
    fn new(handle: &Handle, kind: u32, len_bytes: usize) -> Result<Self, NoRegion> {
        let has_bytes = usize::try_from(handle.len_bytes).map_err(|_| NoRegion)?;
        let at = usize::try_from(handle.address).map_err(|_| NoRegion)?;
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(at)).ok_or(NoRegion)?;
        if handle.kind == kind && has_bytes >= len_bytes {
            Ok(Self {
                at,
                len_bytes: has_bytes,
            })
        } else {
            Err(NoRegion)
        }
    }
}

#[derive(Debug)]
struct Peer {
    number: u32,
}

impl Bell for Peer {
    fn ring(&self) {
        call::ring(self.number);
    }
}

#[derive(Debug)]
struct Own;

impl OwnBell for Own {
    fn wait(&self, until: Option<Monotonic>) {
        call::wait(until.map_or(u64::MAX, Monotonic::as_ns));
    }

    fn forget_rings(&self) {
        // A sleep that is over at once hears what rang before.
        call::wait(0);
    }

    fn give_way(&self) {
        // The others have the processor for as long as this one waits for them.
        call::wait(0);
    }
}

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> Monotonic {
        Monotonic::from_ns(call::now_ns())
    }
}

impl Machine for Calls {
    type Handle = Handle;
    type Fault = NoRegion;

    fn own_memory(
        &mut self,
        region: &Handle,
        len_bytes: usize,
        _backing: Backing,
    ) -> Result<Box<dyn OwnMemory>, NoRegion> {
        Ok(Box::new(Region::new(region, handle::WRITE, len_bytes)?))
    }

    fn memory(&mut self, region: &Handle, len_bytes: usize) -> Result<Box<dyn Memory>, NoRegion> {
        Ok(Box::new(Region::new(region, handle::READ, len_bytes)?))
    }

    fn bell(&mut self, bell: Handle) -> Box<dyn Bell> {
        Box::new(Peer { number: bell.number })
    }

    fn own_bell(&mut self, _bell: Handle) -> Box<dyn OwnBell> {
        Box::new(Own)
    }

    fn clock(&mut self) -> Box<dyn Clock> {
        Box::new(Now)
    }

    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        if call::random(&mut bytes) {
            u64::from_le_bytes(bytes)
        } else {
            call::now_ns()
        }
    }
}
