//! Two processes that wake each other by eventfd.

use super::probe::Probe;
use crate::peer::{self, Peer, ROLE, Start};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use hacher_libos_net::doorbell::{Doorbell, OwnDoorbell};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::os::fd::OwnedFd;
use std::path::Path;

/// What the peer is told to do.
pub(crate) const PART: &str = "wake";

/// How long a peer may take to start, in seconds.
const START_S: i64 = 10;

pub(super) struct Wake {
    there: Doorbell,
    back: OwnDoorbell,
    _peer: Peer,
}

impl Wake {
    pub(super) fn start(program: &Path, core: Option<u32>) -> Result<Self, Failed> {
        let bell = || eventfd(0, EventfdFlags::CLOEXEC);
        let (there, back) = (bell()?, bell()?);
        let start = Start {
            program,
            role: ROLE,
            part: PART,
            core,
        };
        let peer = Peer::start(&start, there.try_clone()?, back.try_clone()?)?;
        wait_for_start(&back)?;
        Ok(Self {
            there: Doorbell::new(there),
            back: OwnDoorbell::new(back),
            _peer: peer,
        })
    }
}

/// Waits for a peer, which rings once when it is there. From then on waits need no limit, as it does nothing
/// that could fail.
pub(super) fn wait_for_start(back: &OwnedFd) -> Result<(), Failed> {
    let timeout = Timespec {
        tv_sec: START_S,
        tv_nsec: 0,
    };
    if poll(&mut [PollFd::new(back, PollFlags::IN)], Some(&timeout))? == 0 {
        return Err(Failed::new("the process to be woken did not start"));
    }
    let mut count = [0; 8];
    rustix::io::read(back, &mut count)?;
    Ok(())
}

impl Probe for Wake {
    fn prepare(&mut self, _payload_bytes: usize) -> Result<(), Failed> {
        Ok(())
    }

    fn sample(&mut self) -> Result<u64, Failed> {
        let start = clock::now();
        self.there.ring();
        self.back.wait(None);
        Ok(clock::now().ns_since(start) / 2)
    }
}

/// The process that is woken and wakes in its turn, until it is killed.
pub(crate) fn peer() -> Result<(), Failed> {
    let there = OwnDoorbell::new(peer::input()?);
    let back = Doorbell::new(peer::output()?);
    back.ring();
    loop {
        there.wait(None);
        back.ring();
    }
}
