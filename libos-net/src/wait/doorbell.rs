//! A doorbell: what an instance sleeps on and its peers ring. A pipe of one page: its reading end belongs to
//! the owner, its writing end to whoever may ring.
//!
//! The two ends are two files for the kernel, and that is why it is no eventfd: the writing end never blocks,
//! whatever the owner or another peer has done, while the owner sleeps by one blocking read; nobody but the
//! owner can take rings away; and who watches a writing end hears of room in the pipe, not of rings, so that
//! any number of such watches cost no ringer anything.

use crate::clock::{self, Monotonic};
use core::mem::MaybeUninit;
use hacher_data_path::machine::bell::{Bell, OwnBell};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// Bytes of a doorbell's pipe, the least that the kernel makes. A full pipe is a ring, too: its owner is not
/// asleep for long.
const PIPE_BYTES: usize = 4096;

/// Makes a doorbell: the end that its owner sleeps on, in blocking mode, and the end that peers ring, which
/// never blocks. Whoever makes it keeps both, so that a ring finds the pipe open although the owner's process
/// has ended.
///
/// # Errors
/// When descriptors are short.
pub fn make() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (own, ringing) = pipe_with(PipeFlags::CLOEXEC)?;
    // Refused to nobody: it makes the pipe smaller, or leaves it as small as a user gets it who has many.
    let _ = fcntl_setpipe_size(&ringing, PIPE_BYTES);
    let flags = rustix::fs::fcntl_getfl(&ringing)?;
    rustix::fs::fcntl_setfl(&ringing, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok((own, ringing))
}

/// The end that peers ring, as given by the monitor.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// Takes the end that is rung.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Wakes the owner. Does not wait.
    pub fn ring(&self) {
        // Fails with EAGAIN if the pipe is full, and then the owner has rings to hear.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Bell for Doorbell {
    fn ring(&self) {
        Self::ring(self);
    }
}

/// The end that its owner sleeps on.
#[derive(Debug)]
pub struct OwnDoorbell(OwnedFd);

impl OwnDoorbell {
    /// Takes the owner's end.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sleeps until the bell rings, or `until` is reached; returns at once for a bell that rang before.
    pub fn wait(&self, until: Option<Monotonic>) {
        if let Some(until) = until
            && !self.rings_before(until)
        {
            return;
        }
        // An interruption by a signal is a spurious wake-up, which every caller expects.
        if take_rings(&self.0) == Err(Errno::AGAIN) && until.is_none() {
            let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None);
            let _ = take_rings(&self.0);
        }
    }

    fn rings_before(&self, until: Monotonic) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let left = until.saturating_duration_since(clock::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => false,
            Err(_) => true,
        }
    }
}

impl OwnBell for OwnDoorbell {
    fn wait(&self, until: Option<Monotonic>) {
        Self::wait(self, until);
    }

    fn forget_rings(&self) {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec::default())) == Ok(1) {
            let _ = take_rings(&self.0);
        }
    }

    fn give_way(&self) {
        rustix::thread::sched_yield();
    }
}

/// Hears a bell that an event loop has seen ring, and may have been rung for nothing: `own` is its owner's
/// end in non-blocking mode. A pipe that stays full would take no ring, and make no event of it.
pub fn hear(own: impl AsFd) {
    let _ = take_rings(own);
}

/// Takes all rings that a pipe of [`PIPE_BYTES`] holds; of a larger one, that a peer has filled, the rest are
/// spurious wake-ups.
fn take_rings(own: impl AsFd) -> Result<(), Errno> {
    let mut rings = [MaybeUninit::<u8>::uninit(); PIPE_BYTES];
    rustix::io::read(own, &mut rings).map(|_| ())
}

impl AsFd for OwnDoorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_bell_that_nobody_hears_is_rung_without_end_and_heard_once() {
        let (own, ringing) = make().unwrap();
        let (own, bell) = (OwnDoorbell::new(own), Doorbell::new(ringing));
        for _ in 0..100_000 {
            bell.ring();
        }
        own.wait(None);
        assert!(!own.rings_before(clock::now()), "all rings were taken");
        bell.ring();
        own.wait(None);
        own.wait(Some(clock::now().after(Duration::from_millis(1))));
    }

    #[test]
    fn whoever_fills_a_bell_blocks_nobody_and_keeps_nobody_asleep() {
        let (own, ringing) = make().unwrap();
        let own = OwnDoorbell::new(own);
        while rustix::io::write(&ringing, &[0xff; 4096]).is_ok() {}
        let bell = Doorbell::new(ringing);
        bell.ring();
        own.wait(None);
        while own.rings_before(clock::now()) {
            own.wait(None);
        }
        bell.ring();
        assert!(own.rings_before(clock::now().after(Duration::from_secs(60))));
    }

    #[test]
    fn the_end_that_peers_have_takes_no_ring_away() {
        let (own, ringing) = make().unwrap();
        let bell = Doorbell::new(ringing);
        bell.ring();
        assert_eq!(rustix::io::read(&bell.0, &mut [0; 8]), Err(Errno::BADF));
        OwnDoorbell::new(own).wait(None);
    }
}
