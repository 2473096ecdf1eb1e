//! Virtual processors that are made, called from and ended; and what an operating system tries with them.

use super::*;
use crate::ledger::Boot;
use crate::rmp::{Permissions, Vmpl};
use crate::simulated::{Machine, Processor, Ring};
use crate::svsm::Call;
use crate::svsm::core_protocol::{CoreProtocol, number};

const FEATURES: u64 = 0b1001;
const STATE: u64 = 3 * 4096;
const AREA: u64 = 4 * 4096 + 8;
const ID: u32 = 5;

/// Page 0 is the monitor's, 1 to 9 are the system's, the others were not validated.
struct Guest {
    machine: Machine,
    ledger: PageLedger,
    processors: VirtualProcessors,
    system: Processor,
}

impl Guest {
    fn new() -> Self {
        let mut machine = Machine::new(12);
        machine.launch(machine.frame(0), Vmpl::MONITOR);
        for number in 1..10 {
            machine.launch(machine.frame(number), Vmpl::OPERATING_SYSTEM);
        }
        let ledger = PageLedger::new(0..12, |number| match number {
            0 => Boot::Monitor,
            1..10 => Boot::System,
            _ => Boot::NotValidated,
        });
        Self {
            machine,
            ledger,
            processors: VirtualProcessors::new(vec![ID, 6], FEATURES),
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
        self.serve(number, &mut registers, &mut None);
        Code::of_rax(registers.rax).unwrap()
    }

    fn serve(&mut self, number: u32, registers: &mut Registers, area: &mut Option<CallingArea>) {
        CoreProtocol {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
            area,
            processors: &mut self.processors,
            spoken: &[],
        }
        .serve(number, registers);
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
    let query = Call {
        protocol: 0,
        number: number::QUERY,
    };
    let registers = [(word::RAX, query.rax()), (word::RCX, 1), (word::RDX, 77)];
    assert!(
        guest
            .processors
            .take_call(&mut guest.machine, &guest.ledger, ID)
            .is_none(),
        "nobody looks at registers of a processor that runs"
    );
    guest.machine.leave(state(), &registers);
    let mut call = guest
        .processors
        .take_call(&mut guest.machine, &guest.ledger, ID)
        .unwrap();
    assert_eq!(guest.machine.enter(state()), None, "it is parked meanwhile");
    let number = Call::of_rax(call.registers.rax).number;
    let (mut area, mut registers) = (call.area, call.registers);
    guest.serve(number, &mut registers, &mut area);
    (call.area, call.registers) = (area, registers);
    guest.processors.answer(&mut guest.machine, &guest.ledger, &call);
    let words = guest.machine.words(state());
    assert_eq!(
        [words[word::RAX], words[word::RCX], words[word::RDX]],
        [0, 1 << 32 | 1, 77]
    );
    // No other call waits, and it runs again.
    assert!(
        guest
            .processors
            .take_call(&mut guest.machine, &guest.ledger, ID)
            .is_none()
    );
    assert_eq!(guest.machine.enter(state()), Some(Vmpl::Two));

    assert_eq!(guest.delete(), Code::Protocol(3), "it runs");
    guest.machine.leave(state(), &[]);
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
        (99 * 4096, AREA, id, Code::InvalidAddress),
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
    assert_eq!(guest.call(create, 7 * 4096, AREA, u64::from(ID)), Code::Busy);
    assert_eq!(
        guest.call(number::DELETE_PROCESSOR, 5 * 4096, 0, 0),
        Code::Success
    );
    assert_eq!(guest.call(create, 7 * 4096, AREA, u64::from(ID)), Code::Success);
    // The newest is the one that calls.
    let newest = guest.machine.frame(7);
    guest.write(AREA, 1);
    let call = guest.processors.take_call(&mut guest.machine, &guest.ledger, ID);
    assert_eq!(call.unwrap().state, newest);
}

#[test]
fn a_caller_that_ends_itself_gets_no_answer() {
    let mut guest = Guest::new();
    guest.write_state(STATE, 2, SVME, FEATURES);
    assert_eq!(guest.create(), Code::Success);
    guest.write(AREA, 1);
    let mut call = guest
        .processors
        .take_call(&mut guest.machine, &guest.ledger, ID)
        .unwrap();
    assert_eq!(guest.delete(), Code::Success);
    call.registers.rax = 0x5ec2e7;
    guest.processors.answer(&mut guest.machine, &guest.ledger, &call);
    assert_ne!(guest.machine.words(state())[word::RAX], 0x5ec2e7);
    assert_eq!(guest.machine.words(state())[word::EFER] & SVME, 0);
}
