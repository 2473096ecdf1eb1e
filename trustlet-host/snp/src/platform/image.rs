//! The image of a program: measured, and what is not written of it is loaded once, for all who run it.

use super::board::Board;
use super::own_memory::filled;
use super::refusal::{no_pages, unsuitable};
use super::region::{Pages, Returned};
use crate::frame::Frame;
use crate::ledger::{PageLedger, Purpose};
use crate::program::{Program, Segment};
use crate::space::Access;
use alloc::string::ToString;
use alloc::vec::Vec;
use hacher_monitor_core::platform::{Measurement, PlatformError};

/// A program that trustlets are started with.
#[derive(Debug)]
pub struct Image {
    measurement: Measurement,
    entry: u64,
    segments: Vec<Loaded>,
}

/// A segment, as each trustlet gets it.
#[derive(Debug)]
pub(super) enum Loaded {
    /// Pages that all share.
    Shared {
        address: u64,
        access: Access,
        pages: Pages,
    },
    /// Pages of which each gets a copy: the bytes of each, and where in it they begin.
    Copied {
        address: u64,
        pages: Vec<(usize, Vec<u8>)>,
    },
}

impl Image {
    pub(super) fn load(
        board: &mut impl Board,
        ledger: &mut PageLedger,
        returned: &Returned,
        file: &[u8],
    ) -> Result<Self, PlatformError> {
        let program = Program::read(file).map_err(|error| unsuitable(error.to_string()))?;
        let mut segments = Vec::with_capacity(program.segments.len());
        for segment in &program.segments {
            segments.push(Loaded::load(board, ledger, returned, segment)?);
        }
        Ok(Self {
            measurement: board.measure(file),
            entry: program.entry,
            segments,
        })
    }

    /// SHA-384 of the file.
    #[must_use]
    pub const fn measurement(&self) -> Measurement {
        self.measurement
    }

    pub(super) const fn entry(&self) -> u64 {
        self.entry
    }

    pub(super) fn segments(&self) -> &[Loaded] {
        &self.segments
    }
}

impl Loaded {
    fn load(
        board: &mut impl Board,
        ledger: &mut PageLedger,
        returned: &Returned,
        segment: &Segment<'_>,
    ) -> Result<Self, PlatformError> {
        let address = segment.address;
        let contents = (0..segment.pages).map(|page| segment.page(page));
        if segment.access == Access::Write {
            let pages = contents.map(|(lead, bytes)| (lead, bytes.to_vec())).collect();
            return Ok(Self::Copied { address, pages });
        }
        let mut pages = Pages::none(returned.clone());
        for content in contents {
            let frame: Frame = filled(board, ledger, Purpose::Code, content)
                .map_err(|refused| no_pages("loading a program", refused))?;
            pages.push(frame);
        }
        Ok(Self::Shared {
            address,
            access: segment.access,
            pages,
        })
    }
}
