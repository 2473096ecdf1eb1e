//! Shares of the processors between chains, and bounds for each instance: by control groups where the service
//! has one of its own to divide, else by scheduling class and by the limits of each process.

mod classes;

use super::control_group::{ControlGroup, Divided};
use super::controllers::Undivided;
use super::platform::ProcessPlatform;
use crate::core::Core;
use crate::machine::Shares;
use classes::Classes;
use hacher_libos_net::clock::Monotonic;
use std::rc::Rc;

/// How chains share the processors.
#[derive(Debug)]
pub struct ProcessorShares {
    /// The service's group, if it has one to divide. Its parts go when this does, which is after the last
    /// process.
    divided: Option<Rc<Divided>>,
    /// Who takes too much goes behind the others; `None` while chains are being loaded, and where groups
    /// share the processors: all chains have the same weight then, on all processors and on each.
    classes: Option<Classes>,
}

impl Shares<ProcessPlatform> for ProcessorShares {
    fn divide(machine: &mut ProcessPlatform) -> Self {
        let divided = match ControlGroup::delegated().and_then(ControlGroup::divide) {
            Ok(divided) => Some(Rc::new(divided)),
            // As on most machines; `doctor` says it.
            Err(Undivided::NotThere | Undivided::NoController(_) | Undivided::NotDelegated(_)) => None,
            Err(error) => {
                tell!(
                    Info: "chains share the processors by scheduling class, and instances have no control groups: {error}"
                );
                None
            }
        };
        machine.groups.clone_from(&divided);
        Self {
            divided,
            classes: None,
        }
    }

    fn begin(&mut self, core: &Core<ProcessPlatform>) {
        let shared = self
            .divided
            .as_ref()
            .is_some_and(|divided| divided.controllers().cpu);
        if !shared {
            self.classes = Some(Classes::of(core));
        }
    }

    fn due(&self) -> Option<Monotonic> {
        self.classes.as_ref().and_then(Classes::due)
    }

    fn look_if_due(&mut self, core: &Core<ProcessPlatform>) {
        if let Some(classes) = &mut self.classes {
            classes.look_if_due(core);
        }
    }
}
