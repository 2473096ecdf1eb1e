//! What an instance says in its page, the bell that it sleeps on and the clock that it reads: what every step
//! of a record's way may need.

use super::closed::{answered_at, closed_at, is_of_another_life};
use super::counter::{Counter, Gauge};
use super::spans::{Span, span};
use super::telemetry::{Phase, Trace, count, count_sent, record, trace};
use crate::machine::bell::OwnBell;
use crate::machine::clock::{Clock, Monotonic};
use crate::record::invocation::{GatewayLife, InvocationId};
use crate::region::layout::{PageLayout, page_word};
use crate::region::memory::{OwnRegion, PeerRegion};
use crate::sync::{AtomicU64, Ordering};
use alloc::boxed::Box;

/// The page that this instance writes, its bell and its clock.
#[derive(Debug)]
pub struct Own {
    pub(crate) page: OwnRegion,
    pub(crate) page_layout: PageLayout,
    pub(crate) bell: Box<dyn OwnBell>,
    pub(crate) clock: Box<dyn Clock>,
    /// The gateway's page, where it says which requests are closed; the gateway itself has none.
    pub(crate) gateway: Option<(PeerRegion, PageLayout)>,
}

impl Own {
    /// Adds to a counter of this instance.
    #[inline]
    pub fn count(&self, counter: Counter, value: u64) {
        count(&self.page, counter, value);
    }

    /// Adds a duration to a histogram of this instance.
    #[inline]
    pub fn record(&self, phase: Phase, ns: u64) {
        record(&self.page, &self.page_layout, phase, ns);
    }

    /// Notes that a descriptor was published over an edge that counts such ones at `at`.
    pub(crate) fn count_sent(&self, at: Option<usize>) {
        if let Some(at) = at {
            count_sent(&self.page, at);
        }
    }

    /// The bell that peers ring.
    #[must_use]
    pub fn bell(&self) -> &dyn OwnBell {
        &*self.bell
    }

    /// The present.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Monotonic {
        self.clock.now()
    }

    /// Nanoseconds from `earlier` to the present.
    #[must_use]
    #[inline]
    pub fn ns_since(&self, earlier: Monotonic) -> u64 {
        self.now().ns_since(earlier)
    }

    /// Adds a run to the traces.
    pub fn trace(&self, run: &Trace) {
        trace(&self.page, &self.page_layout, run);
    }

    /// Adds a span of a request that is traced.
    pub fn span(&self, told: &Span) {
        span(&self.page, &self.page_layout, told);
    }

    /// How the page is laid out.
    #[must_use]
    pub const fn layout(&self) -> &PageLayout {
        &self.page_layout
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The word of the page at byte `at`, a multiple of 8.
    #[must_use]
    pub fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.page.word(at)
    }

    /// Stores a word of the page.
    #[inline]
    pub fn store(&self, at: usize, value: u64) {
        if let Some(word) = self.page.word(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// How many records this instance has published, as it counts them itself.
    pub(crate) fn published(&self) -> u64 {
        self.load(Counter::Published.word())
    }

    /// Loads a word of the page.
    #[must_use]
    #[inline]
    pub fn load(&self, at: usize) -> u64 {
        self.page.word(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Whether nobody waits for this request any more: the gateway has said so, or is another than the one it
    /// came to.
    #[must_use]
    pub fn is_closed(&self, invocation: InvocationId) -> bool {
        let Some((page, layout)) = &self.gateway else {
            return false;
        };
        // This word is written once in a life, and stays in the cache.
        let life = page.word(page_word::GATEWAY_LIFE);
        if life.is_some_and(|life| is_of_another_life(life.load(Ordering::Relaxed), invocation)) {
            return true;
        }
        names(page, closed_at(layout, invocation), invocation)
    }

    /// Whether this request has had its reply, as far as the gateway remembers.
    #[must_use]
    pub fn is_answered(&self, invocation: InvocationId) -> bool {
        let gateway = self.gateway.as_ref();
        gateway.is_some_and(|(page, layout)| names(page, answered_at(layout, invocation), invocation))
    }

    /// Gateway: takes its page over from a process before it, whose requests have all ended with it.
    pub(crate) fn begin_requests(&self) {
        self.set_in_flight(0);
        // Until it says in which life it is.
        self.store(page_word::GATEWAY_LIFE, 0);
        for gauge in Gauge::ALL {
            self.set_gauge(gauge, 0);
        }
        let tables = self.page_layout.closed_at()..self.page_layout.suspect_at(0);
        for at in tables.step_by(8) {
            if self.load(at) != 0 {
                self.store(at, 0);
            }
        }
    }

    /// Gateway: says in which life it is, so that functions drop what belongs to earlier ones.
    pub fn set_life(&self, life: GatewayLife) {
        self.store(page_word::GATEWAY_LIFE, u64::from(life.number()));
    }

    /// Gateway: says how many requests are in flight.
    pub fn set_in_flight(&self, requests: u64) {
        self.store(page_word::IN_FLIGHT, requests);
    }

    /// Gateway: tells a figure that goes up and down.
    pub fn set_gauge(&self, gauge: Gauge, value: u64) {
        self.store(gauge.word(), value);
    }

    /// Gateway: says that nobody waits for this request any more, so that functions need not run for it.
    pub fn close(&self, invocation: InvocationId) {
        self.name(closed_at(&self.page_layout, invocation), invocation);
    }

    /// Gateway: says that this request has its reply.
    pub fn answer(&self, invocation: InvocationId) {
        self.name(answered_at(&self.page_layout, invocation), invocation);
    }

    fn name(&self, at: usize, invocation: InvocationId) {
        let (low, high) = invocation.halves();
        self.store(at, !low);
        self.store(at + 8, !high);
    }
}

/// Whether the entry at `at` of the gateway's page names this request.
fn names(page: &PeerRegion, at: usize, invocation: InvocationId) -> bool {
    let is = |at, half: u64| {
        let word = page.word(at);
        word.is_some_and(|word| word.load(Ordering::Relaxed) == !half)
    };
    // An entry that is being written may be read half old, half new. That names a third request only if two
    // share one half of their ids, which are random.
    let (low, high) = invocation.halves();
    is(at, low) && is(at + 8, high)
}
