//! Processes on one core that wake each other in turn, and do nothing else: what a packed chain of that
//! length costs without its records. More than two take longer than two, for they find less of the core's
//! caches and translations their own.

use super::wake;
use crate::peer::{Peer, ROLE, Start, this_program};
use crate::place::Pinned;
use crate::subject::{Cores, Identity, Place, Subject};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use hacher_libos_net::doorbell::{Doorbell, OwnDoorbell};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::OwnedFd;

/// What reports call it.
pub const TRANSPORT: &str = "eventfd-circle";

/// A circle of processes, this one among them.
pub struct Circle {
    functions: u32,
    cores: Cores,
    there: Doorbell,
    back: OwnDoorbell,
    _peers: Vec<Peer>,
}

impl Circle {
    /// Starts as many processes as a chain has functions.
    ///
    /// # Errors
    /// When the system refuses processes.
    pub fn start(functions: u32, cores: Cores) -> Result<Self, Failed> {
        let bell = || eventfd(0, EventfdFlags::CLOEXEC);
        let program = this_program();
        let start = Start {
            program: &program,
            role: ROLE,
            part: wake::PART,
            core: Some(cores.home),
        };
        let first = bell()?;
        let mut peers = Vec::new();
        let mut last: OwnedFd = first.try_clone()?;
        for _ in 0..functions {
            let next = bell()?;
            peers.push(Peer::start(&start, last, next.try_clone()?)?);
            // Each rings once when it is there.
            wake::wait_for_start(&next)?;
            last = next;
        }
        Ok(Self {
            functions,
            cores,
            there: Doorbell::new(first),
            back: OwnDoorbell::new(last),
            _peers: peers,
        })
    }
}

impl Subject for Circle {
    fn identity(&self) -> Identity {
        Identity {
            transport: TRANSPORT,
            protection: "none",
            placement: Place::Packed,
            touched: false,
        }
    }

    fn hops(&self) -> Option<u32> {
        Some(self.functions)
    }

    fn measure(&mut self, _: usize, _: u32, samples: u32, record: &mut dyn FnMut(u64)) -> Result<(), Failed> {
        let _pinned = Pinned::to_core(Some(self.cores.home))?;
        for _ in 0..samples {
            let start = clock::now();
            self.there.ring();
            self.back.wait(None);
            record(clock::ns_since(start));
        }
        Ok(())
    }
}
