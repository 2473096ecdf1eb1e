//! What others read in an instance's page: the daemon for status and metrics, and whoever finds out how a
//! process ended. Everything in it is what that instance says, and may be wrong.

use super::closed::{closed_at, is_of_another_life};
use super::counter::{Counter, Gauge};
use super::refused_call::{self, RefusedCall};
use super::spans::{Span, SpansRead, span_at};
use super::telemetry::{Phase, Trace, trace_at};
use crate::fault::end::LastWords;
use crate::machine::clock::Monotonic;
use crate::record::invocation::InvocationId;
use crate::region::layout::{
    HISTOGRAM_BUCKETS, PageLayout, SPANS, TRACE_WORDS, TRACES, cursor_word, histogram_word, page_word,
};
use crate::region::memory::PeerRegion;
use crate::sync::{Ordering, fence};
use alloc::vec::Vec;

/// A histogram, read; or several, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Durations in each bucket, see [`bucket_bound_ns`](crate::page::telemetry::bucket_bound_ns).
    pub buckets: [u64; HISTOGRAM_BUCKETS],
    /// All durations.
    pub count: u64,
    /// Their sum.
    pub sum_ns: u64,
}

impl Histogram {
    /// Adds another one. An instance may write anything into its page, so nothing wraps.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(count);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

/// What a handler runs on, as its instance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Since when.
    pub since: Monotonic,
    /// When the request is worth nothing any more.
    pub deadline: Monotonic,
    /// The low half of the request's id.
    pub invocation: u64,
}

/// Reads an instance's page. Everything in it is what that instance says, and may be wrong.
#[derive(Debug)]
pub struct PageReader {
    page: PeerRegion,
    layout: PageLayout,
}

impl PageReader {
    /// Reads `page`, which is laid out as `layout` says.
    #[must_use]
    pub const fn new(page: PeerRegion, layout: PageLayout) -> Self {
        Self { page, layout }
    }

    fn word(&self, at: usize) -> u64 {
        self.page.word(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// A counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.word(counter.word())
    }

    /// Gateway: a figure that goes up and down.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.word(gauge.word())
    }

    /// Descriptors that were published over edge `edge` of port `port`, to all instances behind it, since the
    /// instance has a page; edges are numbered in their order among those of the port.
    #[must_use]
    pub fn sent(&self, port: usize, edge: usize) -> u64 {
        self.layout.sent_at(port, edge).map_or(0, |at| self.word(at))
    }

    /// Descriptors of inbound ring `ring` that the instance is through with.
    #[must_use]
    pub fn released(&self, ring: usize) -> u64 {
        let at = self.layout.cursor_at(ring);
        at.map_or(0, |at| self.word(at + cursor_word::RELEASED))
    }

    /// System calls that were refused to the instance, by number.
    #[must_use]
    pub fn refused_calls(&self) -> Vec<RefusedCall> {
        refused_call::read(|at| self.word(at))
    }

