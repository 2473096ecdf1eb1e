//! Virtual processors that are made, called from and ended; and what an operating system tries with them.

use super::*;
use crate::ledger::Boot;
use crate::rmp::{Permissions, Vmpl};
use crate::simulated::{Machine, Processor, Ring};
use crate::state::VMGEXIT;
use crate::svsm::core_protocol::{CoreProtocol, number};
use crate::svsm::dispatcher::{Dispatcher, PagesAlone};
use crate::svsm::{Call, Code};

const FEATURES: u64 = 0b1001;
const STATE: u64 = 3 * 4096;
const AREA: u64 = 4 * 4096 + 8;
const ID: u32 = 5;
const OTHER: u32 = 6;
/// `GUEST_EXIT_CODE` of a processor that took a physical interrupt.
const INTERRUPTED: u64 = 0x60;
/// Pages that the tests use, but for one at a multiple of 2 MiB.
const PAGES: u64 = 12;
const LARGE: usize = 512;

/// Page 0 is the monitor's, 1 to 9 are the system's, and so is one at a multiple of 2 MiB; the others were
/// not validated.
struct Guest {
    machine: Machine,
    ledger: PageLedger,
    dispatcher: Dispatcher,
    system: Processor,
}

impl Guest {
    fn new() -> Self {
        let mut machine = Machine::new(LARGE + 1);
        machine.launch(machine.frame(0), Vmpl::MONITOR);
        for number in (1..10).chain([LARGE]) {
            machine.launch(machine.frame(number), Vmpl::OPERATING_SYSTEM);
        }
        let ledger = PageLedger::new(0..LARGE as u64 + 1, |number| match number {
            0 => Boot::Monitor,
            1..10 => Boot::System,
            number if number == LARGE as u64 => Boot::System,
            PAGES.. => Boot::NoMemory,
            _ => Boot::NotValidated,
        });
        Self {
            machine,
            ledger,
            dispatcher: Dispatcher::new(VirtualProcessors::new(vec![ID, OTHER], FEATURES)),
            system: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
        }
    }

    fn write(&mut self, address: u64, word: u64) {
        self.system.store(&mut self.machine, address, word).unwrap();
    }

    /// Writes a state that would run at this level.
    fn write_state(&mut self, state: u64, level: u64, efer: u64, features: u64) {
        for (index, value) in [
            (word::LEVELS, level << 16),
            (word::EFER, efer),
            (word::FEATURES, features),
        ] {
            self.write(state + 8 * index as u64, value);
        }
    }

    fn call(&mut self, number: u32, rcx: u64, rdx: u64, r8: u64) -> Code {
        let mut registers = Registers {
            rcx,
            rdx,
            r8,
            ..Registers::default()
        };
        CoreProtocol {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
            area: &mut None,
            processors: &mut self.dispatcher.processors,
            caller: None,
            spoken: &[],
        }
        .serve(number, &mut registers);
        Code::of_rax(registers.rax).unwrap()
    }

    /// The processor with an id comes to the monitor's level; whether it had a call.
    fn comes(&mut self, id: u32) -> bool {
        let mut pages = PagesAlone {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
        };
        self.dispatcher.serve(&mut pages, id)
    }

    /// A processor runs from a state, sets registers and an area, and leaves for this reason.
    fn runs(&mut self, state: u64, area: u64, exit_code: u64, call: Call, rcx: u64) {
        let state = Frame::at(state).unwrap();
        assert_eq!(self.machine.enter(state), Some(Vmpl::Two));
        self.write(area, 1);
        let registers = [(word::RAX, call.rax()), (word::RCX, rcx), (word::RDX, 77)];
        self.machine.leave(state, exit_code, &registers);
    }

    /// RAX, RCX and RDX of a state.
    fn registers(&self, state: u64) -> [u64; 3] {
        let words = self.machine.words(Frame::at(state).unwrap());
        [words[word::RAX], words[word::RCX], words[word::RDX]]
    }

    fn create(&mut self) -> Code {
        self.call(number::CREATE_PROCESSOR, STATE, AREA, u64::from(ID))
    }

    fn delete(&mut self) -> Code {
        self.call(number::DELETE_PROCESSOR, STATE, 0, 0)
    }
}

fn state() -> Frame {
    Frame::at(STATE).unwrap()
}

const fn query() -> Call {
    Call {
        protocol: 0,
        number: number::QUERY,
    }
}

