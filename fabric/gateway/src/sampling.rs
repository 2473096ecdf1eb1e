//! Whether the trace of a request is recorded, and what is told of it then.

use hacher_libos_net::attach::Tracing;
use hacher_libos_net::name::Name;
use hacher_libos_net::span_id::SpanId;
use std::cell::Cell;

/// Which requests are traced.
#[derive(Debug, Default)]
pub(super) struct Sampling(Cell<Option<Tracing>>);

impl Sampling {
    /// Somebody collects traces.
    pub(super) fn begin(&self, tracing: Tracing) {
        self.0.set(Some(tracing));
    }

    /// Whether anybody does.
    pub(super) fn is_on(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether a trace is recorded. `asked`: what the client says of it, if it is the client's. Where nobody
    /// collects, it is as the client says, for those who come after this service.
    ///
    /// `is_sealed`: it said so where the gateway alone can read it. OpenTelemetry's `always_on` overrules a
    /// client, which W3C leaves to a service. But a client that seals a request hides it, so its "not
    /// recorded" holds under any sampler.
    pub(super) fn is_recorded(&self, trace: u128, asked: Option<bool>, is_sealed: bool) -> bool {
        let Some(tracing) = self.0.get() else {
            return asked.unwrap_or(false);
        };
        if is_sealed && asked == Some(false) {
            return false;
        }
        let of_ratio = low_half(trace) >> 1 < tracing.threshold;
        match asked {
            Some(recorded) if tracing.parent_based == 1 => recorded,
            _ => of_ratio,
        }
    }
}

/// What is told of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traced {
    /// The chain that it is for.
    pub(super) chain: Name,
    pub(super) trace: u128,
    /// The request's own span.
    pub(super) span: SpanId,
    /// The client's.
    pub(super) parent: Option<SpanId>,
    pub(super) is_recorded: bool,
}

impl Traced {
    /// The trace's high half, and its low half.
    pub(super) const fn trace_halves(&self) -> [u64; 2] {
        [low_half(self.trace >> 64), low_half(self.trace)]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is asked for"
)]
const fn low_half(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(parent_based: u32, threshold: u64) -> Sampling {
        let sampling = Sampling::default();
        sampling.begin(Tracing {
            parent_based,
            reserved: 0,
            threshold,
        });
        sampling
    }

    #[test]
    fn a_client_decides_for_its_own_trace_if_it_may_and_the_ratio_for_others() {
        let nobody = Sampling::default();
        assert!(!nobody.is_on() && !nobody.is_recorded(1, None, false));
        assert!(
            nobody.is_recorded(1, Some(true), false),
            "for those who come after"
        );
        let (all, none) = (sampling(1, 1 << 63), sampling(1, 0));
        for trace in [1, u128::MAX, 1 << 64] {
            assert!(all.is_recorded(trace, None, false) && !all.is_recorded(trace, Some(false), false));
            assert!(!none.is_recorded(trace, None, false) && none.is_recorded(trace, Some(true), false));
            assert!(
                !sampling(0, 0).is_recorded(trace, Some(true), false),
                "whatever it says"
            );
            assert!(sampling(0, 1 << 63).is_recorded(trace, Some(false), false));
        }
        let half = sampling(1, 1 << 62);
        assert!(half.is_recorded(u128::from(u64::MAX / 2), None, false));
        assert!(!half.is_recorded(u128::from(u64::MAX / 2 + 1), None, false));
    }

    #[test]
    fn a_sealed_request_that_is_not_to_be_recorded_is_not_whatever_the_sampler_says() {
        for parent_based in [0, 1] {
            let all = sampling(parent_based, 1 << 63);
            assert!(!all.is_recorded(1, Some(false), true));
            assert!(all.is_recorded(1, Some(true), true) && all.is_recorded(1, None, true));
        }
        assert!(!sampling(0, 0).is_recorded(1, Some(true), true), "always off");
    }
}
