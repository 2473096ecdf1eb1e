//! Shares of the processors between chains: by control groups where the service has one of its own to divide,
//! else by scheduling class.

mod classes;

use crate::core::Core;
use crate::ids::ProcessId;
use crate::machine::Machine;
use crate::process::control_group::{ControlGroup, Divided, Undivided};
use classes::Classes;
use hacher_libos_net::clock::Monotonic;

/// How chains share the processors.
#[derive(Debug)]
pub(super) enum Shares {
    /// All chains have the same weight, on all processors and on each.
    Groups(Divided),
    /// Who takes too much goes behind the others.
    Classes(Classes),
}

/// The group of the service, divided before it starts anybody.
pub(super) fn divided() -> Option<Divided> {
    match ControlGroup::delegated().and_then(ControlGroup::divide) {
        Ok(divided) => Some(divided),
        // As on most machines; `doctor` says it.
        Err(Undivided::NotThere | Undivided::NoController(_) | Undivided::NotDelegated(_)) => None,
        Err(error) => {
            tell!(Info: "chains share the processors by scheduling class, not by control groups: {error}");
            None
        }
    }
}

impl Shares {
    /// Those of a monitor that has loaded all chains.
    pub(super) fn of(core: &Core<Machine>, divided: Option<Divided>) -> Self {
        let Some(divided) = divided else {
            return Self::Classes(Classes::of(core));
        };
        let shares = Self::Groups(divided);
        for (process, _) in core.function_processes() {
            shares.adopt(core, process);
        }
        shares
    }

    /// A trustlet was started.
    pub(super) fn adopt(&self, core: &Core<Machine>, process: ProcessId) {
        let Self::Groups(divided) = self else { return };
        let (Some(chain), Some(found)) = (core.chain_of_function(process), core.platform().process(process))
        else {
            return;
        };
        if let Err(error) = divided.give(chain, found.pid()) {
            tell!(Warning: "a function of chain `{chain}` shares the processors with the service itself: {error}");
        }
    }

    /// When [`Shares::look_if_due`] has something to do.
    pub(super) const fn due(&self) -> Option<Monotonic> {
        match self {
            Self::Groups(_) => None,
            Self::Classes(classes) => classes.due(),
        }
    }

    /// Looks who takes how much, if it is time.
    pub(super) fn look_if_due(&mut self, core: &Core<Machine>) {
        if let Self::Classes(classes) = self {
            classes.look_if_due(core);
        }
    }
}
