//! Waking ahead: before this instance sleeps, it rings those that will need its core next.
//!
//! Where the functions of a chain take turns over two cores, each hop crosses to a consumer on the other
//! core. While that consumer works, this core changes over to the consumer's consumer, so that the wake-up
//! and the switch, which cost more than the hand-over itself, are over when its record comes:
//!
//! ```text
//! core 0   run 1 | ring 3 | sleep ......... switch | 3 looks | run 3 | ring 5 | ...
//! core 1   2 looks ....... | run 2 | ring 4 | sleep ........ switch | 4 looks | run 4 | ...
//! ```
//!
//! Who is woken so finds nothing yet, and looks for work for a while ([`crate::wait::patience`]). A ring too
//! many costs a switch, and says nothing: the word that it follows is the sleeper's own, and the record's
//! producer rings in any case if it has to.

use crate::attach::contradiction::BadAttachment;
use crate::attach::message;
use crate::machine::bell::Bell;
use crate::region::layout::{PageLayout, page_word};
use crate::region::memory::PeerRegion;
use crate::sync::Ordering;
use crate::wait::park::Waker;
use alloc::boxed::Box;

/// An instance that needs this one's core next.
#[derive(Debug)]
struct Next {
    page: PeerRegion,
    bell: Box<dyn Bell>,
    waker: Waker,
}

/// Who is to be woken ahead, if somebody is.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    next: Option<Next>,
    /// Records that this instance had published when it last rang.
    rung_after: u64,
}

impl Ahead {
    /// Wakes an instance, by its bell and its page, of so many bytes.
    pub(crate) fn new<F>(
        entry: &message::Ahead,
        page: impl FnOnce(usize) -> Result<PeerRegion, F>,
        bell: Box<dyn Bell>,
    ) -> Result<Result<Self, F>, BadAttachment> {
        let layout = PageLayout::new(entry.inbound_count, entry.port_count)
            .ok_or(BadAttachment("the page of an instance ahead"))?;
        Ok(page(layout.len_bytes()).map(|page| Self {
            next: Some(Next {
                page,
                bell,
                waker: Waker::default(),
            }),
            rung_after: 0,
        }))
    }

    /// Whether somebody is to be woken before this instance sleeps: it has `published` more since it last did
    /// that.
    pub(crate) const fn is_due(&self, published: u64) -> bool {
        published != self.rung_after && self.next.is_some()
    }

    /// Wakes it, if it sleeps and would look for work.
    pub(crate) fn wake(&mut self, published: u64) {
        self.rung_after = published;
        if let Some(next) = &mut self.next
            && let (Some(parked), Some(looks)) = (
                next.page.word(page_word::PARKED),
                next.page.word(page_word::LOOKS),
            )
            && looks.load(Ordering::Relaxed) == 1
            && next.waker.must_ring(parked)
        {
            next.bell.ring();
        }
    }
}
