//! What comes beside the entries of an attachment on Linux: descriptors, which become mappings and pipes.

use crate::clock::{self, SystemClock};
use crate::region::mapping::{MapError, Mapping, OwnMapping};
use crate::wait::doorbell::{Doorbell, OwnDoorbell};
use hacher_data_path::machine::bell::{Bell, OwnBell};
use hacher_data_path::machine::clock::Clock;
use hacher_data_path::machine::memory::{Memory, OwnMemory};
use hacher_data_path::place::machine::{Backing, Machine};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// A machine that runs Linux.
#[derive(Debug, Default)]
pub(super) struct Linux {
    /// The bell of the instance that is attached.
    pub(super) doorbell: Option<Arc<OwnDoorbell>>,
}

impl Machine for Linux {
    type Handle = OwnedFd;
    type Fault = MapError;

    fn own_memory(
        &mut self,
        region: &OwnedFd,
        len_bytes: usize,
        backing: Backing,
    ) -> Result<Box<dyn OwnMemory>, MapError> {
        let mapping = OwnMapping::new(region, len_bytes)?;
        mapping.back(backing)?;
        Ok(Box::new(mapping))
    }

    fn memory(&mut self, region: &OwnedFd, len_bytes: usize) -> Result<Box<dyn Memory>, MapError> {
        Ok(Box::new(Mapping::readable(region, len_bytes)?))
    }

    fn bell(&mut self, bell: OwnedFd) -> Box<dyn Bell> {
        Box::new(Doorbell::new(bell))
    }

    fn own_bell(&mut self, bell: OwnedFd) -> Box<dyn OwnBell> {
        let doorbell = Arc::new(OwnDoorbell::new(bell));
        self.doorbell = Some(Arc::clone(&doorbell));
        Box::new(doorbell)
    }

    fn clock(&mut self) -> Box<dyn Clock> {
        Box::new(SystemClock)
    }

    fn random(&mut self) -> u64 {
        let mut bytes = [0; 8];
        match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => u64::from_ne_bytes(bytes),
            // Hard to know as well.
            Err(_) => clock::now().as_ns(),
        }
    }
}
