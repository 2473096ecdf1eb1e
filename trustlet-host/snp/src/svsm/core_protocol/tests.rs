//! Calls about memory, from an operating system that means well and from one that does not.

use super::*;
use crate::frame::Frame;
use crate::ledger::{Boot, Purpose, SpaceId};
use crate::rmp::{Permissions, Vmpl};
use crate::simulated::{Machine, Processor, Ring};
use crate::svsm::call::Call;

/// Page 0 is the monitor's, 1 to 9 are the system's, 10 to 15 were not validated.
struct Guest {
    machine: Machine,
    ledger: PageLedger,
    area: Option<CallingArea>,
    processors: VirtualProcessors,
    system: Processor,
}

/// The page that holds lists.
const LIST: u64 = 4096;

impl Guest {
    fn new() -> Self {
        let mut machine = Machine::new(16);
        machine.launch(machine.frame(0), Vmpl::MONITOR);
        for number in 1..10 {
            machine.launch(machine.frame(number), Vmpl::OPERATING_SYSTEM);
        }
        Self {
            machine,
            ledger: PageLedger::new(0..16, |number| match number {
                0 => Boot::Monitor,
                1..10 => Boot::System,
                _ => Boot::NotValidated,
            }),
            area: None,
            processors: VirtualProcessors::default(),
            system: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
        }
    }

    fn call(&mut self, number: u32, rcx: u64) -> (Option<Code>, u64) {
        let mut registers = Registers {
            rcx,
            ..Registers::default()
        };
        let mut protocol = CoreProtocol {
            hardware: &mut self.machine,
            ledger: &mut self.ledger,
            area: &mut self.area,
            processors: &mut self.processors,
            caller: None,
            spoken: &[Spoken {
                protocol: 10,
                oldest: 1,
                newest: 3,
            }],
        };
        protocol.serve(number, &mut registers);
        (Code::of_rax(registers.rax), registers.rcx)
    }

    fn write(&mut self, address: u64, words: &[u64]) {
        for (address, &word) in (address..).step_by(8).zip(words) {
            self.system.store(&mut self.machine, address, word).unwrap();
        }
    }

    fn read(&mut self, address: u64) -> u64 {
        self.system.load(&self.machine, address).unwrap()
    }

    /// Writes a list of these entries and makes the call; its answer, and how many entries were dealt with.
    fn call_with(&mut self, number: u32, entries: &[u64]) -> (Code, u64) {
        self.write(LIST, &[entries.len() as u64]);
        self.write(LIST + 8, entries);
        let (code, _) = self.call(number, LIST);
        (code.unwrap(), self.read(LIST) >> 16 & 0xffff)
    }
}

const fn page(number: u64) -> u64 {
    number * 4096
}

const VALIDATE: u64 = 1 << 2;
const IGNORE_UNCHANGED: u64 = 1 << 3;

#[test]
fn pages_come_and_go_and_are_lent_and_returned() {
    let mut guest = Guest::new();
    let entries = [page(10) | VALIDATE, page(11) | VALIDATE];
    assert_eq!(guest.call_with(number::VALIDATE, &entries), (Code::Success, 2));
    guest.write(page(10), &[77]);
    let entries = [page(10), page(3)];
    assert_eq!(guest.call_with(number::DEPOSIT, &entries), (Code::Success, 2));
    assert_eq!(guest.ledger.spare(), 2);
    assert_eq!(guest.call_with(number::WITHDRAW, &[0, 0, 0]), (Code::Success, 2));
    let mut back = [guest.read(LIST + 8), guest.read(LIST + 16)];
    back.sort_unstable();
    assert_eq!(back, [page(3), page(10)]);
    assert_eq!((guest.read(LIST + 24), guest.read(page(10))), (0, 0));
    assert_eq!(guest.call_with(number::VALIDATE, &[page(11)]), (Code::Success, 1));
    assert!(guest.system.load(&guest.machine, page(11)).is_err());
}

