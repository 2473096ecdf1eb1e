//! Which core each instance runs on, and whether it looks for work before it sleeps. A wake-up on the same
//! core costs about a microsecond, one on another idle core thirty times that; two cores that both look cost
//! a tenth.
//!
//! Looking keeps a core busy, so only one that has a core to itself may: the gateway and the instances of all
//! served chains are counted. The functions of a line that has more members than there are cores *take turns*
//! over two of them: each hop crosses, and whoever has handed over wakes ahead the next one on its core,
//! which looks until its record comes (`libos-net/src/wait/ahead.rs`). `auto` compares the alternatives by
//! the `model` over a range of records.

mod choice;
mod model;
#[cfg(test)]
mod tests;

pub(crate) use choice::microseconds;

use hacher_chain_dsl::{Chain, FunctionId, Source, Target};
use hacher_libos_net::waiting::Waiting;
use model::Graph;
use std::collections::BTreeMap;

/// How long a spread instance looks for work before it sleeps: about what being woken on another core costs.
const SPREAD_SPIN_NS: u64 = 40_000;

/// Where one instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The core; `None` leaves it to the scheduler.
    pub cpu: Option<u32>,
    /// What it does when there is no work.
    pub waiting: Waiting,
    /// How long to look for work before sleeping; where functions take turns, once woken ahead.
    pub spin_ns: u64,
}

/// Where the instances of a chain run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seating {
    /// What was chosen.
    pub chosen: Chosen,
    /// Why, in a sentence.
    pub reason: String,
    /// What the alternatives are estimated to cost.
    pub estimates: Vec<Estimate>,
    /// Whether functions take turns over two cores.
    pub take_turns: bool,
    /// The gateway's.
    pub gateway: Seat,
    /// The functions' in the order of the file, each with its instances.
    seats: Vec<Seat>,
}

/// What a request is estimated to cost in a busy chain of functions that hardly work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Where.
    pub chosen: Chosen,
    /// With records of this many bytes.
    pub record_bytes: u64,
    /// From the gateway and back to it, in nanoseconds.
    pub request_ns: u64,
}

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// All on one core.
    Packed,
    /// On different cores.
    Spread,
    /// Wherever the scheduler likes.
    Floating,
}

impl Chosen {
    /// The choice in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Spread => "spread",
            Self::Floating => "floating",
        }
    }
}

/// Who is in the gateway's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The gateway: it also waits for connections, so it sleeps in an event loop and never looks.
    Http,
    /// A driver that waits for records alone, and looks if it may.
    Driver,
}

/// The cores that this process may use.
#[must_use]
pub fn usable_cpus() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return vec![0];
    };
    let cpus: Vec<u32> = (0..u32::try_from(rustix::thread::CpuSet::MAX_CPU).unwrap_or(1024))
        .filter(|cpu| usize::try_from(*cpu).is_ok_and(|cpu| set.is_set(cpu)))
        .collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Seats a chain that is served alone, behind the gateway.
#[must_use]
pub fn seat(chain: &Chain, cpus: &[u32]) -> Seating {
    seat_one(chain, 0, 1, cpus, Front::Http)
}

/// Seats chains that are served together: each of them, and their gateways, which float.
#[must_use]
pub fn seat_all(chains: &[&Chain], cpus: &[u32], front: Front) -> Vec<Seating> {
    let mut seatings: Vec<Seating> = chains
        .iter()
        .enumerate()
        .map(|(nth, chain)| seat_one(chain, nth, chains.len(), cpus, front))
        .collect();
    if seatings.len() > 1 {
        // What each may do by itself may be too much for all of them.
        let own = chains
            .iter()
            .filter(|chain| chain.ingress().listen().is_some())
            .count();
        let gateways = own + usize::from(own < chains.len());
        let all: Vec<Option<u32>> = core::iter::repeat_n(None, gateways)
            .chain(
                seatings
                    .iter()
                    .flat_map(|seating| seating.seats.iter().map(|seat| seat.cpu)),
            )
            .collect();
        for seat in seatings.iter_mut().flat_map(|seating| &mut seating.seats) {
            if !has_core_to_itself(seat.cpu, &all, cpus.len()) {
                seat.waiting = Waiting::Sleep;
                seat.spin_ns = 0;
            }
        }
    }
    seatings
}

fn seat_one(chain: &Chain, nth: usize, chains: usize, cpus: &[u32], front: Front) -> Seating {
    let members = Members::of(chain);
    let room = Room {
        cpus,
        nth,
        is_alone: chains == 1,
        front,
    };
    let (chosen, reason) = choice::choose(chain, &members, &room);
    let placed = room.place(chosen, &members);
    let looks = room.looks(chosen, &members, &placed);
    let seats = placed.iter().zip(looks).map(|(cpu, looks)| {
        let on_core = placed.iter().filter(|other| *other == cpu).count();
        let waiting = match (looks, cpu.is_some() && on_core > 1) {
            (false, _) => Waiting::Sleep,
            (true, false) => Waiting::Look,
            (true, true) => Waiting::TakeTurns,
        };
        Seat {
            cpu: *cpu,
            waiting,
            spin_ns: if looks { SPREAD_SPIN_NS } else { 0 },
        }
    });
    let mut seats: Vec<Seat> = seats.collect();
    let gateway = seats.remove(0);
    Seating {
        chosen,
        reason,
        estimates: choice::estimates(chain, &members, &room),
        take_turns: room.take_turns(chosen, &members),
        gateway,
        seats: members.in_file_order(chain, &seats),
    }
}

