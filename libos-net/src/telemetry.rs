//! What an instance tells about itself, in its own instance page: counters, histograms and the last runs.
//! Written with plain stores by the one thread that serves, read by the daemon whenever it likes. No payload,
//! no keys.

use crate::clock::Monotonic;
pub use crate::counter::{Counter, Gauge, Reject, RequestFailure, RequestOutcome, RequestRefusal};
use crate::end::LastWords;
use crate::hop::{closed_at, is_of_another_life};
use crate::invocation::InvocationId;
use crate::layout::{
    HISTOGRAM_BUCKETS, HISTOGRAM_WORDS, HISTOGRAMS_PER_INBOUND, PageLayout, TRACE_WORDS, TRACES, cursor_word,
    page_word,
};
use crate::memory::{OwnRegion, PeerRegion};
use crate::refused_call::{self, RefusedCall};
use crate::sync::{AtomicU64, Ordering, fence};

/// Which histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// A record lay in ring `.0` because the instance was busy.
    Queued(usize),
    /// From publishing, or from when the instance had time, until it looked at the record of ring `.0`.
    HandOver(usize),
    /// Opening the record of ring `.0`.
    Open(usize),
    /// The handler.
    Run,
    /// Sealing and publishing the record of port `.0`.
    Seal(usize),
}

