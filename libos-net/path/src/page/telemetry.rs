//! What an instance tells about itself, in its own instance page: counters, histograms and the last runs.
//! Written with plain stores by the one thread that serves, read by the daemon whenever it likes. No payload,
//! no keys.

use super::counter::Counter;
use crate::fault::cause::Cause;
use crate::region::layout::{
    HISTOGRAM_BUCKETS, HISTOGRAM_WORDS, HISTOGRAMS_PER_INBOUND, PageLayout, TRACE_WORDS, TRACES,
    histogram_word, page_word,
};
use crate::region::memory::OwnRegion;
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
    pub(crate) fn at(self, layout: &PageLayout) -> Option<usize> {
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
    /// Given up by others: its client has gone, its time has passed, or the rest of its input never came.
    Abandoned,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Succeeded, Self::Retried, Self::Failed, Self::Abandoned];

    fn code(self) -> u64 {
        match self {
            Self::Succeeded => 0,
            Self::Retried => 1,
            Self::Failed => 2,
            Self::Abandoned => 3,
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
    /// Why it failed, if it did, with the code that the cause has.
    pub cause: Option<(Cause, u32)>,
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
    /// Bytes of bodies, in.
    pub in_bytes: u64,
    /// Bytes of bodies, out.
    pub out_bytes: u64,
}

impl Trace {
    pub(super) fn words(&self) -> [u64; TRACE_WORDS - 1] {
        let mut words = [0; TRACE_WORDS - 1];
        let values = [
            self.invocation,
            u64::from(self.inbound) << 32 | u64::from(self.attempt),
            self.outcome.code() | cause_to_bits(self.cause),
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
    pub(super) fn from_words(words: &[u64; TRACE_WORDS - 1]) -> Self {
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
        let cause = cause_from_bits(outcome);
        let outcome = Outcome::ALL.get(usize::from(outcome as u8)).copied();
        Self {
            invocation,
            inbound: (place >> 32) as u32,
            attempt: place as u32,
            outcome: outcome.unwrap_or(Outcome::Failed),
            cause,
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

/// Where a cause stands above the outcome, in the same word, and where the code of the cause.
const CAUSE_SHIFT: u32 = 8;
const CODE_SHIFT: u32 = 16;

fn cause_to_bits(cause: Option<(Cause, u32)>) -> u64 {
    let Some((cause, code)) = cause else { return 0 };
    // No exit code, signal or limit needs more.
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    (u64::from(cause.code()) + 1) << CAUSE_SHIFT | u64::from(code) << CODE_SHIFT
}

/// `None` also if there is no such cause.
#[expect(clippy::cast_possible_truncation, reason = "takes a word apart")]
fn cause_from_bits(word: u64) -> Option<(Cause, u32)> {
    let number = ((word >> CAUSE_SHIFT) as u8).checked_sub(1)?;
    let cause = Cause::ALL.get(usize::from(number))?;
    Some((*cause, u32::from((word >> CODE_SHIFT) as u16)))
}

const _: () = assert!(Cause::ALL.len() < u8::MAX as usize);

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
    let at = phase.at(layout);
    let Some(words) = at.and_then(|at| page.words(at, HISTOGRAM_WORDS)) else {
        return;
    };
    add(words.get(histogram_word::COUNT), 1);
    add(words.get(histogram_word::SUM), ns);
    add(words.get(histogram_word::BUCKETS + bucket_of(ns)), 1);
}

const _: () = assert!(histogram_word::END <= HISTOGRAM_WORDS);

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
    append(
        page,
        page_word::TRACE_HEAD,
        |number| trace_at(layout, number),
        &trace.words(),
    );
}

/// Appends an entry to the ring whose next number is at `head` and whose entries lie where `entry_at` says.
pub(super) fn append(
    page: &OwnRegion,
    head: usize,
    entry_at: impl Fn(u64) -> usize,
    words: &[u64; TRACE_WORDS - 1],
) {
    let Some(head) = page.word(head) else {
        return;
    };
    let number = head.load(Ordering::Relaxed);
    let Some([stamp, entry @ ..]) = page.words(entry_at(number), TRACE_WORDS) else {
        return;
    };
    // A reader takes an entry only if its stamp is the same, and not 0, before and after it has read the
    // words.
    stamp.store(0, Ordering::Relaxed);
    fence(Ordering::Release);
    for (word, value) in entry.iter().zip(words) {
        word.store(*value, Ordering::Relaxed);
    }
    stamp.store(number.wrapping_add(1), Ordering::Release);
    head.store(number.wrapping_add(1), Ordering::Release);
}

pub(super) fn trace_at(layout: &PageLayout, number: u64) -> usize {
    let index = usize::try_from(number % TRACES as u64).unwrap_or(0);
    layout.traces_at() + index * TRACE_WORDS * 8
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn each_cause_is_read_back_beside_its_outcome_and_no_word_is_read_as_one_that_is_none() {
        let mut trace = Trace::from_words(&[0; TRACE_WORDS - 1]);
        assert_eq!((trace.outcome, trace.cause), (Outcome::Succeeded, None));
        for outcome in [Outcome::Retried, Outcome::Failed] {
            for cause in Cause::ALL {
                (trace.outcome, trace.cause) = (outcome, Some((cause, 255)));
                assert_eq!(Trace::from_words(&trace.words()), trace);
            }
        }
        trace.cause = Some((Cause::Exited, u32::MAX));
        let read = Trace::from_words(&trace.words());
        assert_eq!(
            (read.outcome, read.cause),
            (Outcome::Failed, Some((Cause::Exited, 0xffff)))
        );
        for word in [u64::MAX, (Cause::ALL.len() as u64 + 1) << CAUSE_SHIFT] {
            assert_eq!(cause_from_bits(word), None);
        }
        assert_eq!(
            Trace::from_words(&[u64::MAX; TRACE_WORDS - 1]).outcome,
            Outcome::Failed
        );
    }
}
