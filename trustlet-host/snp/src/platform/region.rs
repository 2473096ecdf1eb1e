//! Regions: pages of one writer, which go back when nobody holds the region any more.

use crate::frame::{FRAME_BYTES, Frame};
use crate::hardware::Hardware;
use crate::ledger::{PageLedger, Purpose, Refused};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Pages that the platform has to give back.
#[derive(Debug, Clone, Default)]
pub(super) struct Returned(Rc<RefCell<Vec<Frame>>>);

impl Returned {
    pub(super) fn put(&self, frame: Frame) {
        self.0.borrow_mut().push(frame);
    }

    pub(super) fn take(&self) -> Vec<Frame> {
        self.0.take()
    }
}

/// Pages that go back when this is dropped, as soon as nobody has them mapped.
#[derive(Debug)]
pub(super) struct Pages {
    frames: Vec<Frame>,
    returned: Returned,
}

impl Pages {
    pub(super) const fn none(returned: Returned) -> Self {
        Self {
            frames: Vec::new(),
            returned,
        }
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for &frame in &self.frames {
            self.returned.put(frame);
        }
    }
}

/// A region.
#[derive(Debug)]
pub struct Region(Pages);

impl Region {
    pub(super) fn new(
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        returned: &Returned,
        len_bytes: usize,
    ) -> Result<Self, Refused> {
        let mut pages = Pages::none(returned.clone());
        for _ in 0..len_bytes.div_ceil(FRAME_BYTES) {
            pages.push(ledger.take(hardware, Purpose::Region { writer: None })?);
        }
        Ok(Self(pages))
    }

    /// Its pages, in their order.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        self.0.frames()
    }
}
