//! Who may write which regions (I1): the regions of an instance (its outbox, its page, and one for each of
//! its mapped rings) belong to at most one live process, from before it is started until after it was reaped.

use super::refusal::{Refusal, refuse};
use crate::calls::{InstanceState, ResultCode};
use crate::ids::{ChainId, GatewayId, InstanceNumber, ProcessId};
use alloc::collections::BTreeMap;

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// One instance of a function.
    Function(ChainId, InstanceNumber),
    /// A gateway, with one instance in each of its chains.
    Gateway(GatewayId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Live {
    owner: Owner,
    epoch: u32,
    state: InstanceState,
    /// Attachments that it has not answered yet.
    unanswered: u32,
}

/// A live process, as the ledger knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) process: ProcessId,
    pub(crate) epoch: u32,
    pub(crate) state: InstanceState,
}

/// Live processes, and the instances whose regions they write.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    live: BTreeMap<ProcessId, Live>,
    writers: BTreeMap<(ChainId, InstanceNumber), ProcessId>,
    gateways: BTreeMap<GatewayId, ProcessId>,
}

impl Ledger {
    /// Takes a new process number for `owner`, and with it the right to write; refused while somebody has it.
    pub(crate) fn claim(&mut self, owner: Owner, epoch: u32) -> Result<ProcessId, Refusal> {
        if self.holder(owner).is_some() {
            return refuse(ResultCode::SlotLive, ResultCode::SlotLive.text());
        }
        let process = ProcessId(self.next);
        self.next += 1;
        match owner {
            Owner::Function(chain, instance) => {
                self.writers.insert((chain, instance), process);
            }
            Owner::Gateway(gateway) => {
                self.gateways.insert(gateway, process);
            }
        }
        self.live.insert(
            process,
            Live {
                owner,
                epoch,
                state: InstanceState::Starting,
                unanswered: 0,
            },
        );
        Ok(process)
    }

    /// Gives a live gateway the right to write its instance of `chain`.
    pub(crate) fn claim_for_gateway(
        &mut self,
        gateway: GatewayId,
        chain: ChainId,
    ) -> Result<ProcessId, Refusal> {
        let key = (chain, InstanceNumber::GATEWAY);
        let Some(&process) = self.gateways.get(&gateway) else {
            return refuse(ResultCode::NotRunning, ResultCode::NotRunning.text());
        };
        if self.writers.contains_key(&key) {
            return refuse(ResultCode::SlotLive, ResultCode::SlotLive.text());
        }
        self.writers.insert(key, process);
        Ok(process)
    }

    /// Takes everything back from a process that is gone; its owner and epoch, if it was one of ours.
    pub(crate) fn release(&mut self, process: ProcessId) -> Option<(Owner, u32)> {
        let live = self.live.remove(&process)?;
        self.writers.retain(|_, writer| *writer != process);
        self.gateways.retain(|_, gateway| *gateway != process);
        Some((live.owner, live.epoch))
    }

    /// The live process of `owner`.
    pub(crate) fn holder(&self, owner: Owner) -> Option<Holder> {
        let process = match owner {
            Owner::Function(chain, instance) => *self.writers.get(&(chain, instance))?,
            Owner::Gateway(gateway) => *self.gateways.get(&gateway)?,
        };
        self.live.get(&process).map(|live| Holder {
            process,
            epoch: live.epoch,
            state: live.state,
        })
    }

    /// Whether the process is alive and was neither ready nor told to end.
    pub(crate) fn is_starting(&self, process: ProcessId) -> bool {
        let live = self.live.get(&process);
        live.is_some_and(|live| live.state == InstanceState::Starting)
    }

    /// Whose a live process is, and its epoch.
    pub(crate) fn owner(&self, process: ProcessId) -> Option<(Owner, u32)> {
        self.live.get(&process).map(|live| (live.owner, live.epoch))
    }

    /// One more attachment was sent, which the process answers when it stands.
    pub(crate) fn attached(&mut self, process: ProcessId) {
        if let Some(live) = self.live.get_mut(&process) {
            live.unanswered += 1;
        }
    }

