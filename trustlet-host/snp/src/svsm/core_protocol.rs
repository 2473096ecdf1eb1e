//! Protocol 0: memory that the guest takes in and gives away, memory that the operating
//! system lends the monitor, its virtual processors, and which protocols there are.
//!
//! | call | name | RCX |
//! |---|---|---|
//! | 0 | remap the calling area | address of the new one |
//! | 1 | validate or rescind pages | address of a list |
//! | 2 | create a virtual processor | address of its state; RDX: of its calling area; R8: its APIC id |
//! | 3 | delete a virtual processor | address of its state |
//! | 4 | deposit memory | address of a list |
//! | 5 | withdraw memory | address of a list, which is filled |
//! | 6 | query a protocol | protocol and version; answered with the versions, or 0 |
//! | 7 | configure vTOM | bit 0: whether it can be; answered with 0 |

use super::area::CallingArea;
use super::call::Registers;
use super::code::Code;
use super::operand::PageList;
use super::virtual_processors::VirtualProcessors;
use crate::hardware::Hardware;
use crate::ledger::{PageLedger, Refused};
use crate::rmp::RmpError;

/// Entries of a list that one call deals with: each takes a page from all processors, and others wait
/// meanwhile.
const ENTRIES_AT_ONCE: usize = 32;

/// The protocol's number.
pub const PROTOCOL: u32 = 0;
/// The one version that there is.
pub const VERSION: u32 = 1;

/// Numbers of its calls.
pub mod number {
    /// Another calling area.
    pub const REMAP_AREA: u32 = 0;
    /// Pages that come and go.
    pub const VALIDATE: u32 = 1;
    /// A virtual processor.
    pub const CREATE_PROCESSOR: u32 = 2;
    /// Its end.
    pub const DELETE_PROCESSOR: u32 = 3;
    /// Pages for the monitor.
    pub const DEPOSIT: u32 = 4;
    /// Pages back.
    pub const WITHDRAW: u32 = 5;
    /// Which protocols there are.
    pub const QUERY: u32 = 6;
    /// vTOM, which is not supported.
    pub const CONFIGURE_VTOM: u32 = 7;
}

/// A protocol, and the versions of it that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    /// Its number.
    pub protocol: u32,
    /// The oldest version.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

/// Serves calls of the core protocol.
pub struct CoreProtocol<'a, H> {
    /// The machine.
    pub hardware: &'a mut H,
    /// All pages.
    pub ledger: &'a mut PageLedger,
    /// The caller's calling area.
    pub area: &'a mut Option<CallingArea>,
    /// The operating system's virtual processors.
    pub processors: &'a mut VirtualProcessors,
    /// The caller's APIC id; `None` if it is none of them.
    pub caller: Option<u32>,
    /// All protocols but this one.
    pub spoken: &'a [Spoken],
}

