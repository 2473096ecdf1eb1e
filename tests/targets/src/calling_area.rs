//! Calls of an operating system over a calling area: whatever stands in its memory and registers, the monitor
//! answers with a code, panics at nothing, leaves pages that are not the caller's as they are, and has no
//! processor run at another level than the caller's.

use crate::script::Script;
use hacher_snp::frame::Frame;
use hacher_snp::ledger::{Boot, PageLedger, Purpose, SpaceId};
use hacher_snp::rmp::{Permissions, Vmpl};
use hacher_snp::simulated::{Machine, Processor, Ring};
use hacher_snp::state::{SVME, VMGEXIT, level_of, word};
use hacher_snp::svsm::area::CallingArea;
use hacher_snp::svsm::core_protocol::{CoreProtocol, Spoken};
use hacher_snp::svsm::dispatcher::PagesAlone;
use hacher_snp::svsm::virtual_processors::VirtualProcessors;
use hacher_snp::svsm::{Code, Dispatcher, Registers};

/// Pages: 0 and 1 are the monitor's, then those of the operating system, then some that were not validated.
const PAGES: u64 = 24;
const MONITORS: u64 = 2;
const LAUNCHED: u64 = 18;
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;
const FEATURES: u64 = 1;
/// Calls of one script, and words that are written before each.
const CALLS_MAX: usize = 64;
const WORDS_MAX: u8 = 24;

struct Guest {
    machine: Machine,
    ledger: PageLedger,
    area: Option<CallingArea>,
    dispatcher: Dispatcher,
    system: Processor,
    /// Of a trustlet, and of the monitor.
    secret: [Frame; 2],
    running: Vec<Frame>,
}

/// Makes the calls that `bytes` describe, in memory that they describe too.
pub fn calling_area(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut guest = Guest::new();
    for _ in 0..CALLS_MAX {
        if script.is_empty() {
            break;
        }
        guest.write(&mut script);
        match script.u8() % 8 {
            0 => guest.run(&mut script),
            1 => guest.take(&mut script),
            _ => guest.call(&mut script),
        }
        guest.check();
    }
}

impl Guest {
    fn new() -> Self {
        let mut machine = Machine::new(usize::try_from(PAGES).unwrap());
        for number in 0..LAUNCHED {
            let level = if number < MONITORS {
                Vmpl::MONITOR
            } else {
                Vmpl::OPERATING_SYSTEM
            };
            let frame = frame(number);
            machine.launch(frame, level);
        }
        let mut ledger = PageLedger::new(0..PAGES, |number| match number {
            ..MONITORS => Boot::Monitor,
            MONITORS..LAUNCHED => Boot::System,
            _ => Boot::NotValidated,
        });
        // What the monitor has in use.
        ledger.deposit(&mut machine, frame(LAUNCHED - 1)).unwrap();
        let taken = ledger.take(&mut machine, Purpose::Private(SpaceId(1))).unwrap();
        let secret = [taken, frame(0)];
        for frame in secret {
            let monitor = &mut Processor::new(Vmpl::MONITOR, Ring::System);
            monitor.store(&mut machine, frame.address(), SECRET).unwrap();
        }
        Self {
            machine,
            ledger,
            area: None,
            dispatcher: Dispatcher::new(VirtualProcessors::new(vec![0, 1], FEATURES)),
            system: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
            secret,
            running: Vec::new(),
        }
    }

