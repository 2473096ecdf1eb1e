//! Which placement a chain gets: what its file says, or for `auto` the one that the model finds best most
//! often.
//!
//! How large records are and how long functions work is not known beforehand, so `auto` looks at several of
//! both. For each it asks how much worse than the best an alternative would be, and takes the one that is
//! least worse over all, by geometric mean. `max_body` is the largest record looked at: it is a bound, and
//! most records are smaller, so a large one alone does not move a chain to several cores.

use super::members::Members;
use super::model::{Load, Plan, request_ns};
use super::room::{Chosen, Room};
use hacher_chain_dsl::{ByteSize, Chain, Placement};

/// Records that most chains carry.
const RECORDS_BYTES: [u64; 3] = [64, 4 * 1024, 64 * 1024];
/// How long a function of a chain without branches works on a record: hardly, or for a while.
const HANDLERS_NS: [u64; 2] = [0, 100_000];
/// And one with branches or several instances: nobody writes those for work that is not worth it.
const PARALLEL_HANDLERS_NS: [u64; 1] = [1_000_000];
/// An alternative that ties more down must be better by this factor.
const MARGIN: f64 = 1.1;
/// Most cores that `auto` keeps busy with looking for work; more only where a chain file asks for it.
const LOOKING_MAX: usize = 4;

/// What a request is estimated to cost in a busy chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Where.
    pub chosen: Chosen,
    /// With records of this many bytes.
    pub record_bytes: u64,
    /// With functions that work so long on each.
    pub handler_ns: u64,
    /// From the gateway and back to it, in nanoseconds.
    pub request_ns: u64,
}

/// The placement, and why.
pub(super) fn choose(chain: &Chain, members: &Members, room: &Room<'_>) -> (Chosen, String) {
    let cores = room.cpus.len();
    match chain.placement() {
        Placement::Packed => (Chosen::Packed, "the chain file says so".to_owned()),
        Placement::Spread if cores > 1 => (Chosen::Spread, "the chain file says so".to_owned()),
        Placement::Spread => (
            Chosen::Packed,
            "the chain file says `spread`, but there is one core; looking for work would only keep it busy"
                .to_owned(),
        ),
        Placement::Auto if cores <= 1 => (Chosen::Packed, "there is one core".to_owned()),
        Placement::Auto if members.start_programs => (
            Chosen::Floating,
            "a function starts programs, which stay on its core if it is kept on one".to_owned(),
        ),
        Placement::Auto => best(chain, members, room),
    }
}

/// What each alternative is estimated to cost: with records of 4 KiB, and with the largest.
pub(super) fn estimates(chain: &Chain, members: &Members, room: &Room<'_>) -> Vec<Estimate> {
    let mut alternatives = vec![Chosen::Packed];
    if room.cpus.len() > 1 {
        alternatives.extend([Chosen::Spread, Chosen::Floating]);
    }
    let mut sizes = vec![RECORDS_BYTES[1].min(max_body(chain)), max_body(chain)];
    sizes.dedup();
    // The shortest that the choice looks at.
    let handler_ns = Parallel::of(members).handlers_ns().first().copied().unwrap_or(0);
    let of = |chosen, record_bytes| {
        let load = Load {
            record_bytes,
            handler_ns,
        };
        Estimate {
            chosen,
            record_bytes,
            handler_ns,
            request_ns: cost_ns(chosen, members, room, load),
        }
    };
    alternatives
        .into_iter()
        .flat_map(|chosen| sizes.iter().map(move |&size| of(chosen, size)))
        .collect()
}

fn max_body(chain: &Chain) -> u64 {
    chain.ingress().max_body().bytes()
}