#[test]
fn a_processor_is_made_calls_is_answered_and_ends() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    guest.write(AREA, u64::MAX);
    assert_eq!(guest.create(), Code::Success);
    assert_eq!(
        guest.system.load(&guest.machine, AREA),
        Ok(0),
        "a new area is empty"
    );
    for level in [Vmpl::One, Vmpl::Two, Vmpl::Three] {
        assert_eq!(guest.machine.permissions(state(), level), Permissions::NONE);
    }
    assert!(guest.system.load(&guest.machine, STATE).is_err());

    // It runs, asks for a protocol's versions, and leaves.
    assert_eq!(guest.machine.enter(state()), Some(Vmpl::Two));
    assert_eq!(guest.machine.enter(state()), None, "it runs already");
    guest.write(AREA, 1);
    assert!(
        !guest.comes(ID),
        "nobody looks at registers of a processor that runs"
    );
    guest.machine.leave(state(), VMGEXIT, &[]);
    guest.write(AREA, 0);
    guest.runs(STATE, AREA, VMGEXIT, query(), 1);
    assert!(guest.comes(ID));
    assert_eq!(guest.registers(STATE), [0, 1 << 32 | 1, 77]);
    // No other call waits, and it runs again.
    assert!(!guest.comes(ID));
    assert_eq!(guest.machine.enter(state()), Some(Vmpl::Two));

    assert_eq!(guest.delete(), Code::Protocol(3), "it runs");
    guest.machine.leave(state(), VMGEXIT, &[]);
    assert_eq!(guest.delete(), Code::Success);
    assert_eq!(guest.machine.enter(state()), None);
    guest.write_state(STATE, 0, SVME, FEATURES);
    assert_eq!(guest.machine.enter(state()), None, "it is a page like others");
    assert_eq!(guest.delete(), Code::InvalidParameter);
}

#[test]
fn a_state_of_another_kind_stays_its_author_s_as_it_is() {
    for (level, efer, features) in [
        (0, SVME, FEATURES),
        (1, SVME, FEATURES),
        (3, SVME, FEATURES),
        (0x102, SVME, FEATURES ^ 1),
        (2, !SVME, FEATURES),
        (2, SVME, FEATURES | 2),
        (2, SVME, 0),
    ] {
        let mut guest = Guest::new();
        guest.write_state(STATE, level, efer, features);
        guest.write(STATE, 42);
        assert_eq!(
            guest.create(),
            Code::InvalidParameter,
            "{level} {efer:#x} {features}"
        );
        assert_eq!(guest.system.load(&guest.machine, STATE), Ok(42));
        assert!(guest.ledger.is_of_system(state()));
        assert_eq!(guest.machine.enter(state()), None);
        assert_eq!(guest.delete(), Code::InvalidParameter);
    }
}

#[test]
fn what_is_not_the_caller_s_becomes_no_processor() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    let create = number::CREATE_PROCESSOR;
    let id = u64::from(ID);
    for (rcx, rdx, r8, code) in [
        (0, AREA, id, Code::InvalidAddress),
        (10 * 4096, AREA, id, Code::InvalidAddress),
        (999 * 4096, AREA, id, Code::InvalidAddress),
        (STATE + 8, AREA, id, Code::InvalidAddress),
        (u64::MAX, AREA, id, Code::InvalidAddress),
        (STATE, 0, id, Code::InvalidAddress),
        (STATE, STATE + 8, id, Code::InvalidAddress),
        (STATE, AREA + 4, id, Code::InvalidAddress),
        (STATE, u64::MAX, id, Code::InvalidAddress),
        (STATE, AREA, 7, Code::InvalidParameter),
    ] {
        assert_eq!(guest.call(create, rcx, rdx, r8), code, "{rcx:#x} {rdx:#x} {r8}");
        assert!(guest.ledger.is_of_system(state()));
    }
    assert_eq!(guest.create(), Code::Success);
    // A state is no list, calling area or state, and is not lent.
    assert_eq!(guest.create(), Code::InvalidAddress);
    assert_eq!(guest.call(number::REMAP_AREA, STATE, 0, 0), Code::InvalidAddress);
    assert_eq!(guest.call(number::VALIDATE, STATE, 0, 0), Code::InvalidAddress);
    assert_eq!(
        guest.ledger.deposit(&mut guest.machine, state()),
        Err(crate::ledger::Refused::InUse)
    );
    assert_eq!(
        guest.ledger.rescind(&mut guest.machine, state()),
        Err(crate::ledger::Refused::InUse)
    );
}

#[test]
fn a_new_state_replaces_another_and_there_are_no_more_than_two() {
    let mut guest = Guest::new();
    for page in 5..8 {
        guest.write_state(page * 4096, 2, SVME, FEATURES);
    }
    let create = number::CREATE_PROCESSOR;
    assert_eq!(guest.call(create, 5 * 4096, AREA, u64::from(ID)), Code::Success);
    assert_eq!(guest.call(create, 6 * 4096, AREA, u64::from(ID)), Code::Success);
    // Linux would repeat a call that is answered with busy, for ever.
    let third = guest.call(create, 7 * 4096, AREA, u64::from(ID));
    assert_eq!(third, Code::InvalidRequest);
    assert_eq!(
        guest.call(number::DELETE_PROCESSOR, 5 * 4096, 0, 0),
        Code::Success
    );
    assert_eq!(guest.call(create, 7 * 4096, AREA, u64::from(ID)), Code::Success);
    // The newest is the one that calls.
    guest.runs(7 * 4096, AREA, VMGEXIT, query(), 1);
    assert!(guest.comes(ID));
    assert_eq!(guest.registers(7 * 4096), [0, 1 << 32 | 1, 77]);
}

