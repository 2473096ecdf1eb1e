//! What the monitor does when a processor comes to its level: the caller is parked, its call taken, served by
//! its protocol and answered; then the caller may run again.

use super::call::{Call, Registers};
use super::chain_protocol;
use super::code::Code;
use super::core_protocol::{self, CoreProtocol, Spoken};
use super::virtual_processors::VirtualProcessors;
use crate::hardware::Hardware;
use crate::ledger::PageLedger;
use crate::platform::{Board, Snp};
use hacher_monitor_core::core::Core;

/// What calls are served with: pages, and the protocols beside AMD's own.
pub trait Protocols {
    /// The machine.
    type Hardware: Hardware;

    /// The protocols that [`Protocols::serve`] knows.
    const SPOKEN: &'static [Spoken];

    /// The machine and all pages.
    fn memory(&mut self) -> (&mut Self::Hardware, &mut PageLedger);

    /// Serves a call of a protocol that is not the core protocol, and leaves the answer in the registers.
    fn serve(&mut self, call: Call, registers: &mut Registers);
}

impl<B: Board> Protocols for Core<Snp<B>> {
    type Hardware = B;

    const SPOKEN: &'static [Spoken] = &[Spoken {
        protocol: chain_protocol::PROTOCOL,
        oldest: chain_protocol::VERSION,
        newest: chain_protocol::VERSION,
    }];

    fn memory(&mut self) -> (&mut B, &mut PageLedger) {
        self.platform_mut().memory()
    }

    fn serve(&mut self, call: Call, registers: &mut Registers) {
        match call.protocol {
            chain_protocol::PROTOCOL => chain_protocol::serve(self, call.number, registers),
            _ => registers.rax = Code::UnsupportedProtocol.rax(),
        }
    }
}

/// Pages alone, for tests: no protocol beside AMD's own.
#[cfg(any(test, feature = "simulated"))]
pub struct PagesAlone<'a, H> {
    /// The machine.
    pub hardware: &'a mut H,
    /// All pages.
    pub ledger: &'a mut PageLedger,
}

#[cfg(any(test, feature = "simulated"))]
impl<H: Hardware> Protocols for PagesAlone<'_, H> {
    type Hardware = H;

    const SPOKEN: &'static [Spoken] = &[];

    fn memory(&mut self) -> (&mut H, &mut PageLedger) {
        (self.hardware, self.ledger)
    }

    fn serve(&mut self, _: Call, registers: &mut Registers) {
        registers.rax = Code::UnsupportedProtocol.rax();
    }
}

/// Serves the calls of the operating system's virtual processors.
#[derive(Debug, Default)]
pub struct Dispatcher {
    /// All that there are. [`VirtualProcessors::create`] makes the first, as call 2 makes the others.
    pub processors: VirtualProcessors,
}

impl Dispatcher {
    /// For these virtual processors.
    #[must_use]
    pub const fn new(processors: VirtualProcessors) -> Self {
        Self { processors }
    }

    /// Serves the call of the processor with an APIC id; `false` if none waits, or it still runs. Called when
    /// that processor comes to the monitor's level. Afterwards the caller may run again, but for one that has
    /// deleted itself.
    pub fn serve<P: Protocols>(&mut self, monitor: &mut P, id: u32) -> bool {
        let (hardware, ledger) = monitor.memory();
        let Some(mut waiting) = self.processors.take_call(hardware, ledger, id) else {
            return false;
        };
        let call = Call::of_rax(waiting.registers.rax);
        if call.protocol == core_protocol::PROTOCOL {
            CoreProtocol {
                hardware,
                ledger,
                area: &mut waiting.area,
                processors: &mut self.processors,
                caller: Some(id),
                spoken: P::SPOKEN,
            }
            .serve(call.number, &mut waiting.registers);
        } else {
            monitor.serve(call, &mut waiting.registers);
        }
        let (hardware, ledger) = monitor.memory();
        self.processors.answer(hardware, ledger, &waiting);
        true
    }
}
