//! Shares of the processors between chains: by control groups where the service has one of its own to divide,
//! else by scheduling class.

mod classes;

use super::control_group::{ControlGroup, Divided, Undivided};
use super::platform::ProcessPlatform;
use crate::core::Core;
use crate::ids::ProcessId;
use crate::machine::Shares;
use classes::Classes;
use hacher_libos_net::clock::Monotonic;

/// How chains share the processors.
#[derive(Debug)]
pub enum ProcessorShares {
    /// Chains are still being loaded; the service's group is divided, if it has one.
    Loading(Option<Divided>),
    /// All chains have the same weight, on all processors and on each.
    Groups(Divided),
    /// Who takes too much goes behind the others.
    Classes(Classes),
}

impl Shares<ProcessPlatform> for ProcessorShares {
    fn divide() -> Self {
        Self::Loading(match ControlGroup::delegated().and_then(ControlGroup::divide) {
            Ok(divided) => Some(divided),
            // As on most machines; `doctor` says it.
            Err(Undivided::NotThere | Undivided::NoController(_) | Undivided::NotDelegated(_)) => None,
            Err(error) => {
                tell!(Info: "chains share the processors by scheduling class, not by control groups: {error}");
                None
            }
        })
    }

    fn begin(&mut self, core: &Core<ProcessPlatform>) {
        let Self::Loading(divided) = self else { return };
        *self = match divided.take() {
            Some(divided) => Self::Groups(divided),
            None => Self::Classes(Classes::of(core)),
        };
        for (process, _) in core.function_processes() {
            self.adopt(core, process);
        }
    }

    fn adopt(&self, core: &Core<ProcessPlatform>, process: ProcessId) {
        let Self::Groups(divided) = self else { return };
        let (Some(chain), Some(found)) = (core.chain_of_function(process), core.platform().process(process))
        else {
            return;
        };
        if let Err(error) = divided.give(chain, found.child.pid()) {
            tell!(Warning: "a function of chain `{chain}` shares the processors with the service itself: {error}");
        }
    }

    fn due(&self) -> Option<Monotonic> {
        match self {
            Self::Loading(_) | Self::Groups(_) => None,
            Self::Classes(classes) => classes.due(),
        }
    }

    fn look_if_due(&mut self, core: &Core<ProcessPlatform>) {
        if let Self::Classes(classes) = self {
            classes.look_if_due(core);
        }
    }
}