    /// The operating system writes some words, where it can.
    fn write(&mut self, script: &mut Script<'_>) {
        for _ in 0..script.u8() % WORDS_MAX {
            let page = u64::from(script.u8()) % PAGES;
            let (index, value) = match script.u8() % 8 {
                // Of a state, which random words do not make.
                0 => (word::LEVELS as u64, u64::from(script.u8()) << 16),
                1 => (word::EFER as u64, SVME),
                2 => (word::FEATURES as u64, u64::from(script.u8() % 2)),
                // Of a list.
                3 => (u64::from(script.u8() % 4), u64::from(script.u8() % 8)),
                4 | 5 => {
                    let number = u64::from(script.u8()) % (PAGES + 1);
                    (
                        u64::from(script.u8() % 8),
                        number << 12 | u64::from(script.u8() & 0xf),
                    )
                }
                6 => (u64::from(script.u16()) % 512, script.u64()),
                _ => (u64::from(script.u8() % 2), 1),
            };
            let _ = self
                .system
                .store(&mut self.machine, page * 4096 + 8 * index, value);
        }
    }

    fn address(script: &mut Script<'_>) -> u64 {
        match script.u8() % 16 {
            0 => script.u64(),
            1 => u64::from(script.u16()),
            place => {
                (u64::from(script.u8()) % (PAGES + 1)) * 4096
                    + if place.is_multiple_of(4) {
                        8 * u64::from(script.u8() % 16)
                    } else {
                        0
                    }
            }
        }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let mut registers = Registers {
            rax: 0,
            rcx: Self::address(script),
            rdx: Self::address(script),
            r8: u64::from(script.u8() % 4),
        };
        let number = u32::from(script.u8() % 10);
        CoreProtocol {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
            area: &mut self.area,
            processors: &mut self.dispatcher.processors,
            caller: None,
            spoken: &[Spoken {
                protocol: 10,
                oldest: 1,
                newest: 1,
            }],
        }
        .serve(number, &mut registers);
        assert!(
            Code::of_rax(registers.rax).is_some(),
            "no code: {:#x}",
            registers.rax
        );
        if let Some(area) = self.area {
            let _ = area.take(&mut self.machine, &self.ledger);
        }
    }

    /// The hypervisor has a processor run from a page, or stops one.
    fn run(&mut self, script: &mut Script<'_>) {
        if script.u8().is_multiple_of(2) {
            let frame = frame(u64::from(script.u8()) % PAGES);
            match self.machine.enter(frame) {
                None => {}
                Some(level) => {
                    assert_eq!(level, Vmpl::OPERATING_SYSTEM, "a processor runs at another level");
                    self.running.push(frame);
                }
            }
        } else if let Some(frame) = self.running.pop() {
            let registers = [
                (word::RAX, u64::from(script.u8() % 10)),
                (word::RCX, Self::address(script)),
            ];
            let exit_code = if script.u8().is_multiple_of(4) {
                0x60
            } else {
                VMGEXIT
            };
            self.machine.leave(frame, exit_code, &registers);
        }
    }

    /// The monitor looks whether a processor calls.
    fn take(&mut self, script: &mut Script<'_>) {
        let id = u32::from(script.u8() % 3);
        let mut pages = PagesAlone {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
        };
        self.dispatcher.serve(&mut pages, id);
    }

    fn check(&mut self) {
        assert!(
            !self.machine.has_stopped(),
            "the monitor has touched what is not there"
        );
        for secret in self.secret {
            assert_eq!(self.machine.words(secret)[0], SECRET, "a page in use was changed");
            assert!(self.system.load(&self.machine, secret.address()).is_err());
        }
        for number in 0..PAGES {
            let frame = frame(number);
            let below = [Vmpl::Two, Vmpl::Three].map(|level| self.machine.permissions(frame, level));
            assert!(
                self.ledger.is_of_system(frame) || below == [Permissions::NONE; 2],
                "page {number} is not the operating system's, and it reaches it"
            );
            let (is_state, runs) = self.machine.state(frame);
            assert_eq!(is_state, self.ledger.is_state(frame), "page {number}");
            assert!(is_state || !runs, "a processor runs from page {number}");
            assert!(!is_state || level_of(&self.machine, frame) == 2, "page {number}");
        }
    }
}

fn frame(number: u64) -> Frame {
    Frame::at(number * 4096).unwrap()
}