    /// The process answered an attachment. `Some(true)` if that makes it ready now, `None` if there was none
    /// to answer.
    pub(crate) fn answered(&mut self, process: ProcessId) -> Option<bool> {
        let live = self.live.get_mut(&process)?;
        live.unanswered = live.unanswered.checked_sub(1)?;
        let ready = live.unanswered == 0 && live.state == InstanceState::Starting;
        if ready {
            live.state = InstanceState::Ready;
        }
        Some(ready)
    }

    /// The process was told to end.
    pub(crate) fn ending(&mut self, process: ProcessId) {
        if let Some(live) = self.live.get_mut(&process) {
            live.state = InstanceState::Ending;
        }
    }

    /// How many processes are alive.
    /// The processes of functions, and their chains.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (ProcessId, ChainId)> + '_ {
        self.writers.iter().filter_map(|(&(chain, _), &process)| {
            let live = self.live.get(&process)?;
            matches!(live.owner, Owner::Function(..)).then_some((process, chain))
        })
    }

    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner::Function(ChainId(0), InstanceNumber(1));

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let mut ledger = Ledger::default();
        let first = ledger.claim(OWNER, 1).unwrap();
        assert_eq!(ledger.claim(OWNER, 2).unwrap_err().code, ResultCode::SlotLive);
        ledger.ending(first);
        assert_eq!(ledger.claim(OWNER, 2).unwrap_err().code, ResultCode::SlotLive);
        assert_eq!(ledger.release(first), Some((OWNER, 1)));
        let second = ledger.claim(OWNER, 2).unwrap();
        assert_ne!(first, second);
        assert_eq!(ledger.release(first), None);
        assert!(ledger.holder(OWNER).is_some());
    }

    #[test]
    fn a_gateways_death_frees_its_instance_in_every_chain_of_its_own_and_in_no_other() {
        let (one, other) = (GatewayId(0), GatewayId(1));
        let mut ledger = Ledger::default();
        let first = ledger.claim(Owner::Gateway(one), 1).unwrap();
        let second = ledger.claim(Owner::Gateway(other), 1).unwrap();
        ledger.claim_for_gateway(one, ChainId(0)).unwrap();
        ledger.claim_for_gateway(one, ChainId(1)).unwrap();
        ledger.claim_for_gateway(other, ChainId(2)).unwrap();
        assert!(ledger.claim_for_gateway(one, ChainId(1)).is_err());
        assert!(ledger.claim_for_gateway(other, ChainId(1)).is_err(), "one writer");
        ledger.release(first);
        assert!(ledger.claim_for_gateway(one, ChainId(0)).is_err());
        assert_eq!(ledger.holder(Owner::Gateway(other)).unwrap().process, second);
        assert!(
            ledger.claim_for_gateway(other, ChainId(2)).is_err(),
            "still its own"
        );
        ledger.claim(Owner::Gateway(one), 2).unwrap();
        ledger.claim_for_gateway(one, ChainId(0)).unwrap();
    }

    #[test]
    fn a_process_is_ready_once_all_its_attachments_are_answered() {
        let mut ledger = Ledger::default();
        let gateway = ledger.claim(Owner::Gateway(GatewayId(0)), 1).unwrap();
        ledger.attached(gateway);
        ledger.attached(gateway);
        assert_eq!(ledger.answered(gateway), Some(false));
        assert!(ledger.is_starting(gateway));
        assert_eq!(ledger.answered(gateway), Some(true));
        assert!(!ledger.is_starting(gateway));
        assert_eq!(ledger.answered(gateway), None);
    }

    #[test]
    fn a_process_that_was_told_to_end_is_not_starting_any_more() {
        let mut ledger = Ledger::default();
        let gateway = ledger.claim(Owner::Gateway(GatewayId(0)), 1).unwrap();
        assert!(ledger.is_starting(gateway));
        ledger.ending(gateway);
        assert!(!ledger.is_starting(gateway));
    }
}