#[test]
fn a_list_goes_on_where_it_stopped() {
    let mut guest = Guest::new();
    let large = page(512) | 1;
    let entries = [page(10) | VALIDATE, large | VALIDATE, page(11) | VALIDATE];
    // As Linux expects it, which then comes with the small pages of the large one.
    assert_eq!(
        guest.call_with(number::VALIDATE, &entries),
        (Code::Protocol(6), 1)
    );
    guest.write(LIST, &[3 | 2 << 16]);
    let (code, _) = guest.call(number::VALIDATE, LIST);
    assert_eq!(code, Some(Code::Success));
    assert_eq!(guest.read(LIST), 3 | 3 << 16);
}

#[test]
fn pages_that_are_not_the_callers_stay_as_they_are() {
    let mut guest = Guest::new();
    guest.call_with(number::DEPOSIT, &[page(9)]);
    let purpose = Purpose::Private(SpaceId(1));
    let taken = guest.ledger.take(&mut guest.machine, purpose).unwrap();
    guest.machine.write(taken, 0, 0x5ec2e7);
    guest.machine.write(guest.machine.frame(0), 0, 0x5ec2e7);
    for own in [page(0), taken.address()] {
        for entry in [
            own,
            own | VALIDATE,
            own | VALIDATE | IGNORE_UNCHANGED,
            own | IGNORE_UNCHANGED,
        ] {
            assert_eq!(
                guest.call_with(number::VALIDATE, &[entry]),
                (Code::InvalidRequest, 0),
                "{entry:#x}"
            );
        }
        assert_eq!(
            guest.call_with(number::DEPOSIT, &[own]),
            (Code::InvalidRequest, 0)
        );
        // Nor is a list, or a calling area, looked for there.
        for number in [
            number::VALIDATE,
            number::DEPOSIT,
            number::WITHDRAW,
            number::REMAP_AREA,
        ] {
            assert_eq!(guest.call(number, own).0, Some(Code::InvalidAddress), "{number}");
        }
        let frame = Frame::at(own).unwrap();
        assert_eq!(guest.machine.words(frame)[0], 0x5ec2e7);
        assert_eq!(guest.machine.permissions(frame, Vmpl::Two), Permissions::NONE);
    }
}

#[test]
fn what_is_so_already_can_be_ignored() {
    let mut guest = Guest::new();
    guest.write(page(5), &[1]);
    assert_eq!(
        guest.call_with(number::VALIDATE, &[page(5) | VALIDATE]),
        (Code::InvalidRequest, 0)
    );
    let entry = page(5) | VALIDATE | IGNORE_UNCHANGED;
    assert_eq!(guest.call_with(number::VALIDATE, &[entry]), (Code::Success, 1));
    assert_eq!(guest.read(page(5)), 1);
    let entry = page(12) | IGNORE_UNCHANGED;
    assert_eq!(guest.call_with(number::VALIDATE, &[entry]), (Code::Success, 1));
    assert_eq!(
        guest.call_with(number::VALIDATE, &[page(12)]),
        (Code::InvalidRequest, 0)
    );
}

#[test]
fn a_long_list_is_dealt_with_in_parts() {
    let mut guest = Guest::new();
    let entries = [page(5) | VALIDATE | IGNORE_UNCHANGED; 40];
    assert_eq!(
        guest.call_with(number::VALIDATE, &entries),
        (Code::Incomplete, 32)
    );
    assert_eq!(guest.call(number::VALIDATE, LIST).0, Some(Code::Success));
    assert_eq!(guest.read(LIST), 40 | 40 << 16);
}

