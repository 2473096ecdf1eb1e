//! What pages tell, added up: over the instances of a function, or over the chains of a gateway. Everything
//! in a page is what an instance wrote there, so sums saturate.

use super::super::tables::{Chain, Instance};
use super::register::Distribution;
use hacher_libos_net::telemetry::{Counter, Gauge, Histogram, Phase, bucket_bound_ns};

/// Which buckets of a page's histogram are printed: the first, the last, and how many are one step. All
/// others are part of the next one that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    first: usize,
    last: usize,
    step: usize,
}

/// From 66 µs to 34 s, each twice the one before.
pub(super) const OF_REQUESTS: Buckets = Buckets {
    first: 8,
    last: 27,
    step: 1,
};
/// From 16 µs to 69 s, each four times the one before.
pub(super) const OF_RUNS: Buckets = Buckets {
    first: 6,
    last: 28,
    step: 2,
};

/// A counter over all of `instances`.
pub(super) fn counted(instances: &[&Instance], counter: Counter) -> u64 {
    let counts = instances.iter().map(|instance| instance.page.counter(counter));
    counts.fold(0, u64::saturating_add)
}

/// The figures of one phase over all of `instances`, and over all rings or ports that have it: `phases` gives
/// those of an instance.
pub(super) fn timed(instances: &[&Instance], phases: impl Fn(&Instance) -> Vec<Phase>) -> Histogram {
    let mut sum = Histogram::default();
    for instance in instances {
        for histogram in phases(instance)
            .into_iter()
            .filter_map(|phase| instance.page.histogram(phase))
        {
            sum.add(&histogram);
        }
    }
    sum
}

/// The rings that bring records, as phases.
pub(super) fn rings(instance: &Instance, phase: fn(usize) -> Phase) -> Vec<Phase> {
    let rings = instance.inbound.iter().enumerate();
    let rings = rings.filter(|(_, inbound)| !inbound.fault);
    rings.map(|(ring, _)| phase(ring)).collect()
}

/// A histogram as it is printed. The page changes while it is read: what is printed must agree with itself.
pub(super) fn distribution(histogram: &Histogram, printed: Option<Buckets>) -> Distribution {
    let mut buckets = Vec::new();
    let mut below = 0_u64;
    for (index, count) in histogram.buckets.iter().enumerate() {
        below = below.saturating_add(*count);
        if let Some(Buckets { first, last, step }) = printed
            && (first..=last).contains(&index)
            && (index - first).is_multiple_of(step)
            && let Some(bound) = bucket_bound_ns(index)
        {
            buckets.push((seconds(bound), below));
        }
    }
    Distribution {
        buckets,
        count: below,
        sum: seconds(histogram.sum_ns),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has nothing but such numbers"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A figure of a gateway's process, which stands in the page of one of its chains.
pub(super) fn of_process(chains: &[&Chain], gauge: Gauge) -> u64 {
    of_gateways(chains, |instance| instance.page.gauge(gauge))
}

/// A figure of a gateway, over its chains.
pub(super) fn of_gateways(chains: &[&Chain], figure: impl Fn(&Instance) -> u64) -> u64 {
    let gateways = chains.iter().filter_map(|chain| chain.gateway());
    gateways.map(figure).fold(0, u64::saturating_add)
}

/// What lies in the queues of a function, and what they hold, in segments: what its producers have published,
/// less what its instances are through with.
pub(super) fn queue(chain: &Chain, function: u32) -> (u64, u64) {
    let of = |function: u32| {
        let instances = chain.instances.iter();
        instances.filter(move |instance| instance.function_index == function)
    };
    // First what is through, so that a record which passes meanwhile counts as one that lies.
    let through = of(function).flat_map(|instance| {
        let rings = instance.inbound.iter().enumerate();
        let rings = rings.filter(|(_, inbound)| !inbound.fault);
        rings.map(|(ring, _)| instance.page.released(ring))
    });
    let through = through.fold(0, u64::wrapping_add);
    let lanes = of(function).count() as u64;
    let (mut sent, mut room) = (0_u64, 0_u64);
    for flow in chain.flows.iter().filter(|flow| flow.consumer == function) {
        for producer in of(flow.producer) {
            sent = sent.wrapping_add(producer.page.sent(flow.port, flow.at));
            room = room.saturating_add(u64::from(producer.ring_capacity) * lanes);
        }
    }
    // Honest positions differ by no more than fits, in their low halves, which alone are common to both ends;
    // anything else is somebody's lie, and bounded.
    let lies = sent.wrapping_sub(through) & u64::from(u32::MAX);
    (
        if lies > u64::from(u32::MAX / 2) {
            0
        } else {
            lies.min(room)
        },
        room,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[(usize, u64)], sum_ns: u64) -> Histogram {
        let mut histogram = Histogram {
            sum_ns,
            ..Histogram::default()
        };
        for (bucket, count) in counts {
            histogram.buckets[*bucket] = *count;
        }
        histogram
    }

    #[test]
    fn buckets_that_are_not_printed_are_part_of_the_next() {
        let counted = histogram(&[(0, 2), (7, 1), (8, 4), (30, 1)], 1_500_000_000);
        let printed = distribution(&counted, Some(OF_RUNS));
        assert_eq!(printed.buckets.len(), 12);
        assert_eq!(printed.buckets[0], (0.000_016_384, 2));
        assert_eq!(printed.buckets[1], (0.000_065_536, 7));
        assert_eq!(printed.buckets[11], (68.719_476_736, 7));
        assert_eq!((printed.count, printed.sum), (8, 1.5));
        assert!(distribution(&counted, None).buckets.is_empty());
        let requests = distribution(&counted, Some(OF_REQUESTS));
        assert_eq!(requests.buckets.len(), 20);
        assert_eq!(requests.buckets[0], (0.000_065_536, 7));
    }

    #[test]
    fn whatever_a_page_holds_adds_up() {
        let mut sum = histogram(&[(0, u64::MAX), (1, u64::MAX)], u64::MAX);
        sum.add(&sum.clone());
        let printed = distribution(&sum, Some(OF_RUNS));
        assert_eq!(printed.count, u64::MAX);
        assert!(printed.buckets.iter().all(|(_, count)| *count == u64::MAX));
    }
}
