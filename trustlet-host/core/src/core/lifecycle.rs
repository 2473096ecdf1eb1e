//! The lives of trustlets: create, ready, delete, died.

use super::attachment::Attachment;
use super::definition::process_limits;
use super::event::{EndReason, Event, Exit};
use super::ledger::Owner;
use super::limits;
use super::operand::narrow;
use super::refusal::{Refusal, refuse};
use super::reply::{Handle, Outcome};
use super::sealed::Slot;
use super::tables::Core;
use crate::calls::{GATEWAY_PROCESS, InstanceState, ResultCode};
use crate::ids::{ChainId, GatewayId, InstanceNumber, ProcessId};
use crate::platform::{Launch, Platform, PlatformError, Spawned, SystemCalls, TrustletRole};
use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::message::{MESSAGE_MAX_BYTES, MessageHeader};

impl<P: Platform> Core<P> {
    pub(super) fn create_trustlet(&mut self, [chain, instance, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let (owner, epoch) = if chain == GATEWAY_PROCESS {
            let gateway = self.gateway_id(instance)?;
            (Owner::Gateway(gateway), self.next_gateway_epoch(gateway)?)
        } else {
            let chain = self.chain_id(chain)?;
            let instance = InstanceNumber(narrow(instance)?);
            (
                Owner::Function(chain, instance),
                self.next_function_epoch(chain, instance)?,
            )
        };
        let process = self.ledger.claim(owner, epoch)?;
        let spawned = match owner {
            Owner::Function(chain, instance) => self.start_function(process, chain, instance, epoch),
            Owner::Gateway(gateway) => self.start_gateway(process, gateway, epoch),
        };
        if let Err(refusal) = spawned {
            // No process, so nobody who could write.
            self.ledger.release(process);
            self.counts.failed_creations += 1;
            return Err(refusal);
        }
        self.counts.created += 1;
        let attached = match owner {
            Owner::Function(chain, instance) => self.attach(process, chain, instance),
            Owner::Gateway(gateway) => self.attach_gateway(process, gateway),
        };
        if let Err(refusal) = attached {
            self.end(process);
            return Err(refusal);
        }
        let mut outcome = Outcome::value(u64::from(epoch));
        // The daemon forwards from the first line on.
        outcome.handles.extend(self.log_of(owner));
        Ok(outcome)
    }

    /// The reading end of what an owner's present process prints, if that is forwarded.
    fn log_of(&self, owner: Owner) -> Option<Handle> {
        let handle = match owner {
            Owner::Function(chain, instance) => Handle::Log(chain, instance),
            Owner::Gateway(gateway) => Handle::GatewayLog(gateway),
        };
        self.descriptor(handle).map(|_| handle)
    }

    pub(super) fn delete_trustlet(
        &mut self,
        [chain, instance, epoch, reason, ..]: [u64; 6],
    ) -> Result<Outcome, Refusal> {
        let owner = if chain == GATEWAY_PROCESS {
            Owner::Gateway(self.gateway_id(instance)?)
        } else {
            Owner::Function(self.chain_id(chain)?, InstanceNumber(narrow(instance)?))
        };
        // A gateway's instances live and die with its process.
        if matches!(owner, Owner::Function(_, InstanceNumber::GATEWAY)) {
            return refuse(
                ResultCode::InvalidParameter,
                "a gateway's process is named by the gateway's number",
            );
        }
        let Some(holder) = self.ledger.holder(owner) else {
            return Err(ResultCode::NotRunning.into());
        };
        if u64::from(holder.epoch) != epoch {
            return Err(ResultCode::Stale.into());
        }
        self.end_for(holder.process, EndReason::from_number(reason));
        Ok(Outcome::default())
    }

    /// The process answered an attachment. `false`: it had none to answer, and should be ended.
    pub fn ready(&mut self, process: ProcessId) -> bool {
        let Some(ready) = self.ledger.answered(process) else {
            return false;
        };
        if ready && let Some((owner, epoch)) = self.ledger.owner(process) {
            let now_ns = self.now_ns;
            self.each_slot_of(owner, |slot| slot.ready_ns = now_ns);
            self.events.push_back(Event::InstanceReady { owner, epoch });
        }
        true
    }

    /// The slots that an owner's process has: one, or a gateway's in each of its chains.
    fn each_slot_of(&mut self, owner: Owner, mut change: impl FnMut(&mut Slot<P>)) {
        let slots = match owner {
            Owner::Function(chain, instance) => vec![(chain, instance)],
            Owner::Gateway(gateway) => {
                let chains = self.chains_of(gateway).into_iter();
                chains.map(|chain| (chain, InstanceNumber::GATEWAY)).collect()
            }
        };
        for (chain, instance) in slots {
            let sealed = self
                .chains
                .get_mut(chain.at())
                .and_then(|chain| chain.sealed.as_mut());
            if let Some(slot) = sealed.and_then(|sealed| sealed.slots.get_mut(instance.at())) {
                change(slot);
            }
        }
    }

    /// Whether the process has attachments to answer yet. Whoever keeps time gives it up some day.
    pub fn is_starting(&self, process: ProcessId) -> bool {
        self.ledger.is_starting(process)
    }

    /// Ends a process that broke the rules or did not listen. Nothing happens to one that is gone.
    pub fn end(&mut self, process: ProcessId) {
        self.end_for(process, EndReason::Other);
    }

    fn end_for(&mut self, process: ProcessId, reason: EndReason) {
        if self.ledger.owner(process).is_some() {
            self.ledger.ending(process);
            // The first reason is the one that ends it.
            self.ending.entry(process).or_insert(reason);
            self.platform.kill(process);
        }
    }

    /// The process is gone and reaped: its instance can be created again.
    pub fn died(&mut self, process: ProcessId, mut exit: Exit) {
        exit.asked = self.ending.remove(&process).or(exit.asked);
        let Some((owner, epoch)) = self.ledger.release(process) else {
            return;
        };
        self.counts.died += 1;
        if let Owner::Gateway(gateway) = owner {
            self.note_gateway_death(gateway);
        }
        let now_ns = self.now_ns;
        self.each_slot_of(owner, |slot| {
            slot.deaths = slot.deaths.saturating_add(1);
            slot.last_exit = Some(exit);
            slot.ready_ns = 0;
            slot.died_ns = now_ns;
        });
        self.events.push_back(Event::InstanceDied { owner, epoch, exit });
    }

    /// A system call was refused to a process, and to a program that it has started likewise.
    pub fn call_refused(&mut self, process: ProcessId, number: u64) {
        let Some((owner @ Owner::Function(chain, instance), _)) = self.ledger.owner(process) else {
            return;
        };
        let mut is_new = false;
        self.each_slot_of(owner, |slot| is_new = slot.refused.count(number));
        if is_new {
            self.events.push_back(Event::CallRefused { chain, instance });
        }
    }

    /// Tells the daemon that the monitor stops.
    pub fn shutting_down(&mut self, grace_ns: u64) {
        self.events.push_back(Event::ShuttingDown { grace_ns });
    }

    fn next_function_epoch(&self, chain: ChainId, instance: InstanceNumber) -> Result<u32, Refusal> {
        let sealed = self.chain(u64::from(chain.0))?.sealed()?;
        if instance == InstanceNumber::GATEWAY {
            return refuse(
                ResultCode::InvalidParameter,
                "a gateway's process is named by the gateway's number",
            );
        }
        let Some(slot) = sealed.slots.get(instance.at()) else {
            return refuse(ResultCode::InvalidParameter, "there is no such instance");
        };
        slot.epoch
            .checked_add(1)
            .ok_or_else(|| ResultCode::LimitReached.into())
    }

    fn start_function(
        &mut self,
        process: ProcessId,
        chain: ChainId,
        instance: InstanceNumber,
        epoch: u32,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.chains.get_mut(chain.at()) else {
            return Err(ResultCode::InvalidParameter.into());
        };
        // From here on the number is used, whether or not the process starts: never two with one number (I4).
        if let Some(slot) = entry.sealed_mut()?.slots.get_mut(instance.at()) {
            slot.epoch = epoch;
        }
        let sealed = entry.sealed()?;
        let planned = sealed
            .plan
            .instance(instance)
            .ok_or(ResultCode::InvalidParameter)?;
        let function = entry
            .definition
            .function(planned.function)
            .ok_or(ResultCode::InvalidParameter)?;
        if function.secrets.iter().any(|secret| secret.value.is_none()) {
            return refuse(
                ResultCode::InvalidRequest,
                "a secret of the function has not been released",
            );
        }
        let definition = &function.definition;
        let given = &definition.limits;
        let launch = Launch {
            process,
            role: TrustletRole::Function,
            chain: entry.definition.chain.name.as_str(),
            function: definition.name.as_str(),
            image: &function.program.image,
            libraries: &function.program.loaded,
            files: &function.program.files,
            arguments: &function.program.arguments,
            environment: &function.program.environment,
            system_calls: function.program.system_calls,
            limits: process_limits(
                given
                    .memory_bytes
                    .saturating_add(entry.definition.fabric_bytes(planned.function)),
                given.scratch_bytes,
                given.threads,
                planned.descriptors(),
            ),
            forward_logs: given.logs == 1,
            cpu: entry.definition.placement(planned.function, planned.ordinal).cpu,
            patient: planned.on_core >= limits::PATIENT_FROM || planned.takes_turns,
            ordinal: planned.ordinal,
            regions_bytes: sealed.plan.reachable_bytes(planned),
        };
        let Spawned { log } = self.platform.spawn(launch)?;
        if let Some(slot) = entry.sealed_mut()?.slots.get_mut(instance.at()) {
            slot.log = log;
        }
        Ok(())
    }

    /// Sends a process its attachment to one chain.
    pub(super) fn attach(
        &mut self,
        process: ProcessId,
        chain: ChainId,
        instance: InstanceNumber,
    ) -> Result<(), Refusal> {
        let entry = self.chains.get(chain.at()).ok_or(ResultCode::InvalidParameter)?;
        let sealed = entry.sealed()?;
        let role = if instance == InstanceNumber::GATEWAY {
            TrustletRole::Gateway
        } else {
            TrustletRole::Function
        };
        let function = sealed.plan.instance(instance).map(|planned| planned.function);
        let function = function.and_then(|function| entry.definition.function(function));
        let lockdown = match function.map(|function| function.program.system_calls) {
            Some(SystemCalls::Native) => self.lockdown(role)?,
            // The programs that a function starts need what a lockdown takes away: all that is ever refused
            // to it is refused from its start on. A gateway's lockdown is sent once, before its
            // chains.
            Some(SystemCalls::Program { .. }) | None => None,
        };
        let gateway = &self.gateway(entry.gateway)?.definition;
        let attachment = Attachment::new(entry, sealed, gateway, instance, lockdown.as_deref())
            .ok_or_else(|| Refusal::new(ResultCode::BadGraph, "the tables of the chain disagree"))?;
        for (message, grants) in attachment.messages {
            self.platform.send(process, message, &grants)?;
        }
        self.ledger.attached(process);
        Ok(())
    }

    /// The platform's filter, if one message holds it.
    pub(super) fn lockdown(&self, role: TrustletRole) -> Result<Option<Vec<[u8; 8]>>, Refusal> {
        let filters = self.platform.lockdown(role);
        let too_long = filters.as_ref().is_some_and(|filters| {
            size_of::<MessageHeader>() + size_of_val(filters.as_slice()) > MESSAGE_MAX_BYTES
        });
        if too_long {
            return Err(
                PlatformError::Unsuitable("the seccomp filter is longer than a message".to_owned()).into(),
            );
        }
        Ok(filters)
    }

    /// Where an instance is in its life.
    pub(super) fn state_of(&self, chain: ChainId, instance: InstanceNumber) -> InstanceState {
        self.ledger
            .holder(Owner::Function(chain, instance))
            .map_or(InstanceState::Absent, |holder| holder.state)
    }

    /// Where a gateway's process is in its life.
    pub(super) fn gateway_state(&self, gateway: GatewayId) -> InstanceState {
        self.ledger
            .holder(Owner::Gateway(gateway))
            .map_or(InstanceState::Absent, |holder| holder.state)
    }
}