#[test]
fn lists_that_are_none_are_refused() {
    let mut guest = Guest::new();
    for (header, code) in [
        (0, Code::InvalidParameter),
        (1 | 1 << 16, Code::InvalidParameter),
        (512, Code::InvalidParameter),
        (0xffff, Code::InvalidParameter),
    ] {
        guest.write(LIST, &[header, page(10) | VALIDATE]);
        for number in [number::VALIDATE, number::DEPOSIT, number::WITHDRAW] {
            assert_eq!(guest.call(number, LIST).0, Some(code), "{header:#x}");
        }
    }
    // The last word of a page has no room for an entry.
    guest.write(LIST + 4088, &[1]);
    assert_eq!(
        guest.call(number::VALIDATE, LIST + 4088).0,
        Some(Code::InvalidParameter)
    );
    assert_eq!(
        guest.call(number::VALIDATE, LIST + 4).0,
        Some(Code::InvalidParameter)
    );
    assert_eq!(
        guest.call(number::VALIDATE, u64::MAX - 7).0,
        Some(Code::InvalidAddress)
    );
    assert_eq!(
        guest.call_with(number::VALIDATE, &[page(10) | 2]),
        (Code::InvalidParameter, 0)
    );
    assert_eq!(
        guest.call_with(number::VALIDATE, &[page(10) | 0x10]),
        (Code::InvalidFormat, 0)
    );
    assert_eq!(
        guest.call_with(number::VALIDATE, &[page(99) | VALIDATE]),
        (Code::InvalidAddress, 0)
    );
}

#[test]
fn a_list_that_gives_its_own_page_away_is_not_written_to() {
    let mut guest = Guest::new();
    guest.write(LIST, &[2, page(1), page(2)]);
    assert_eq!(guest.call(number::DEPOSIT, LIST).0, Some(Code::Success));
    assert_eq!(guest.ledger.spare(), 2);
    assert!(
        guest
            .machine
            .words(guest.machine.frame(1))
            .iter()
            .all(|&word| word == 0)
    );
}

#[test]
fn versions_are_asked_for() {
    let mut guest = Guest::new();
    let query =
        |guest: &mut Guest, protocol: u64, version: u64| guest.call(number::QUERY, protocol << 32 | version);
    assert_eq!(query(&mut guest, 0, 1), (Some(Code::Success), 1 << 32 | 1));
    assert_eq!(query(&mut guest, 0, 2), (Some(Code::Success), 0));
    assert_eq!(query(&mut guest, 10, 2), (Some(Code::Success), 3 << 32 | 1));
    assert_eq!(query(&mut guest, 11, 1), (Some(Code::Success), 0));
    assert_eq!(guest.call(number::CONFIGURE_VTOM, 1), (Some(Code::Success), 0));
    assert_eq!(
        guest.call(number::CONFIGURE_VTOM, 0).0,
        Some(Code::InvalidRequest)
    );
    assert_eq!(guest.call(8, 0).0, Some(Code::UnsupportedCall));
    assert_eq!(Call::of_rax(3).protocol, PROTOCOL);
}

#[test]
fn a_call_is_taken_once() {
    let mut guest = Guest::new();
    assert_eq!(
        guest.call(number::REMAP_AREA, page(6) + 16).0,
        Some(Code::Success)
    );
    let area = guest.area.unwrap();
    assert!(!area.take(&mut guest.machine, &guest.ledger));
    guest.write(page(6) + 16, &[0xab00_0000_0000_0001]);
    assert!(area.take(&mut guest.machine, &guest.ledger));
    assert_eq!(guest.read(page(6) + 16), 0xab00_0000_0000_0000);
    assert!(!area.take(&mut guest.machine, &guest.ledger));
    // Memory that can be withdrawn is said.
    guest.call_with(number::DEPOSIT, &[page(7)]);
    guest.write(page(6) + 16, &[1]);
    assert!(area.take(&mut guest.machine, &guest.ledger));
    assert_eq!(guest.read(page(6) + 16), 1 << 8);
    // An area on a page that was given away is nobody's.
    guest.call_with(number::DEPOSIT, &[page(6)]);
    assert!(!area.take(&mut guest.machine, &guest.ledger));
}
