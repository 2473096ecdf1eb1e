//! Two processes on two cores that hand a cache line to each other. Each watches it without pausing, which is
//! the fastest way to notice a change.

use super::probe::Probe;
use crate::peer::{self, Peer, ROLE, Start};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use hacher_libos_net::doorbell::{Doorbell, OwnDoorbell};
use hacher_libos_net::mapping;
use hacher_libos_net::memory::OwnRegion;
use hacher_libos_net::sync::{AtomicU64, Ordering};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::path::Path;

/// What the peer is told to do.
pub(crate) const PART: &str = "spin";

/// One page, of which the first word is used: the line that is handed over. Even numbers are the caller's,
/// odd ones the peer's.
const REGION_BYTES: usize = 4096;
/// Tells the peer to sleep.
const REST: u64 = 0;
/// Round trips in one sample, so that reading the clock is no part of the result.
const ROUND_TRIPS: u64 = 16;
/// How often to look before asking whether the other process is still there.
const LOOKS: u32 = 100_000_000;

pub(super) struct Spin {
    region: OwnRegion,
    rouse: Doorbell,
    /// The last number written by the caller.
    last: u64,
    peer: Peer,
}

fn line(region: &OwnRegion) -> Result<&AtomicU64, Failed> {
    region
        .word(0)
        .ok_or_else(|| Failed::new("the shared line is missing"))
}

/// Watches the line until it holds something else than `last`.
fn next(line: &AtomicU64, last: u64) -> Option<u64> {
    (0..LOOKS).find_map(|_| {
        // SYNC acquire: pairs with the release of the other process; what it wrote before is visible.
        let seen = line.load(Ordering::Acquire);
        (seen != last).then_some(seen)
    })
}

impl Spin {
    pub(super) fn start(program: &Path, core: Option<u32>) -> Result<Self, Failed> {
        let memory = memfd_create("hacher-bench-spin", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, REGION_BYTES as u64)?;
        let region = mapping::own(&memory, REGION_BYTES)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
        let start = Start {
            program,
            role: ROLE,
            part: PART,
            core,
        };
        let peer = Peer::start(&start, memory, bell.try_clone()?)?;
        Ok(Self {
            region,
            rouse: Doorbell::new(bell),
            last: REST,
            peer,
        })
    }

    fn hand_over(&mut self) -> Result<(), Failed> {
        self.last += 2;
        // SYNC release: pairs with the acquire in `next`.
        line(&self.region)?.store(self.last, Ordering::Release);
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Failed> {
        while next(line(&self.region)?, self.last).is_none() {
            if !self.peer.is_alive() {
                return Err(Failed::new("the process that shares a cache line has ended"));
            }
        }
        Ok(())
    }
}

impl Probe for Spin {
    fn prepare(&mut self, _payload_bytes: usize) -> Result<(), Failed> {
        // The line first, so that a peer that wakes up finds it changed.
        self.hand_over()?;
        self.rouse.ring();
        self.take_back()
    }

    fn sample(&mut self) -> Result<u64, Failed> {
        let start = clock::now();
        for _ in 0..ROUND_TRIPS {
            self.hand_over()?;
            self.take_back()?;
        }
        Ok(clock::now().ns_since(start) / (2 * ROUND_TRIPS))
    }

    fn rest(&mut self) {
        if let Ok(line) = line(&self.region) {
            self.last = REST;
            // SYNC release: pairs with the acquire in `next`.
            line.store(REST, Ordering::Release);
        }
    }
}

/// The process that gets the line and hands it back; asleep between measurements, and there until it is
/// killed.
pub(crate) fn peer() -> Result<(), Failed> {
    let region = mapping::own(peer::input()?, REGION_BYTES)?;
    let rouse = OwnDoorbell::new(peer::output()?);
    let line = line(&region)?;
    let mut last = REST;
    loop {
        if last == REST {
            rouse.wait(None);
        }
        match next(line, last) {
            Some(REST) => last = REST,
            Some(seen) => {
                last = seen + 1;
                // SYNC release: pairs with the acquire in `next`.
                line.store(last, Ordering::Release);
            }
            None => {}
        }
    }
}