impl Seating {
    /// The seat of the `nth` instance of the chain, the functions in the order of the file.
    #[must_use]
    pub fn of(&self, nth: usize) -> Seat {
        self.seats.get(nth).copied().unwrap_or(Seat {
            cpu: None,
            waiting: Waiting::Sleep,
            spin_ns: 0,
        })
    }
}

/// The members of a chain in the order of its flow, and who takes from whom.
struct Members {
    /// Each function with its instances.
    functions: Vec<(FunctionId, u32)>,
    graph: Graph,
}

impl Members {
    fn of(chain: &Chain) -> Self {
        let order = chain.order();
        let place: BTreeMap<FunctionId, usize> =
            order.iter().enumerate().map(|(at, id)| (*id, at + 1)).collect();
        let inputs_of = |target| {
            let from = |source| match source {
                Source::Function(id, _) => place.get(&id).copied().unwrap_or(0),
                Source::Ingress => 0,
            };
            chain
                .edges_into(target)
                .map(|(_, edge)| from(edge.from()))
                .collect()
        };
        let instances = |id: FunctionId| {
            chain
                .function(id)
                .map_or(1, hacher_chain_dsl::Function::instances)
        };
        Self {
            functions: order.iter().map(|id| (*id, instances(*id))).collect(),
            graph: Graph {
                inputs: order.iter().map(|id| inputs_of(Target::Function(*id))).collect(),
                egress: inputs_of(Target::Egress),
            },
        }
    }

    /// Whether one function works at a time: no output has two takers, and no function several instances.
    fn is_line(&self) -> bool {
        let mut sources: Vec<usize> = self.graph.inputs.iter().flatten().copied().collect();
        let edges = sources.len();
        sources.sort_unstable();
        sources.dedup();
        sources.len() == edges && self.functions.iter().all(|(_, instances)| *instances == 1)
    }

    /// Instances of all functions.
    fn instances(&self) -> usize {
        self.functions.iter().map(|(_, count)| *count as usize).sum()
    }

    /// Of a list with the gateway and each instance, the gateway's entry and that of each function's first
    /// instance.
    fn firsts<T: Copy>(&self, of_all: &[T]) -> Vec<T> {
        let mut at = 1;
        let mut firsts: Vec<T> = of_all.first().copied().into_iter().collect();
        for (_, count) in &self.functions {
            firsts.extend(of_all.get(at).copied());
            at += *count as usize;
        }
        firsts
    }

    /// Seats in the order of the flow, put into that of the file.
    fn in_file_order(&self, chain: &Chain, seats: &[Seat]) -> Vec<Seat> {
        let mut rest = seats.iter().copied();
        let of: BTreeMap<FunctionId, Vec<Seat>> = self
            .functions
            .iter()
            .map(|(id, count)| (*id, rest.by_ref().take(*count as usize).collect()))
            .collect();
        chain
            .functions_with_ids()
            .filter_map(|(id, _)| of.get(&id))
            .flatten()
            .copied()
            .collect()
    }
}

/// What there is to sit on.
struct Room<'a> {
    cpus: &'a [u32],
    /// Which of the served chains this is.
    nth: usize,
    is_alone: bool,
    front: Front,
}

impl Room<'_> {
    /// The cores of the gateway and of each instance in the order of the flow. Neighbours on the way of a
    /// record are neighbours here, so taking turns over the cores makes every hop but perhaps the last
    /// cross cores.
    fn place(&self, chosen: Chosen, members: &Members) -> Vec<Option<u32>> {
        let cpu = |at: usize| self.cpus.get(at % self.cpus.len().max(1)).copied();
        let take_turns = self.take_turns(chosen, members);
        (0..=members.instances())
            .map(|at| match chosen {
                // It serves all chains, so it sits with one only if that is the only one.
                _ if at == 0 && !self.is_alone => None,
                Chosen::Packed => cpu(self.nth),
                Chosen::Spread if take_turns => cpu(at % 2),
                Chosen::Spread => cpu(self.nth + at),
                Chosen::Floating => None,
            })
            .collect()
    }

    /// Whether functions take turns over two cores, and wake ahead whoever needs their core next: a single
    /// spread chain in which one function works at a time, with more members than cores.
    fn take_turns(&self, chosen: Chosen, members: &Members) -> bool {
        chosen == Chosen::Spread
            && self.is_alone
            && self.cpus.len() > 1
            && members.instances() >= self.cpus.len()
            && members.is_line()
    }

    /// Which of them look for work before they sleep.
    fn looks(&self, chosen: Chosen, members: &Members, placed: &[Option<u32>]) -> Vec<bool> {
        let take_turns = self.take_turns(chosen, members);
        let looks = placed.iter().enumerate().map(|(at, cpu)| {
            let can = at > 0 || self.front == Front::Driver;
            let may = take_turns || has_core_to_itself(*cpu, placed, self.cpus.len());
            can && chosen == Chosen::Spread && may
        });
        looks.collect()
    }
}

/// Whether of all that are `placed` only one has this core, and those that float find another.
fn has_core_to_itself(cpu: Option<u32>, placed: &[Option<u32>], cores: usize) -> bool {
    let Some(cpu) = cpu else { return false };
    let mut taken: Vec<u32> = placed.iter().flatten().copied().collect();
    let floating = placed.len() - taken.len();
    let sharing = taken.iter().filter(|other| **other == cpu).count();
    taken.sort_unstable();
    taken.dedup();
    sharing == 1 && taken.len() + floating <= cores
}
