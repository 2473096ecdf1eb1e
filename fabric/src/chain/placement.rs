//! Which core each instance runs on, and whether it looks for work before it sleeps. A wake-up on the same core costs
//! about a microsecond, one on another idle core thirty times that; two cores that both look cost a tenth.

use hacher_chain_dsl::{Chain, Placement, Source};

/// How long a spread instance looks for work before it sleeps: about what being woken on another core costs.
const SPREAD_SPIN_NS: u64 = 40_000;

/// Where one instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The core; `None` leaves it to the scheduler.
    pub cpu: Option<u32>,
    /// How long to look for work before sleeping.
    pub spin_ns: u64,
}

/// Where the instances of a chain run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seating {
    /// What was chosen; never `Auto`.
    pub chosen: Chosen,
    /// Why, in a sentence.
    pub reason: String,
    cpus: Vec<u32>,
    /// Core of a packed chain.
    home: usize,
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

/// Seats the instances of the chain that is the `nth` of those served.
#[must_use]
pub fn seat(chain: &Chain, nth: usize, cpus: Vec<u32>) -> Seating {
    let parallel = has_parallel_work(chain);
    let (chosen, reason) = match chain.placement() {
        Placement::Packed => (Chosen::Packed, "the chain file says so".to_owned()),
        Placement::Spread if cpus.len() > 1 => (Chosen::Spread, "the chain file says so".to_owned()),
        Placement::Spread => (
            Chosen::Packed,
            "the chain file says `spread`, but there is one core; looking for work would only keep it busy"
                .to_owned(),
        ),
        Placement::Auto if cpus.len() == 1 => (Chosen::Packed, "there is one core".to_owned()),
        Placement::Auto if parallel => (
            Chosen::Floating,
            "functions of this chain work at the same time, so the scheduler may use every core".to_owned(),
        ),
        Placement::Auto => (
            Chosen::Packed,
            "one function of this chain works at a time, and waking a neighbour on the same core is cheapest"
                .to_owned(),
        ),
    };
    let home = nth % cpus.len().max(1);
    Seating {
        chosen,
        reason,
        cpus,
        home,
    }
}

/// Whether one record can be in the hands of several instances at once.
fn has_parallel_work(chain: &Chain) -> bool {
    let fans_out = |source: Source| chain.edges_from(source).count() > 1;
    let functions_fan_out = chain.edges().iter().any(|edge| fans_out(edge.from()));
    functions_fan_out || chain.functions().iter().any(|function| function.instances() > 1)
}

impl Seating {
    /// The seat of the `nth` instance of the chain.
    #[must_use]
    pub fn of(&self, nth: usize) -> Seat {
        let cpu = |at: usize| self.cpus.get(at % self.cpus.len().max(1)).copied();
        match self.chosen {
            Chosen::Packed => Seat {
                cpu: cpu(self.home),
                spin_ns: 0,
            },
            Chosen::Spread => Seat {
                cpu: cpu(nth),
                spin_ns: SPREAD_SPIN_NS,
            },
            Chosen::Floating => Seat {
                cpu: None,
                spin_ns: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(flow: &str, placement: &str) -> Chain {
        let functions: String = ["a", "b", "c"]
            .iter()
            .filter(|name| flow.contains(&format!(" {name} ")))
            .map(|name| format!("[function.{name}]\nexec = \"x\"\n"))
            .collect();
        let text = format!(
            "chain = \"t\"\nversion = \"1\"\nplacement = \"{placement}\"\nflow = [\"{flow}\"]\n{functions}"
        );
        hacher_chain_dsl::check(&text, "t.toml").unwrap().into_chain()
    }

    const LINE: &str = "ingress -> a -> b -> egress";
    const FAN: &str = "ingress -> a & b -> c -> egress";

    #[test]
    fn auto_packs_a_line_and_leaves_a_fan_to_the_scheduler() {
        assert_eq!(seat(&chain(LINE, "auto"), 0, vec![0, 1]).chosen, Chosen::Packed);
        assert_eq!(seat(&chain(FAN, "auto"), 0, vec![0, 1]).chosen, Chosen::Floating);
        assert_eq!(seat(&chain(FAN, "auto"), 0, vec![0]).chosen, Chosen::Packed);
    }

    #[test]
    fn nobody_spins_on_a_single_core() {
        let seating = seat(&chain(LINE, "spread"), 0, vec![3]);
        assert_eq!(
            seating.of(1),
            Seat {
                cpu: Some(3),
                spin_ns: 0
            }
        );
    }

    #[test]
    fn spread_alternates_and_packed_chains_take_turns() {
        let spread = seat(&chain(LINE, "spread"), 0, vec![0, 1]);
        assert_eq!(
            (spread.of(0).cpu, spread.of(1).cpu, spread.of(2).cpu),
            (Some(0), Some(1), Some(0))
        );
        let second = seat(&chain(LINE, "packed"), 1, vec![0, 1]);
        assert_eq!((second.of(0).cpu, second.of(5).cpu), (Some(1), Some(1)));
    }
}
