//! The operating system's virtual processors: calls 2 and 3 of protocol 0, and how the monitor gets at the
//! registers of whoever calls.
//!
//! A state is taken from its author before the monitor looks at it, and is nobody's to write until it is no
//! state any more (`ledger`). While a call is served, its caller is *parked*: the hypervisor cannot have it
//! run on another processor meanwhile, and change the registers that are being looked at.

use super::area::CallingArea;
use super::call::Registers;
use super::code::Code;
use crate::frame::{FRAME_BYTES, Frame};
use crate::hardware::Hardware;
use crate::ledger::PageLedger;
use crate::state::{self, SVME, word};
use alloc::vec::Vec;

/// States of one processor at a time: Linux makes a new one before it gives the old one up.
const STATES_EACH: usize = 2;
/// Pages of 4 KiB in one of 2 MiB.
const PAGES_OF_2_MIB: u64 = 512;

/// The operating system's virtual processors.
#[derive(Debug, Default)]
pub struct VirtualProcessors {
    /// APIC ids that the guest has, by those who started it.
    ids: Vec<u32>,
    /// `SEV_FEATURES` of the first one, which all have to have.
    features: u64,
    all: Vec<VirtualProcessor>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct VirtualProcessor {
    id: u32,
    state: Frame,
    area: CallingArea,
}

/// A call that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    state: Frame,
    /// The caller's calling area, which the call may change.
    pub area: Option<CallingArea>,
    /// Its registers; then the answer.
    pub registers: Registers,
}

impl VirtualProcessors {
    /// None yet, of a guest that has processors with these APIC ids and features.
    #[must_use]
    pub const fn new(ids: Vec<u32>, features: u64) -> Self {
        Self {
            ids,
            features,
            all: Vec::new(),
        }
    }

    /// Makes one of the page at `state`, with its calling area.
    ///
    /// # Errors
    /// The code to answer with.
    pub fn create(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        state: u64,
        area: u64,
        id: u64,
    ) -> Result<(), Code> {
        let state = Frame::at(state).ok_or(Code::InvalidAddress)?;
        let area_frame = Frame::at(area & !(FRAME_BYTES as u64 - 1)).ok_or(Code::InvalidAddress)?;
        let area = CallingArea::at(ledger, area).ok_or(Code::InvalidAddress)?;
        if !ledger.is_of_system(state) || area_frame == state {
            return Err(Code::InvalidAddress);
        }
        // An erratum: where a large page begins at a state, some processors take an access to the one for an
        // access to the other.
        if state.number().is_multiple_of(PAGES_OF_2_MIB) {
            return Err(Code::InvalidAddress);
        }
        // As for others that serve this call, the upper half has no meaning.
        let id = u32::try_from(id & u64::from(u32::MAX)).map_err(|_| Code::InvalidParameter)?;
        if !self.ids.contains(&id) {
            return Err(Code::InvalidParameter);
        }
        if self.all.iter().filter(|one| one.id == id).count() >= STATES_EACH {
            // Not busy: Linux would call again for ever, and nobody deletes one meanwhile.
            return Err(Code::InvalidRequest);
        }
        if self.is_area_of_other(Some(id), area) {
            return Err(Code::InvalidAddress);
        }
        ledger.lend_state(hardware, state, self.features)?;
        area.clear(hardware);
        self.all.push(VirtualProcessor { id, state, area });
        Ok(())
    }

    /// Ends the one whose state is the page at `state`, and gives the page back.
    ///
    /// # Errors
    /// The code to answer with.
    pub fn delete(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &mut PageLedger,
        state: u64,
    ) -> Result<(), Code> {
        let frame = Frame::at(state).ok_or(Code::InvalidAddress)?;
        let at = self.all.iter().position(|one| one.state == frame);
        let at = at.ok_or(Code::InvalidParameter)?;
        let returned = ledger.return_state(hardware, frame);
        // If the processor has refused, nobody gets the page again, and it is no processor either.
        if !ledger.is_state(frame) {
            self.all.remove(at);
        }
        Ok(returned?)
    }

    /// Whether an area is another processor's: two callers would take each other's answers.
    pub(super) fn is_area_of_other(&self, id: Option<u32>, area: CallingArea) -> bool {
        self.all.iter().any(|one| Some(one.id) != id && one.area == area)
    }

    /// Takes the call of the processor with an APIC id, of several states the newest; `None` if none waits,
    /// the hypervisor has it run, or has interrupted it before it asked for the monitor. In the last case the
    /// area is as it was: the call is taken when the caller has gone on and asks.
    pub fn take_call(
        &mut self,
        hardware: &mut impl Hardware,
        ledger: &PageLedger,
        id: u32,
    ) -> Option<Waiting> {
        let one = self.all.iter().rfind(|one| one.id == id).copied()?;
        if !hardware.park(one.state) {
            return None;
        }
        // First: what is cleared in the area counts as answered.
        if !state::left_by_vmgexit(hardware, one.state) || !one.area.take(hardware, ledger) {
            resume(hardware, one.state);
            return None;
        }
        Some(Waiting {
            state: one.state,
            area: Some(one.area),
            registers: Registers {
                rax: hardware.read(one.state, word::RAX),
                rcx: hardware.read(one.state, word::RCX),
                rdx: hardware.read(one.state, word::RDX),
                r8: hardware.read(one.state, word::R8),
            },
        })
    }

    /// Answers a call, and lets its caller run; whose own state is gone gets no answer.
    pub fn answer(&mut self, hardware: &mut impl Hardware, ledger: &PageLedger, call: &Waiting) {
        if !ledger.is_state(call.state) {
            return;
        }
        let Registers { rax, rcx, rdx, r8 } = call.registers;
        for (index, value) in [
            (word::RAX, rax),
            (word::RCX, rcx),
            (word::RDX, rdx),
            (word::R8, r8),
        ] {
            hardware.write(call.state, index, value);
        }
        if let (Some(area), Some(one)) = (call.area, self.all.iter_mut().find(|one| one.state == call.state))
        {
            one.area = area;
        }
        resume(hardware, call.state);
    }
}

fn resume(hardware: &mut impl Hardware, state: Frame) {
    let efer = hardware.read(state, word::EFER);
    hardware.write(state, word::EFER, efer | SVME);
}

#[cfg(test)]
mod tests;
