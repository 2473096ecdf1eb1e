//! What an instance counts in its page: what became of runs and records, and at the gateway what became of
//! requests.

use crate::record::refusal::Refusal;
use crate::region::layout::page_word;

/// An enumeration of labels: each value has a place of its own among the counters, and a word as a metric
/// label.
macro_rules! labelled {
    ($(#[doc = $outer:literal])+ $enum:ident { $($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+ }) => {
        $(#[doc = $outer])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $enum {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $enum {
            /// All of them, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for it, as a metric label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

labelled! {
    /// How a request to a chain ended. Each has one outcome; what the gateway refuses is a request, too.
    RequestOutcome {
        /// With a status of success.
        Success = "2xx",
        /// With a status that redirects the client, or says that what it has is current.
        Redirected = "3xx",
        /// With a status that blames the client.
        ClientError = "4xx",
        /// With a status that blames the server.
        ServerError = "5xx",
        /// The client went away before it was answered.
        Disconnected = "disconnected",
    }
}

labelled! {
    /// Why the gateway refused a request to a chain: no function saw it.
    RequestRefusal {
        /// As many requests are in flight as the chain takes.
        InFlight = "in_flight",
        /// The gateway has no memory for it.
        Memory = "memory",
        /// All places for connections are taken, and it came over a spare one.
        Connections = "connections",
        /// There was no room in the chain's queues before the deadline.
        Backlog = "backlog",
        /// The body is larger than the chain takes.
        BodyTooLarge = "body_too_large",
        /// The body came too slowly.
        BodyTooSlow = "body_too_slow",
        /// The body did not come whole.
        BodyBrokeOff = "body_broke_off",
        /// A header is malformed, or there is too much in them.
        Headers = "headers",
        /// The keys of the gateway's start are used up.
        KeysExhausted = "keys_exhausted",
        /// Not all functions of the chain have served yet.
        NotReady = "not_ready",
        /// The service stops.
        Draining = "draining",
        /// A sealed request is not sealed as it has to be, or not all of it came.
        SealedMalformed = "sealed_malformed",
        /// A sealed request is sealed to another key or for another chain, or was altered.
        SealedKey = "sealed_key",
        /// A sealed request came before.
        SealedReplayed = "sealed_replayed",
        /// A sealed request was made too long ago, or by another clock.
        SealedTime = "sealed_time",
        /// More sealed requests came than can be told apart.
        SealedFull = "sealed_full",
    }
}

labelled! {
    /// Why the gateway answered a request with an error after it had handed it to its chain.
    RequestFailure {
        /// The deadline passed.
        Deadline = "deadline",
        /// A function gave up.
        Function = "function",
        /// The reply is larger than the chain allows.
        ReplyTooLarge = "reply_too_large",
        /// The gateway had no memory for the reply.
        ReplyMemory = "reply_memory",
        /// It was not done when the service stopped.
        Cut = "cut",
        /// The reply had begun, and its function did not finish it.
        BrokenOff = "broken_off",
    }
}

labelled! {
    /// Why the gateway refused a request that is for no chain.
    Reject {
        /// It is no well-formed request of HTTP, or its target is none.
        Malformed = "malformed",
        /// There is no such resource.
        NotFound = "not_found",
        /// The resource does not have this method.
        Method = "method",
    }
}

labelled! {
    /// What became of a question for evidence.
    EvidenceOutcome {
        /// It was answered with evidence.
        Answered = "answered",
        /// The client, or all of them, asked for too much.
        TooMany = "too_many",
        /// The platform did not answer in time.
        Late = "late",
        /// The gateway had no memory for the answer.
        Memory = "memory",
        /// The monitor has none.
        Refused = "refused",
    }
}

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counter {
    /// Runs that ended well.
    Succeeded,
    /// Runs that failed and will be tried again.
    Retried,
    /// Records given up after the last attempt.
    Failed,
    /// Records dropped because their deadline had passed.
    Expired,
    /// Records dropped because nobody waits for them.
    Cancelled,
    /// Records dropped because their producer gave up on them.
    Abandoned,
    /// Records published.
    Published,
    /// Times that the producer had to wait for room.
    Waited,
    /// Bytes of bodies taken in.
    BytesIn,
    /// Bytes of bodies put out.
    BytesOut,
    /// Times that the instance went to sleep.
    Slept,
    /// Gateway: TLS handshakes that failed.
    HandshakesFailed,
    /// Gateway: requests to the chain, by how they ended.
    Requests(RequestOutcome),
    /// Gateway: requests to the chain that were refused.
    RequestsRefused(RequestRefusal),
    /// Gateway: requests that failed in the chain.
    RequestsFailed(RequestFailure),
    /// Gateway: requests to no chain that were refused.
    Rejected(Reject),
    /// Gateway: questions for evidence.
    Evidence(EvidenceOutcome),
    /// Segments refused, by reason.
    Refused(Refusal),
}

/// Counters without a reason or an outcome.
const PLAIN_COUNTERS: usize = 12;
/// Where the counters with one begin.
const OUTCOMES_AT: usize = PLAIN_COUNTERS;
const REFUSALS_AT: usize = OUTCOMES_AT + RequestOutcome::ALL.len();
const FAILURES_AT: usize = REFUSALS_AT + RequestRefusal::ALL.len();
const REJECTS_AT: usize = FAILURES_AT + RequestFailure::ALL.len();
const EVIDENCE_AT: usize = REJECTS_AT + Reject::ALL.len();
const SEGMENTS_AT: usize = EVIDENCE_AT + EvidenceOutcome::ALL.len();

const _: () = assert!(SEGMENTS_AT + Refusal::ALL.len() <= page_word::COUNTER_WORDS);

impl Counter {
    /// What every instance counts, with a name for each in reports.
    pub const PLAIN: [(Self, &'static str); 11] = [
        (Self::Succeeded, "runs_succeeded"),
        (Self::Retried, "runs_retried"),
        (Self::Failed, "records_failed"),
        (Self::Expired, "records_expired"),
        (Self::Cancelled, "records_cancelled"),
        (Self::Abandoned, "records_abandoned"),
        (Self::Published, "records_published"),
        (Self::Waited, "waits_for_room"),
        (Self::BytesIn, "received_bytes"),
        (Self::BytesOut, "sent_bytes"),
        (Self::Slept, "sleeps"),
    ];

    /// Which of all counters it is. Written out, so that a counter's place is known when the program is
    /// built.
    const fn index(self) -> usize {
        match self {
            Self::Succeeded => 0,
            Self::Retried => 1,
            Self::Failed => 2,
            Self::Expired => 3,
            Self::Cancelled => 4,
            Self::Abandoned => 5,
            Self::Published => 6,
            Self::Waited => 7,
            Self::BytesIn => 8,
            Self::BytesOut => 9,
            Self::Slept => 10,
            Self::HandshakesFailed => 11,
            Self::Requests(outcome) => OUTCOMES_AT + outcome.index(),
            Self::RequestsRefused(reason) => REFUSALS_AT + reason.index(),
            Self::RequestsFailed(reason) => FAILURES_AT + reason.index(),
            Self::Rejected(reason) => REJECTS_AT + reason.index(),
            Self::Evidence(outcome) => EVIDENCE_AT + outcome.index(),
            Self::Refused(refusal) => SEGMENTS_AT + refusal.index(),
        }
    }

    /// Where it lies in the page.
    pub(crate) const fn word(self) -> usize {
        page_word::COUNTERS + self.index() * 8
    }
}

/// A figure that goes up and down, which the gateway tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gauge {
    /// Requests to the chain that wait for room in its queues.
    Waiting,
    /// Bytes of its memory that requests and replies of the chain hold.
    BufferedBytes,
    /// Connections, of the whole process.
    Connections,
    /// Places for connections on which chains are answered.
    ConnectionsMax,
    /// Bytes of its memory that connections hold.
    ConnectionBytes,
    /// Bytes that connections, requests and replies may hold, of all chains.
    BudgetBytes,
    /// When the first of its certificates expires, in seconds since 1970; 0 if it has none.
    CertificateExpires,
    /// When the first of the authorities for clients' certificates expires, likewise.
    ClientCaExpires,
}

impl Gauge {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::BufferedBytes,
        Self::Connections,
        Self::ConnectionsMax,
        Self::ConnectionBytes,
        Self::BudgetBytes,
        Self::CertificateExpires,
        Self::ClientCaExpires,
    ];

    /// Where it lies in the page.
    pub(crate) const fn word(self) -> usize {
        page_word::GAUGES + self as usize * 8
    }
}

const _: () = assert!(Gauge::ALL.len() <= page_word::GAUGE_WORDS);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn with_reasons() -> impl Iterator<Item = Counter> {
        let outcomes = RequestOutcome::ALL.iter().copied().map(Counter::Requests);
        let refusals = RequestRefusal::ALL.iter().copied().map(Counter::RequestsRefused);
        let failures = RequestFailure::ALL.iter().copied().map(Counter::RequestsFailed);
        let rejects = Reject::ALL.iter().copied().map(Counter::Rejected);
        let evidence = EvidenceOutcome::ALL.iter().copied().map(Counter::Evidence);
        let segments = Refusal::ALL.into_iter().map(Counter::Refused);
        let of_requests = outcomes.chain(refusals).chain(failures);
        of_requests.chain(rejects).chain(evidence).chain(segments)
    }

    #[test]
    fn each_counter_and_each_gauge_has_a_place_of_its_own() {
        let plain = Counter::PLAIN.into_iter().map(|(counter, _)| counter);
        let counters = plain.chain([Counter::HandshakesFailed]).chain(with_reasons());
        let places: Vec<usize> = counters.map(Counter::index).collect();
        assert_eq!(places, (0..places.len()).collect::<Vec<_>>());
        let gauges: BTreeSet<_> = Gauge::ALL.into_iter().map(Gauge::word).collect();
        assert_eq!(gauges.len(), Gauge::ALL.len());
        let after_counters = page_word::COUNTERS + page_word::COUNTER_WORDS * 8;
        let room = after_counters..page_word::TRACE_HEAD;
        assert!(gauges.iter().all(|at| room.contains(at)));
    }
}
