//! What an instance tells of requests that are traced, in a ring of its page: each run, and how each part of
//! a join arrived. It writes an entry only if the request's `traceparent` says *sampled*, so other requests
//! cost nothing here. No payload, and of the trace neither its id nor whose it is: those who map the page to
//! send to this instance learn nothing of the requests of others.

use super::telemetry::{Trace, append};
use crate::record::span_id::SpanId;
use crate::region::layout::{PageLayout, SPANS, TRACE_WORDS, page_word};
use crate::region::memory::OwnRegion;
use alloc::vec::Vec;

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// A run on one record, which says also how that record arrived.
    Run,
    /// A run on the records of a join. How they arrived has been told one by one.
    JoinedRun,
    /// The arrival of one record of a join.
    Arrival,
}

impl SpanKind {
    const ALL: [Self; 3] = [Self::Run, Self::JoinedRun, Self::Arrival];

    fn code(self) -> u64 {
        match self {
            Self::Run => 0,
            Self::JoinedRun => 1,
            Self::Arrival => 2,
        }
    }
}

/// A run, or an arrival, of a request that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is of.
    pub kind: SpanKind,
    /// The run's id; of an arrival, that of its hop.
    pub id: SpanId,
    /// The span that sent the record; of a join, the first one.
    pub parent: SpanId,
    /// When the attempt began, ns of `CLOCK_MONOTONIC`; of an arrival, when the record was opened.
    pub started_ns: u64,
    /// When the attempt was over and what it made was published.
    pub ended_ns: u64,
    /// Where the time went, and the sizes. `inbound` is the ring of the record that `parent` sent, and
    /// `seen_ns` when that was first looked at, whichever attempt this is. Of an arrival the outcome means
    /// nothing.
    pub run: Trace,
}

/// Spans that were read of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpansRead {
    /// In their order.
    pub spans: Vec<Span>,
    /// The number from which on there are others.
    pub next: u64,
    /// How many were overwritten before they were read.
    pub missed: u64,
}

/// The kind stands above the outcome and its cause.
const KIND_SHIFT: u32 = 32;
const OUTCOME_WORD: usize = 2;

impl Span {
    /// Those of the run, with the kind above its outcome, and at their end what a run alone does not have.
    fn words(&self) -> [u64; TRACE_WORDS - 1] {
        let mut words = self.run.words();
        let [_, _, outcome, .., id, parent, started_ns, ended_ns] = &mut words;
        *outcome |= self.kind.code() << KIND_SHIFT;
        *id = self.id.as_u64();
        *parent = self.parent.as_u64();
        *started_ns = self.started_ns;
        *ended_ns = self.ended_ns;
        words
    }

    /// `None` if no instance that keeps to its part has written them.
    pub(super) fn from_words(words: &[u64; TRACE_WORDS - 1]) -> Option<Self> {
        let [.., id, parent, started_ns, ended_ns] = *words;
        let mut of_run = *words;
        let outcome = of_run.get_mut(OUTCOME_WORD)?;
        let kind = usize::try_from(*outcome >> KIND_SHIFT).ok()?;
        *outcome &= (1 << KIND_SHIFT) - 1;
        Some(Self {
            kind: *SpanKind::ALL.get(kind)?,
            id: SpanId::new(id)?,
            parent: SpanId::new(parent)?,
            started_ns,
            ended_ns,
            run: Trace::from_words(&of_run),
        })
    }
}

/// Appends a span, over the oldest one.
pub(crate) fn span(page: &OwnRegion, layout: &PageLayout, span: &Span) {
    append(
        page,
        page_word::SPAN_HEAD,
        |number| span_at(layout, number),
        &span.words(),
    );
}

pub(super) fn span_at(layout: &PageLayout, number: u64) -> usize {
    let index = usize::try_from(number % SPANS as u64).unwrap_or(0);
    layout.spans_at() + index * TRACE_WORDS * 8
}

#[cfg(test)]
mod tests {
    use super::super::reader::PageReader;
    use super::super::telemetry::Outcome;
    use super::*;
    use crate::fault::cause::Cause;
    use crate::region::heap::Heap;
    use crate::region::memory::PeerRegion;
    use crate::sync::Ordering;

    fn told(number: u64) -> Span {
        Span {
            kind: SpanKind::JoinedRun,
            id: SpanId::of_bits(number + 100),
            parent: SpanId::of_bits(7),
            started_ns: 11,
            ended_ns: 12,
            run: Trace {
                invocation: u64::MAX - 5,
                inbound: 1,
                attempt: 2,
                outcome: Outcome::Failed,
                cause: Some((Cause::Signalled, 9)),
                seen_ns: 3,
                queued_ns: 4,
                hand_over_ns: 5,
                open_ns: 6,
                run_ns: 7,
                seal_ns: 8,
                in_bytes: 9,
                out_bytes: 10,
            },
        }
    }

    #[test]
    fn a_reader_gets_each_span_once_and_is_told_how_many_it_missed() {
        let layout = PageLayout::new(2, 2).unwrap();
        let memory = Heap::new(layout.len_bytes());
        let page = OwnRegion::new(Box::new(memory.clone()));
        let reader = PageReader::new(PeerRegion::new(Box::new(memory)), layout);
        let none = reader.spans_since(0);
        assert_eq!((none.spans.len(), none.next, none.missed), (0, 0, 0));
        for number in 0..3 {
            span(&page, &layout, &told(number));
        }
        let read = reader.spans_since(1);
        assert_eq!(
            (read.spans, read.next, read.missed),
            (vec![told(1), told(2)], 3, 0)
        );
        for number in 3..3 + SPANS as u64 + 10 {
            span(&page, &layout, &told(number));
        }
        let read = reader.spans_since(3);
        assert_eq!((read.spans.len(), read.missed), (SPANS, 10));
        assert_eq!(read.spans[0], told(13));
        assert!(reader.traces().is_empty(), "traces are apart");
        // An instance that was taken over may write anything.
        let head = page.word(page_word::SPAN_HEAD).unwrap();
        head.store(1, Ordering::Relaxed);
        let back = reader.spans_since(read.next);
        assert_eq!((back.spans.len(), back.next, back.missed), (0, 1, 0));
        head.store(u64::MAX, Ordering::Relaxed);
        assert!(reader.spans_since(1).spans.is_empty());
        for words in [[0; 15], [u64::MAX; 15]] {
            assert_eq!(Span::from_words(&words), None);
        }
    }
}
