//! What nothing on this machine can go below: handing over a cache line, waking a process, sealing, opening,
//! copying.
//!
//! Floors are measured as a hop uses them: the cipher by the library of the data path, from private to shared
//! memory in records of a segment; wake-ups between processes and not threads.

pub mod circle;
mod memory;
mod probe;
pub mod spin;
pub mod wake;

use super::peer::this_program;
use super::place::Pinned;
use super::subject::{Cores, Identity, Place, Started, Subject};
use hacher_fabric::failed::Failed;
use memory::Memory;
use probe::Probe;
use std::path::Path;

/// One floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// A cache line is handed from a process that writes it to one that watches it, on two cores.
    Spin,
    /// A process that sleeps on an eventfd is woken by another, on the same core.
    WakeSameCore,
    /// As before, on another core.
    WakeOtherCore,
    /// AES-256-GCM from private to shared memory.
    Seal,
    /// AES-256-GCM from shared to private memory.
    Open,
    /// From private to shared memory, unencrypted.
    Copy,
}

impl Floor {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Spin,
        Self::WakeSameCore,
        Self::WakeOtherCore,
        Self::Seal,
        Self::Open,
        Self::Copy,
    ];

    /// What reports call it.
    #[must_use]
    pub const fn identity(self) -> Identity {
        let (transport, protection, placement, touched) = match self {
            Self::Spin => ("spin", "none", Place::Spread, false),
            Self::WakeSameCore => ("eventfd-wake", "none", Place::Packed, false),
            Self::WakeOtherCore => ("eventfd-wake", "none", Place::Spread, false),
            Self::Seal => ("aead-seal", "sealed", Place::Packed, true),
            Self::Open => ("aead-open", "sealed", Place::Packed, true),
            Self::Copy => ("memcpy", "none", Place::Packed, true),
        };
        Identity {
            transport,
            protection,
            placement,
            touched,
        }
    }

    /// Whether it depends on the size of a payload. The others move none, and take any size for 0.
    #[must_use]
    pub const fn has_payload(self) -> bool {
        matches!(self, Self::Seal | Self::Open | Self::Copy)
    }
}

/// Starts what is needed to measure a floor; leaves out what takes two cores on a machine with one.
///
/// # Errors
/// When the system refuses memory or processes.
pub fn start(floor: Floor, cores: Cores) -> Result<Started, Failed> {
    start_with(&this_program(), floor, cores)
}

/// As [`start`], for a caller that is another program than `hacher-bench`, whose executable it names.
///
/// # Errors
/// As [`start`].
pub fn start_with(program: &Path, floor: Floor, cores: Cores) -> Result<Started, Failed> {
    let Identity {
        transport, placement, ..
    } = floor.identity();
    if placement == Place::Spread && cores.away.is_none() {
        let notice = format!("{transport} between two cores is left out: there is one core");
        return Ok(Started::LeftOut(notice));
    }
    let probe: Box<dyn Probe> = match floor {
        Floor::Spin => Box::new(spin::Spin::start(program, cores.seat(placement, 1)?)?),
        Floor::WakeSameCore | Floor::WakeOtherCore => {
            Box::new(wake::Wake::start(program, cores.seat(placement, 1)?)?)
        }
        Floor::Seal => Box::new(Memory::new(memory::Work::Seal)?),
        Floor::Open => Box::new(Memory::new(memory::Work::Open)?),
        Floor::Copy => Box::new(Memory::new(memory::Work::Copy)?),
    };
    Ok(Started::Ready(Box::new(Measured { floor, cores, probe })))
}

/// A floor as a subject. Its calling process runs on the home core.
struct Measured {
    floor: Floor,
    cores: Cores,
    probe: Box<dyn Probe>,
}

impl Subject for Measured {
    fn identity(&self) -> Identity {
        self.floor.identity()
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        hops: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        if hops != 1 {
            return Err(Failed::new("a floor has one hop"));
        }
        let _pinned = Pinned::to_core(Some(self.cores.home))?;
        self.probe.prepare(payload_bytes)?;
        let mut run = || {
            for _ in 0..samples {
                record(self.probe.sample()?);
            }
            Ok(())
        };
        let result = run();
        self.probe.rest();
        result
    }
}