impl<H: Hardware> CoreProtocol<'_, H> {
    /// Does what a call asks for, and leaves the answer in the registers.
    pub fn serve(&mut self, number: u32, registers: &mut Registers) {
        let code = match number {
            number::REMAP_AREA => self.remap_area(registers.rcx),
            number::VALIDATE => self.validate(registers.rcx),
            number::CREATE_PROCESSOR => {
                let Registers { rcx, rdx, r8, .. } = *registers;
                let created = self.processors.create(self.hardware, self.ledger, rcx, rdx, r8);
                created.err().unwrap_or(Code::Success)
            }
            number::DELETE_PROCESSOR => {
                let deleted = self.processors.delete(self.hardware, self.ledger, registers.rcx);
                deleted.err().unwrap_or(Code::Success)
            }
            number::DEPOSIT => self.deposit(registers.rcx),
            number::WITHDRAW => self.withdraw(registers.rcx),
            number::QUERY => {
                registers.rcx = self.query(registers.rcx);
                Code::Success
            }
            number::CONFIGURE_VTOM if registers.rcx & 1 == 1 => {
                registers.rcx = 0;
                Code::Success
            }
            number::CONFIGURE_VTOM => Code::InvalidRequest,
            _ => Code::UnsupportedCall,
        };
        registers.rax = code.rax();
    }

    fn remap_area(&mut self, address: u64) -> Code {
        match CallingArea::at(self.ledger, address) {
            Some(area) if self.processors.is_area_of_other(self.caller, area) => Code::InvalidAddress,
            Some(area) => {
                area.clear(self.hardware);
                *self.area = Some(area);
                Code::Success
            }
            None => Code::InvalidAddress,
        }
    }

    fn validate(&mut self, address: u64) -> Code {
        self.each_of(address, |hardware, ledger, entry| {
            let done = if entry.validate {
                ledger.accept(hardware, entry.frame)
            } else {
                ledger.rescind(hardware, entry.frame)
            };
            match done {
                // Only where it is so already for the caller, and stays so.
                Err(Refused::InUse) if entry.ignore_unchanged => {
                    let is_so = match entry.validate {
                        true => ledger.is_of_system(entry.frame),
                        false => ledger.is_absent(entry.frame),
                    };
                    if is_so { Ok(()) } else { Err(Refused::InUse) }
                }
                done => done,
            }
        })
    }

    fn deposit(&mut self, address: u64) -> Code {
        self.each_of(address, |hardware, ledger, entry| {
            ledger.deposit(hardware, entry.frame)
        })
    }

    /// Fills a list with pages that are the caller's again.
    fn withdraw(&mut self, address: u64) -> Code {
        let mut list = match PageList::copy(self.hardware, self.ledger, address) {
            Ok(list) => list,
            Err(code) => return code,
        };
        let code = loop {
            if list.is_done() {
                break Code::Success;
            }
            match self.ledger.withdraw(self.hardware) {
                Ok(Some(frame)) => list.fill(self.hardware, self.ledger, frame),
                Ok(None) => break Code::Success,
                Err(refused) => break refused.into(),
            }
        };
        list.say(self.hardware, self.ledger);
        code
    }

    /// The versions of a protocol, the newest in the upper half, if the one that is asked for is among them;
    /// else 0.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    fn query(&self, rcx: u64) -> u64 {
        let (protocol, version) = ((rcx >> 32) as u32, rcx as u32);
        let own = Spoken {
            protocol: PROTOCOL,
            oldest: VERSION,
            newest: VERSION,
        };
        let mut all = core::iter::once(&own).chain(self.spoken);
        let speaks = |spoken: &&Spoken| {
            spoken.protocol == protocol && (spoken.oldest..=spoken.newest).contains(&version)
        };
        all.find(speaks).map_or(0, |spoken| {
            u64::from(spoken.newest) << 32 | u64::from(spoken.oldest)
        })
    }

    /// Does something to each page of a list, until it fails.
    fn each_of(
        &mut self,
        address: u64,
        mut act: impl FnMut(&mut H, &mut PageLedger, super::operand::Entry) -> Result<(), Refused>,
    ) -> Code {
        let mut list = match PageList::copy(self.hardware, self.ledger, address) {
            Ok(list) => list,
            Err(code) => return code,
        };
        let mut left = ENTRIES_AT_ONCE;
        let code = loop {
            if left == 0 && !list.is_done() {
                break Code::Incomplete;
            }
            left = left.saturating_sub(1);
            let entry = match list.current() {
                Ok(Some(entry)) => entry,
                Ok(None) => break Code::Success,
                Err(code) => break code,
            };
            let done = if entry.is_large {
                // So the caller comes again with the small pages of it.
                Err(Refused::Processor(RmpError::Size))
            } else {
                act(self.hardware, self.ledger, entry)
            };
            match done {
                Ok(()) => list.advance(),
                Err(refused) => break refused.into(),
            }
        };
        list.say(self.hardware, self.ledger);
        code
    }
}

#[cfg(test)]
mod tests;