fn best(chain: &Chain, members: &Members, room: &Room<'_>) -> (Chosen, String) {
    let parallel = Parallel::of(members);
    let small = RECORDS_BYTES.into_iter().filter(|size| *size < max_body(chain));
    let sizes: Vec<u64> = small.chain([max_body(chain)]).collect();
    let loads: Vec<Load> = parallel
        .handlers_ns()
        .iter()
        .flat_map(|&handler_ns| {
            sizes.iter().map(move |&record_bytes| Load {
                record_bytes,
                handler_ns,
            })
        })
        .collect();
    let candidates = candidates(members, room, parallel);
    let regrets = regrets(&candidates, members, room, &loads);
    let mut chosen = (Chosen::Floating, f64::INFINITY);
    for (&candidate, &regret) in candidates.iter().zip(&regrets) {
        if regret + MARGIN.ln() < chosen.1 {
            chosen = (candidate, regret);
        }
    }
    (chosen.0, reason(parallel, &candidates, &sizes))
}

/// Whether there is work for several cores at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parallel {
    No,
    Branches,
    /// Packed, the instances of a function would only take turns.
    Instances,
}

impl Parallel {
    fn of(members: &Members) -> Self {
        if members.functions.iter().any(|(_, instances)| *instances > 1) {
            Self::Instances
        } else if members.is_line() {
            Self::No
        } else {
            Self::Branches
        }
    }
}

impl Parallel {
    /// How long its functions are taken to work on a record, the shortest first.
    const fn handlers_ns(self) -> &'static [u64] {
        match self {
            Self::No => &HANDLERS_NS,
            Self::Branches | Self::Instances => &PARALLEL_HANDLERS_NS,
        }
    }
}

/// What there is to choose from; what ties less down comes first.
fn candidates(members: &Members, room: &Room<'_>, parallel: Parallel) -> Vec<Chosen> {
    let mut candidates = Vec::with_capacity(3);
    if parallel != Parallel::Instances {
        candidates.push(Chosen::Packed);
    }
    candidates.push(Chosen::Floating);
    let looks = room.looks(Chosen::Spread, members, &room.place(Chosen::Spread, members));
    let looking = looks.into_iter().filter(|looks| *looks).count();
    if looking <= LOOKING_MAX || room.take_turns(Chosen::Spread, members) {
        candidates.push(Chosen::Spread);
    }
    candidates
}

/// For each candidate by how much it is worse than the best of them: the logarithms, on average over the
/// loads.
#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of a request, and a handful of loads"
)]
fn regrets(candidates: &[Chosen], members: &Members, room: &Room<'_>, loads: &[Load]) -> Vec<f64> {
    let mut regrets = vec![0.0; candidates.len()];
    for load in loads {
        let costs: Vec<f64> = candidates
            .iter()
            .map(|&candidate| cost_ns(candidate, members, room, *load).max(1) as f64)
            .collect();
        let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
        for (regret, cost) in regrets.iter_mut().zip(&costs) {
            *regret += (cost / least).ln() / loads.len() as f64;
        }
    }
    regrets
}

fn cost_ns(chosen: Chosen, members: &Members, room: &Room<'_>, load: Load) -> u64 {
    let placed = room.place(chosen, members);
    let looks = room.looks(chosen, members, &placed);
    let plan = Plan {
        cores: &members.firsts(&placed),
        looks: &members.firsts(&looks),
        take_turns: room.take_turns(chosen, members),
        cores_total: room.cpus.len(),
    };
    request_ns(&members.graph, &plan, load)
}

/// Which alternatives were compared, and over what; the figures are in the estimates.
fn reason(parallel: Parallel, candidates: &[Chosen], sizes_bytes: &[u64]) -> String {
    let candidates: Vec<&str> = candidates.iter().map(|candidate| candidate.as_str()).collect();
    let work = match parallel {
        Parallel::No => "one function works at a time",
        Parallel::Branches => "its branches work at the same time",
        Parallel::Instances => "its instances work at the same time",
    };
    let size = |bytes: Option<&u64>| ByteSize::new(bytes.copied().unwrap_or(0));
    format!(
        "{work}; of {} it is estimated best on average over records of {} to {}",
        candidates.join(", "),
        size(sizes_bytes.first()),
        size(sizes_bytes.last()),
    )
}