    /// Whether the instance says that it serves.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.word(page_word::STATE) == 1
    }

    /// Gateway: requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.word(page_word::IN_FLIGHT)
    }

    /// What the handler runs on; `None` when it does not run.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        let since_ns = Some(self.word(page_word::BUSY_SINCE)).filter(|since| *since > 0)?;
        Some(Running {
            since: Monotonic::from_ns(since_ns),
            deadline: Monotonic::from_ns(self.word(page_word::RUNNING_DEADLINE)),
            invocation: self.word(page_word::RUNNING_INVOCATION),
        })
    }

    /// The record that the instance is at work on, or was last: the low half of its request's id, and which
    /// attempt. `None` until its process has begun with one.
    #[must_use]
    pub fn last_record(&self) -> Option<(u64, u32)> {
        let invocation = Some(self.word(page_word::RUNNING_INVOCATION)).filter(|id| *id != 0)?;
        let attempt = u32::try_from(self.word(page_word::RUNNING_ATTEMPT)).unwrap_or(u32::MAX);
        Some((invocation, attempt))
    }

    /// Whether the instance says that it is at work on a record.
    #[must_use]
    pub fn holds_record(&self) -> bool {
        self.word(page_word::RUNNING_INBOUND) > 0
    }

    /// Why its process aborted, as it said itself.
    #[must_use]
    pub fn last_words(&self) -> Option<LastWords> {
        LastWords::from_word(self.word(page_word::LAST_WORDS))
    }

    /// Gateway: whether nobody waits any more for the request whose id has this low half.
    #[must_use]
    pub fn is_closed(&self, invocation: u64) -> bool {
        let invocation = InvocationId::new(u128::from(invocation));
        is_of_another_life(self.word(page_word::GATEWAY_LIFE), invocation)
            || self.word(closed_at(&self.layout, invocation)) == !invocation.halves().0
    }

    /// A histogram; `None` if the instance has no such ring or port.
    #[must_use]
    pub fn histogram(&self, phase: Phase) -> Option<Histogram> {
        let at = phase.at(&self.layout)?;
        let word = |index: usize| self.word(at + index * 8);
        Some(Histogram {
            buckets: core::array::from_fn(|bucket| word(histogram_word::BUCKETS + bucket)),
            count: word(histogram_word::COUNT),
            sum_ns: word(histogram_word::SUM),
        })
    }

    /// The last runs, oldest first, at most [`TRACES`].
    #[must_use]
    pub fn traces(&self) -> Vec<Trace> {
        let head = self.word(page_word::TRACE_HEAD);
        let first = head.saturating_sub(TRACES as u64);
        (first..head).filter_map(|number| self.trace(number)).collect()
    }

    fn trace(&self, number: u64) -> Option<Trace> {
        let words = self.entry(trace_at(&self.layout, number), number)?;
        Some(Trace::from_words(&words))
    }

    /// The number of the next span.
    #[must_use]
    pub fn next_span(&self) -> u64 {
        self.word(page_word::SPAN_HEAD)
    }

    /// The spans from number `next` on, oldest first, at most [`SPANS`]. Where the instance has gone back to
    /// earlier numbers there are none.
    #[must_use]
    pub fn spans_since(&self, next: u64) -> SpansRead {
        let head = self.next_span();
        let first = next.max(head.saturating_sub(SPANS as u64));
        let entries = (first..head).filter_map(|number| {
            let words = self.entry(span_at(&self.layout, number), number)?;
            Span::from_words(&words)
        });
        let spans: Vec<_> = entries.collect();
        let missed = head.saturating_sub(next).saturating_sub(spans.len() as u64);
        SpansRead {
            spans,
            next: head,
            missed,
        }
    }

    /// The words of entry `number` of a ring, which lies at `at`; `None` if it is being written, or is
    /// another by now.
    fn entry(&self, at: usize, number: u64) -> Option<[u64; TRACE_WORDS - 1]> {
        let before = self.word(at);
        fence(Ordering::Acquire);
        let words = core::array::from_fn(|i| self.word(at + (i + 1) * 8));
        fence(Ordering::Acquire);
        let whole = before == number.wrapping_add(1) && self.word(at) == before;
        whole.then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::cause::Cause;
    use crate::page::telemetry::{Outcome, count, record, trace};
    use crate::record::refusal::Refusal;
    use crate::region::heap::Heap;
    use crate::region::memory::OwnRegion;

    #[test]
    fn a_reader_sees_what_was_counted_timed_and_traced() {
        let layout = PageLayout::new(2, 2).unwrap();
        let memory = Heap::new(layout.len_bytes());
        let page = OwnRegion::new(Box::new(memory.clone()));
        let reader = PageReader::new(PeerRegion::new(Box::new(memory)), layout);
        count(&page, Counter::Refused(Refusal::Forged), 2);
        count(&page, Counter::BytesIn, 5);
        record(&page, &layout, Phase::Seal(1), 300);
        record(&page, &layout, Phase::Seal(1), 100);
        let made = Trace {
            invocation: u64::MAX - 5,
            inbound: 1,
            attempt: 2,
            outcome: Outcome::Retried,
            cause: Some((Cause::Exited, 3)),
            seen_ns: 3,
            queued_ns: 4,
            hand_over_ns: 5,
            open_ns: 6,
            run_ns: 7,
            seal_ns: 8,
            in_bytes: 9,
            out_bytes: 10,
        };
        for _ in 0..300 {
            trace(&page, &layout, &made);
        }
        assert_eq!(reader.counter(Counter::Refused(Refusal::Forged)), 2);
        assert_eq!(reader.counter(Counter::BytesIn), 5);
        assert_eq!(reader.counter(Counter::Succeeded), 0);
        let histogram = reader.histogram(Phase::Seal(1)).unwrap();
        assert_eq!((histogram.count, histogram.sum_ns), (2, 400));
        assert_eq!((histogram.buckets[0], histogram.buckets[1]), (1, 1));
        assert_eq!(reader.histogram(Phase::Seal(0)).unwrap().count, 0);
        assert!(reader.histogram(Phase::Seal(2)).is_none());
        assert_eq!(reader.traces(), vec![made; TRACES]);
    }
}