impl Phase {
    fn at(self, layout: &PageLayout) -> Option<usize> {
        match self {
            Self::Queued(ring) => layout.inbound_histogram_at(ring, 0),
            Self::HandOver(ring) => layout.inbound_histogram_at(ring, 1),
            Self::Open(ring) => layout.inbound_histogram_at(ring, 2),
            Self::Run => Some(layout.run_histogram_at()),
            Self::Seal(port) => layout.port_histogram_at(port),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With output.
    Succeeded,
    /// Failed, to be tried again.
    Retried,
    /// Failed for good.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Succeeded, Self::Retried, Self::Failed];

    fn code(self) -> u64 {
        match self {
            Self::Succeeded => 0,
            Self::Retried => 1,
            Self::Failed => 2,
        }
    }
}

/// Where the time of one run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The low half of the request's id. The page is mapped by those that send to this instance, who need
    /// not know the requests of others: nobody can answer one of which he knows half the id.
    pub invocation: u64,
    /// Inbound ring; of a join, the one whose record came last.
    pub inbound: u32,
    /// Which attempt.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// When the instance first looked at the record, ns of `CLOCK_MONOTONIC`.
    pub seen_ns: u64,
    /// How long the record lay while the instance was busy.
    pub queued_ns: u64,
    /// How long the wake-up took.
    pub hand_over_ns: u64,
    /// Opening.
    pub open_ns: u64,
    /// The handler, without what it spent on opening and sealing.
    pub run_ns: u64,
    /// Sealing and publishing.
    pub seal_ns: u64,
    /// Plaintext bytes in.
    pub in_bytes: u64,
    /// Plaintext bytes out.
    pub out_bytes: u64,
}

impl Trace {
    fn words(&self) -> [u64; TRACE_WORDS - 1] {
        let mut words = [0; TRACE_WORDS - 1];
        let values = [
            self.invocation,
            u64::from(self.inbound) << 32 | u64::from(self.attempt),
            self.outcome.code(),
            self.seen_ns,
            self.queued_ns,
            self.hand_over_ns,
            self.open_ns,
            self.run_ns,
            self.seal_ns,
            self.in_bytes,
            self.out_bytes,
        ];
        for (word, value) in words.iter_mut().zip(values) {
            *word = value;
        }
        words
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes a word apart")]
    fn from_words(words: &[u64; TRACE_WORDS - 1]) -> Self {
        let [
            invocation,
            place,
            outcome,
            seen_ns,
            queued_ns,
            hand_over_ns,
            open_ns,
            run_ns,
            seal_ns,
            in_bytes,
            out_bytes,
            ..,
        ] = *words;
        let outcome = usize::try_from(outcome)
            .ok()
            .and_then(|code| Outcome::ALL.get(code).copied());
        Self {
            invocation,
            inbound: (place >> 32) as u32,
            attempt: place as u32,
            outcome: outcome.unwrap_or(Outcome::Failed),
            seen_ns,
            queued_ns,
            hand_over_ns,
            open_ns,
            run_ns,
            seal_ns,
            in_bytes,
            out_bytes,
        }
    }
}

fn add(word: Option<&AtomicU64>, value: u64) {
    // One writer: load and store need not be one operation.
    if let Some(word) = word {
        word.store(
            word.load(Ordering::Relaxed).wrapping_add(value),
            Ordering::Relaxed,
        );
    }
}

/// A figure that no process reaches by counting: 2^60 ns are 36 years.
const FIGURE_MAX: u64 = 1 << 60;
/// Inbound rings whose histograms are looked at when a process takes over; those of more would be backed with
/// memory by that.
const TAKEN_OVER_RINGS: usize = 256;

/// Takes the figures over from a process before this one, which may have been hostile: one that nobody can
/// have counted begins anew, as a reader of counters expects of a restart.
pub(crate) fn take_over(page: &OwnRegion, layout: &PageLayout) {
    let counters = (0..page_word::COUNTER_WORDS).map(|at| page_word::COUNTERS + at * 8);
    let rings = (0..TAKEN_OVER_RINGS).flat_map(|ring| {
        (0..HISTOGRAMS_PER_INBOUND).map_while(move |which| layout.inbound_histogram_at(ring, which))
    });
    let ports = (0..).map_while(|port| layout.port_histogram_at(port));
    let histograms = core::iter::once(layout.run_histogram_at())
        .chain(rings)
        .chain(ports);
    let words = histograms.flat_map(|at| (0..HISTOGRAM_WORDS).map(move |word| at + word * 8));
    for word in counters.chain(words).filter_map(|at| page.word(at)) {
        if word.load(Ordering::Relaxed) >= FIGURE_MAX {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// Adds to a counter.
pub(crate) fn count(page: &OwnRegion, counter: Counter, value: u64) {
    add(page.word(counter.word()), value);
}

/// Notes that a descriptor was published where [`PageLayout::sent_at`] counts such ones.
pub(crate) fn count_sent(page: &OwnRegion, at: usize) {
    add(page.word(at), 1);
}

/// Adds one duration to a histogram.
pub(crate) fn record(page: &OwnRegion, layout: &PageLayout, phase: Phase, ns: u64) {
    let Some(at) = phase.at(layout) else { return };
    add(page.word(at + bucket_of(ns) * 8), 1);
    add(page.word(at + HISTOGRAM_BUCKETS * 8), 1);
    add(page.word(at + (HISTOGRAM_BUCKETS + 1) * 8), ns);
}

const _: () = assert!(HISTOGRAM_BUCKETS + 2 <= HISTOGRAM_WORDS);

fn bucket_of(ns: u64) -> usize {
    let above = 64_u32.saturating_sub((ns >> 8).leading_zeros());
    usize::try_from(above).unwrap_or(0).min(HISTOGRAM_BUCKETS - 1)
}

/// The upper bound of bucket `index`, in nanoseconds; the last bucket has none.
#[must_use]
pub const fn bucket_bound_ns(index: usize) -> Option<u64> {
    if index + 1 < HISTOGRAM_BUCKETS {
        Some(256 << index)
    } else {
        None
    }
}

/// Appends a trace, over the oldest one.
pub(crate) fn trace(page: &OwnRegion, layout: &PageLayout, trace: &Trace) {
    let Some(head) = page.word(page_word::TRACE_HEAD) else {
        return;
    };
    let number = head.load(Ordering::Relaxed);
    let at = trace_at(layout, number);
    let Some(stamp) = page.word(at) else { return };
    // A reader takes a trace only if its stamp is the same, and not 0, before and after it has read the
    // words.
    stamp.store(0, Ordering::Relaxed);
    fence(Ordering::Release);
    for (i, value) in trace.words().into_iter().enumerate() {
        if let Some(word) = page.word(at + (i + 1) * 8) {
            word.store(value, Ordering::Relaxed);
        }
    }
    stamp.store(number.wrapping_add(1), Ordering::Release);
    head.store(number.wrapping_add(1), Ordering::Release);
}

fn trace_at(layout: &PageLayout, number: u64) -> usize {
    let index = usize::try_from(number % TRACES as u64).unwrap_or(0);
    layout.traces_at() + index * TRACE_WORDS * 8
}

/// A histogram, read; or several, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Durations in each bucket, see [`bucket_bound_ns`].
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
    /// Maps the page behind `fd`.
    ///
    /// # Errors
    /// When it cannot be mapped, or is too short.
    pub fn map(fd: impl rustix::fd::AsFd, layout: PageLayout) -> Result<Self, crate::memory::MapError> {
        Ok(Self {
            page: PeerRegion::map(fd, layout.len_bytes())?,
            layout,
        })
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
        let buckets = core::array::from_fn(|i| self.word(at + i * 8));
        let count = self.word(at + HISTOGRAM_BUCKETS * 8);
        let sum_ns = self.word(at + (HISTOGRAM_BUCKETS + 1) * 8);
        Some(Histogram {
            buckets,
            count,
            sum_ns,
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
        let at = trace_at(&self.layout, number);
        let before = self.word(at);
        fence(Ordering::Acquire);
        let words = core::array::from_fn(|i| self.word(at + (i + 1) * 8));
        fence(Ordering::Acquire);
        let whole = before == number.wrapping_add(1) && self.word(at) == before;
        whole.then(|| Trace::from_words(&words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    #[test]
    fn a_reader_sees_what_was_counted_timed_and_traced() {
        let layout = PageLayout::new(2, 2).unwrap();
        let fd = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, layout.len_bytes() as u64).unwrap();
        let page = OwnRegion::map(&fd, layout.len_bytes()).unwrap();
        let reader = PageReader::map(&fd, layout).unwrap();
        count(&page, Counter::Refused(Refusal::Forged), 2);
        count(&page, Counter::BytesIn, 5);
        record(&page, &layout, Phase::Seal(1), 300);
        record(&page, &layout, Phase::Seal(1), 100);
        let made = Trace {
            invocation: u64::MAX - 5,
            inbound: 1,
            attempt: 2,
            outcome: Outcome::Retried,
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

    #[test]
    fn buckets_are_powers_of_two_from_256_ns() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(255), 0);
        assert_eq!(bucket_of(256), 1);
        assert_eq!(bucket_of(511), 1);
        assert_eq!(bucket_of(512), 2);
        assert_eq!(bucket_of(u64::MAX), HISTOGRAM_BUCKETS - 1);
        assert_eq!(bucket_bound_ns(0), Some(256));
        assert_eq!(bucket_bound_ns(HISTOGRAM_BUCKETS - 1), None);
    }
}
