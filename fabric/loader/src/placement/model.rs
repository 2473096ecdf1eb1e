//! What one request costs under a seating, by a small model: enough to tell alternatives apart, not to
//! predict a time.
//!
//! A hop costs the wake-up or hand-over to the reader, and the sealing and opening of the record. On one core
//! these come one after the other; on two cores all segments but one are sealed and opened at the same time.
//! A function starts when all its inputs are there and its core is free. The figures are for virtual
//! machines, where being woken on an idle core costs a halt exit and an interrupt between processors; on bare
//! metal they only shift towards more cores.

use std::collections::BTreeMap;

/// How long a spread instance looks for work before it sleeps: about what being woken on another core costs.
pub(super) const SPREAD_SPIN_NS: u64 = 40_000;
/// Being woken by a neighbour on the same core.
const WAKE_HERE_NS: u64 = 2_000;
/// The same on a core that many share: each finds its caches taken by the others.
const WAKE_IN_CROWD_NS: u64 = 4_000;
/// So many share a core with others.
const CROWD: usize = 4;
/// From when an instance has handed over until the next one on its core, which it has woken ahead, looks for
/// work.
const TURN_NS: u64 = 5_000;
/// Being woken on another core.
const WAKE_AWAY_NS: u64 = 35_000;
/// Being woken on another core that is kept from idling by a chain whose functions take turns.
const WAKE_AWAKE_NS: u64 = 10_000;
/// A hand-over to an instance that is looking for work on another core.
const HAND_OVER_NS: u64 = 150;
/// Sealing or opening a segment, besides its bytes.
const SEGMENT_NS: u64 = 100;
/// Bytes that one core seals or opens in a nanosecond.
const BYTES_PER_NS: u64 = 15;
/// Bytes of a segment.
const SEGMENT_BYTES: u64 = hacher_libos_net::layout::SEGMENT_BYTES as u64;

/// What a chain is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Bytes of each record.
    pub(super) record_bytes: u64,
    /// How long each function works on one.
    pub(super) handler_ns: u64,
}

impl Load {
    /// Sealing a record, or opening it.
    fn cipher_ns(self) -> u64 {
        self.segments() * SEGMENT_NS + self.record_bytes / BYTES_PER_NS
    }

    fn segments(self) -> u64 {
        self.record_bytes.div_ceil(SEGMENT_BYTES).max(1)
    }

    /// How long one that was woken ahead waits for the function before it.
    fn turn_ns(self) -> u64 {
        self.handler_ns + 2 * self.cipher_ns()
    }

    /// Sealing and opening on two cores.
    fn overlapped_ns(self) -> u64 {
        self.cipher_ns() + self.cipher_ns() / self.segments()
    }
}

/// Who takes from whom. The gateway is 0; the functions follow, each after all that it takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph {
    /// What each function takes from.
    pub(super) inputs: Vec<Vec<usize>>,
    /// What the answer comes from.
    pub(super) egress: Vec<usize>,
}

/// Where each of them sits, the gateway first.
#[derive(Debug, Clone)]
pub(super) struct Plan<'a> {
    /// Its core; `None` leaves it to the scheduler.
    pub(super) cores: &'a [Option<u32>],
    /// Whether it looks for work before it sleeps.
    pub(super) looks: &'a [bool],
    /// Whether they take turns over two cores, and wake ahead who needs their core next.
    pub(super) take_turns: bool,
    /// Cores of the machine.
    pub(super) cores_total: usize,
}

impl Plan<'_> {
    fn core_of(&self, at: usize) -> Option<u32> {
        self.cores.get(at).copied().flatten()
    }

    /// Being woken by a neighbour on `core`.
    fn wake_here_ns(&self, core: u32) -> u64 {
        let sharing = self.cores.iter().filter(|other| **other == Some(core)).count();
        if sharing < CROWD {
            WAKE_HERE_NS
        } else {
            WAKE_IN_CROWD_NS
        }
    }
}

/// The time from the gateway's sealing of a request to its opening of the answer, in nanoseconds.
pub(super) fn request_ns(graph: &Graph, plan: &Plan<'_>, load: Load) -> u64 {
    let mut cores = Cores::new(plan.cores_total);
    let mut done = vec![0];
    for (at, inputs) in graph.inputs.iter().enumerate() {
        let ready = arrival_ns(graph, plan, load, &done, inputs, at + 1);
        let core = plan.core_of(at + 1);
        done.push(cores.work(core, ready, load.handler_ns));
        if let (true, Some(core)) = (plan.take_turns, core) {
            cores.occupy(core, TURN_NS);
        }
    }
    arrival_ns(graph, plan, load, &done, &graph.egress, 0)
}

