//! The machine as the platform wants it: pages, randomness, time, and reports.
#![allow(unsafe_code, reason = "reaches pages of trustlets by their addresses")]

use crate::clock::Clock;
use crate::random::Random;
use crate::{paging, processor};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::evidence::cryptography::sha384;
use hacher_monitor_core::evidence::emulated::EmulatedRoot;
use hacher_monitor_core::platform::{LayerStatus, Measurement, PlatformError, PlatformReport};
use hacher_snp::frame::{FRAME_WORDS, Frame};
use hacher_snp::hardware::Hardware;
use hacher_snp::platform::Board;
#[cfg(not(feature = "no-snp"))]
use hacher_snp::rmp::Vmpl;
use hacher_snp::rmp::{Adjustment, RmpError};
use hacher_snp::state::{SVME, word};

/// The machine.
pub(crate) struct Machine {
    /// Pages of trustlets.
    frames: Range<u64>,
    clock: Clock,
    random: Random,
    root: EmulatedRoot,
}

impl Machine {
    /// The machine that has these pages for trustlets.
    pub(crate) fn new(frames: Range<u64>, clock: Clock, random: Random) -> Option<Self> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        random.fill(&mut *seed).ok()?;
        Some(Self {
            frames,
            clock,
            random,
            root: EmulatedRoot::new(&seed),
        })
    }

    /// Where a word of a page is. Page tables of trustlets name no other pages, so this one is mapped.
    fn word(&self, frame: Frame, index: usize) -> *mut u64 {
        assert!(
            self.frames.contains(&frame.number()) && index < FRAME_WORDS,
            "the ledger has pages of trustlets only"
        );
        paging::word_at(frame, index)
    }
}

impl Hardware for Machine {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        #[cfg(feature = "no-snp")]
        let _ = (frame, valid);
        #[cfg(not(feature = "no-snp"))]
        // SAFETY: CPL0; the page is mapped, and the ledger has no use for what it holds.
        unsafe {
            hacher_snp::instructions::pvalidate(self.word(frame, 0) as u64, valid)?;
        }
        Ok(())
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        #[cfg(feature = "no-snp")]
        let _ = (frame, adjustment);
        #[cfg(not(feature = "no-snp"))]
        // SAFETY: CPL0; the page is mapped, and the ledger knows what may be seen of it.
        unsafe {
            hacher_snp::instructions::rmpadjust(self.word(frame, 0) as u64, adjustment)?;
        }
        Ok(())
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        #[cfg(feature = "no-snp")]
        let _ = (frame, is_state);
        #[cfg(not(feature = "no-snp"))]
        // SAFETY: CPL0; the page is mapped, and the ledger has taken it from all other levels.
        unsafe {
            hacher_snp::instructions::rmpadjust_state(
                self.word(frame, 0) as u64,
                Vmpl::OPERATING_SYSTEM,
                is_state,
            )?;
        }
        Ok(())
    }

    fn park(&mut self, frame: Frame) -> bool {
        // There is one processor, and the monitor has it.
        let efer = self.read(frame, word::EFER);
        self.write(frame, word::EFER, efer & !SVME);
        true
    }

    fn zero(&mut self, frame: Frame) {
        for index in 0..FRAME_WORDS {
            self.write(frame, index, 0);
        }
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        // SAFETY: mapped and aligned; no reference to it exists, and no trustlet runs meanwhile.
        unsafe { self.word(frame, index).read_volatile() }
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        // SAFETY: as in `read`.
        unsafe { self.word(frame, index).write_volatile(word) };
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        // SAFETY: as in `read`; the lowest bytes of a word are its first.
        unsafe { self.word(frame, index).cast::<u16>().write_volatile(bytes) };
    }

    fn flush(&mut self) {
        // There is one processor, and no page is mapped as global: taking tables forgets all others.
        // SAFETY: the monitor's own, as they are.
        unsafe { processor::take_tables(paging::own_tables()) };
    }
}

impl Board for Machine {
    fn backend(&self) -> &'static str {
        "bare"
    }

    fn is_snp(&self) -> bool {
        false
    }

    fn layers(&self) -> Vec<LayerStatus> {
        let layer = |name: &str, missing_because: Option<String>| LayerStatus {
            name: name.to_owned(),
            missing_because,
        };
        vec![
            layer("page tables", None),
            layer("reverse map", Some("no SNP: page tables only".to_owned())),
        ]
    }

    fn encrypted(&self) -> u64 {
        0
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        self.random.fill(bytes).map_err(|_| PlatformError::Refused {
            what: "randomness",
            why: "the processor's source gives none".to_owned(),
            is_transient: true,
        })
    }

    fn measure(&self, bytes: &[u8]) -> Measurement {
        sha384(bytes)
    }

    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    fn report(&mut self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError> {
        Ok(PlatformReport::emulated(self.root.report(data)))
    }
}