#[test]
fn a_caller_that_ends_itself_gets_no_answer() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    assert_eq!(guest.create(), Code::Success);
    let delete = Call {
        protocol: 0,
        number: number::DELETE_PROCESSOR,
    };
    guest.runs(STATE, AREA, VMGEXIT, delete, STATE);
    assert!(guest.comes(ID));
    assert_eq!(guest.registers(STATE), [delete.rax(), STATE, 77]);
    assert_eq!(guest.machine.words(state())[word::EFER] & SVME, 0);
}

/// The hypervisor interrupts a caller that has set byte 0 and not yet asked for the monitor, and runs the
/// monitor itself. What is in the registers is a handler's, and would give a page away.
#[test]
fn registers_of_a_caller_that_was_interrupted_are_no_call() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    assert_eq!(guest.create(), Code::Success);
    let list = 5 * 4096;
    guest.write(list, 1);
    guest.write(list + 8, 6 * 4096);
    let deposit = Call {
        protocol: 0,
        number: number::DEPOSIT,
    };
    for exit_code in [INTERRUPTED, 0, 0x400, 0x72, VMGEXIT | 1 << 32, u64::MAX] {
        guest.runs(STATE, AREA, exit_code, deposit, list);
        assert!(!guest.comes(ID), "{exit_code:#x}");
        assert_eq!(guest.ledger.spare(), 0);
        assert_eq!(guest.registers(STATE), [deposit.rax(), list, 77]);
        let word = guest.system.load(&guest.machine, AREA);
        assert_eq!(word, Ok(1), "a byte that is cleared would count as an answer");
    }
    // It goes on to where it asks, and is answered.
    guest.runs(STATE, AREA, VMGEXIT, query(), 1);
    assert!(guest.comes(ID));
    assert_eq!(guest.registers(STATE), [0, 1 << 32 | 1, 77]);
}

#[test]
fn an_area_serves_one_processor() {
    let mut guest = Guest::new();
    for page in 5..8 {
        guest.write_state(page * 4096, 2, SVME, FEATURES);
    }
    let create = number::CREATE_PROCESSOR;
    let (id, other) = (u64::from(ID), u64::from(OTHER));
    assert_eq!(guest.call(create, 5 * 4096, AREA, id), Code::Success);
    assert_eq!(guest.call(create, 6 * 4096, AREA, other), Code::InvalidAddress);
    assert!(guest.ledger.is_of_system(Frame::at(6 * 4096).unwrap()));
    // As Linux does it: the new state of a processor has the area of the old one.
    assert_eq!(guest.call(create, 6 * 4096, AREA, id), Code::Success);
    assert_eq!(guest.call(create, 7 * 4096, AREA + 8, other), Code::Success);
    // Nor does it become so later.
    let remap = Call {
        protocol: 0,
        number: number::REMAP_AREA,
    };
    for (area, code) in [
        (AREA, Code::InvalidAddress),
        (AREA + 8, Code::Success),
        (AREA + 16, Code::Success),
    ] {
        guest.runs(7 * 4096, AREA + 8, VMGEXIT, remap, area);
        assert!(guest.comes(OTHER));
        assert_eq!(guest.registers(7 * 4096)[0], code.rax(), "{area:#x}");
    }
    guest.runs(7 * 4096, AREA + 8, VMGEXIT, query(), 1);
    assert!(!guest.comes(OTHER), "the old area is not looked at any more");
    guest.runs(7 * 4096, AREA + 16, VMGEXIT, query(), 1);
    assert!(guest.comes(OTHER));
}

#[test]
fn a_state_does_not_begin_a_page_of_2_mib() {
    let mut guest = Guest::new();
    let large = LARGE as u64 * 4096;
    guest.write_state(large, 2, SVME, FEATURES);
    let created = guest.call(number::CREATE_PROCESSOR, large, AREA, u64::from(ID));
    assert_eq!(created, Code::InvalidAddress);
    assert!(guest.ledger.is_of_system(Frame::at(large).unwrap()));
}

#[test]
fn other_protocols_are_not_spoken() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    assert_eq!(guest.create(), Code::Success);
    for protocol in [1, 2, 10, u32::MAX] {
        guest.runs(STATE, AREA, VMGEXIT, Call { protocol, number: 0 }, 1);
        assert!(guest.comes(ID));
        let unsupported = Code::UnsupportedProtocol.rax();
        assert_eq!(guest.registers(STATE), [unsupported, 1, 77]);
    }
    assert!(!guest.comes(OTHER), "it has no state");
}
