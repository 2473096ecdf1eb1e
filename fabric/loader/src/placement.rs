//! Which core each instance runs on, and whether it looks for work before it sleeps. A wake-up on the same
//! core costs about a microsecond, one on another idle core thirty times that; two cores that both look cost
//! a tenth.
//!
//! Looking keeps a core busy, so only one that has a core to itself may: the gateway and the instances of all
//! served chains are counted. The functions of a line that has more members than there are cores *take turns*
//! over two of them: each hop crosses, and whoever has handed over wakes ahead the next one on its core,
//! which looks until its record comes (`libos-net/path/src/wait/ahead.rs`). `auto` compares the alternatives
//! by the `model` over a range of records.

mod choice;
mod members;
mod model;
mod room;
#[cfg(test)]
mod tests;

pub use choice::Estimate;
pub use room::{Chosen, Front};

use hacher_chain_dsl::Chain;
use hacher_libos_net::waiting::Waiting;
use members::Members;
use model::SPREAD_SPIN_NS;
use room::{Room, has_core_to_itself};

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