/// When all of `inputs` have arrived at `reader`.
fn arrival_ns(
    graph: &Graph,
    plan: &Plan<'_>,
    load: Load,
    done: &[u64],
    inputs: &[usize],
    reader: usize,
) -> u64 {
    let arrivals = inputs.iter().map(|&from| {
        let near = plan
            .core_of(from)
            .filter(|core| plan.core_of(reader) == Some(*core));
        let way = if let Some(core) = near {
            plan.wake_here_ns(core) + 2 * load.cipher_ns()
        } else if finds_it_looking(graph, plan, load, reader) {
            HAND_OVER_NS + load.overlapped_ns()
        } else if plan.take_turns && load.turn_ns() <= SPREAD_SPIN_NS {
            WAKE_AWAKE_NS + load.overlapped_ns()
        } else {
            WAKE_AWAY_NS + load.overlapped_ns()
        };
        done.get(from).copied().unwrap_or(0) + way
    });
    arrivals.max().unwrap_or(0)
}

/// Whether `reader` is still looking when a busy chain gets round to it again: while it waits, the others
/// work. Who was woken ahead waits only for the one before; the first function is woken so for the next
/// request, which is for nothing if that comes from a gateway that sleeps in between.
fn finds_it_looking(graph: &Graph, plan: &Plan<'_>, load: Load, reader: usize) -> bool {
    if plan.take_turns {
        let is_called = reader != 1 || plan.looks.first() == Some(&true);
        return is_called && plan.looks.get(reader) == Some(&true) && load.turn_ns() <= SPREAD_SPIN_NS;
    }
    let functions = graph.inputs.len() as u64;
    let others = if reader == 0 {
        functions
    } else {
        functions.saturating_sub(1)
    };
    let waits_ns = others * load.handler_ns + (functions + 1) * load.cipher_ns();
    plan.looks.get(reader) == Some(&true) && waits_ns <= SPREAD_SPIN_NS
}

/// Until when each core is busy.
struct Cores {
    pinned: BTreeMap<u32, u64>,
    floating: Vec<u64>,
}

impl Cores {
    fn new(total: usize) -> Self {
        Self {
            pinned: BTreeMap::new(),
            floating: vec![0; total.max(1)],
        }
    }

    /// Keeps a core busy for `for_ns` more.
    fn occupy(&mut self, core: u32, for_ns: u64) {
        *self.pinned.entry(core).or_insert(0) += for_ns;
    }

    /// Works for `for_ns` from `ready` on, or from when the core is free; returns the end.
    fn work(&mut self, core: Option<u32>, ready: u64, for_ns: u64) -> u64 {
        let mut none = 0;
        let free = match core {
            Some(core) => self.pinned.entry(core).or_insert(0),
            None => self.floating.iter_mut().min().unwrap_or(&mut none),
        };
        *free = (*free).max(ready) + for_ns;
        *free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Load = Load {
        record_bytes: 64,
        handler_ns: 0,
    };

    fn line(functions: usize) -> Graph {
        Graph {
            inputs: (0..functions).map(|at| vec![at]).collect(),
            egress: vec![functions],
        }
    }

    fn cost(graph: &Graph, cores: &[Option<u32>], looks: bool, load: Load) -> u64 {
        let looks = vec![looks; cores.len()];
        let plan = Plan {
            cores,
            looks: &looks,
            take_turns: false,
            cores_total: 2,
        };
        request_ns(graph, &plan, load)
    }

    #[test]
    fn each_further_function_on_one_core_costs_one_more_hop() {
        let one = cost(&line(1), &[Some(0); 2], false, SMALL);
        let two = cost(&line(2), &[Some(0); 3], false, SMALL);
        assert_eq!(one, 2 * (two - one));
    }

    #[test]
    fn a_hop_across_cores_is_cheap_only_to_one_that_looks() {
        let away = [Some(0), Some(1)];
        let here = cost(&line(1), &[Some(0); 2], false, SMALL);
        assert!(cost(&line(1), &away, true, SMALL) < here);
        assert!(cost(&line(1), &away, false, SMALL) > 10 * here);
    }

    #[test]
    fn nobody_is_taken_to_look_for_as_long_as_a_slow_function_works() {
        let slow = Load {
            record_bytes: 64,
            handler_ns: 2 * SPREAD_SPIN_NS,
        };
        let away = [Some(0), Some(1)];
        let with = cost(&line(1), &away, true, slow);
        let without = cost(&line(1), &away, false, slow);
        // The function waits for the gateway alone, and is found looking; the gateway waits for the function.
        assert_eq!(without - with, WAKE_AWAY_NS - HAND_OVER_NS);
    }

    #[test]
    fn a_large_record_is_sealed_and_opened_at_the_same_time_only_on_two_cores() {
        let large = Load {
            record_bytes: 16 << 20,
            handler_ns: 0,
        };
        let here = cost(&line(1), &[Some(0); 2], false, large);
        let away = cost(&line(1), &[Some(0), Some(1)], false, large);
        assert!(10 * away < 6 * here, "{away} ns to {here} ns");
    }

    #[test]
    fn branches_on_one_core_wait_for_each_other() {
        let fan = Graph {
            inputs: vec![vec![0], vec![0]],
            egress: vec![1, 2],
        };
        let slow = Load {
            record_bytes: 64,
            handler_ns: 1_000_000,
        };
        assert!(cost(&fan, &[Some(0); 3], false, slow) > 2_000_000);
        assert!(cost(&fan, &[None; 3], false, slow) < 1_200_000);
    }
}
