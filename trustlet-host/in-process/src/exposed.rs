//! Regions in the hands of a test.

use hacher_libos_net::mapping;
use hacher_libos_net::memory::OwnRegion;
use hacher_libos_net::sync::Ordering;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// A whole region, writable, whoever owns it.
pub struct Exposed<'w> {
    region: OwnRegion,
    fd: BorrowedFd<'w>,
}

impl<'w> Exposed<'w> {
    pub(crate) fn map(fd: &'w OwnedFd, len_bytes: usize) -> Self {
        Self {
            region: mapping::own(fd, len_bytes).expect("a region as long as its layout"),
            fd: fd.as_fd(),
        }
    }

    /// The region's descriptor.
    #[must_use]
    pub const fn fd(&self) -> BorrowedFd<'w> {
        self.fd
    }

    /// The word at byte `at`, a multiple of 8.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        let word = self.region.word(at).expect("a word of the region");
        word.load(Ordering::Relaxed)
    }

    /// Replaces that word.
    pub fn set_word(&self, at: usize, value: u64) {
        let word = self.region.word(at).expect("a word of the region");
        word.store(value, Ordering::Relaxed);
    }

    /// Changes the byte at `at` by exclusive or.
    pub fn flip(&self, at: usize, change: u8) {
        let shift = 8 * (at % 8);
        let word = at - at % 8;
        self.set_word(word, self.word(word) ^ (u64::from(change) << shift));
    }

    /// `len_bytes` bytes from `at`.
    #[must_use]
    pub fn bytes(&self, at: usize, len_bytes: usize) -> Vec<u8> {
        (at..at + len_bytes)
            .map(|at| self.word(at - at % 8).to_le_bytes()[at % 8])
            .collect()
    }

    /// Overwrites bytes from `at` on.
    pub fn set_bytes(&self, at: usize, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let old = self.bytes(at, 1)[0];
            self.flip(at, old ^ byte);
        }
    }
}
