//! Pages on their way round.

use super::*;
use crate::simulated::{Fault, Machine, Processor, Ring};

const SPACE: SpaceId = SpaceId(7);

/// A machine of 8 pages: the monitor has the first, the operating system the next four, the rest was not
/// validated.
fn machine() -> (Machine, PageLedger) {
    let mut machine = Machine::new(8);
    machine.launch(machine.frame(0), Vmpl::MONITOR);
    for number in 1..5 {
        machine.launch(machine.frame(number), Vmpl::OPERATING_SYSTEM);
    }
    let ledger = PageLedger::new(0..8, |number| match number {
        0 => Boot::Monitor,
        1..5 => Boot::System,
        7 => Boot::NoMemory,
        _ => Boot::NotValidated,
    });
    (machine, ledger)
}

fn system() -> Processor {
    Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System)
}

#[test]
fn a_page_that_is_deposited_is_taken_from_the_system_and_emptied() {
    let (mut machine, mut ledger) = machine();
    let frame = machine.frame(2);
    let mut system = system();
    system.store(&mut machine, frame.address() + 8, 42).unwrap();
    let below = Adjustment {
        level: Vmpl::Three,
        permissions: Permissions::READ,
    };
    machine.rmpadjust(Vmpl::Two, frame, below).unwrap().unwrap();
    ledger.deposit(&mut machine, frame).unwrap();
    assert_eq!(system.load(&machine, frame.address()), Err(Fault::ReverseMap));
    for level in [Vmpl::One, Vmpl::Two, Vmpl::Three] {
        assert_eq!(machine.permissions(frame, level), Permissions::NONE, "{level:?}");
    }
    assert!(machine.words(frame).iter().all(|&word| word == 0));
    assert_eq!((ledger.spare(), ledger.is_of_system(frame)), (1, false));
    assert_eq!(ledger.deposit(&mut machine, frame), Err(Refused::InUse));
}

#[test]
fn what_is_taken_can_be_done_with_it_at_the_level_of_trustlets_and_no_more() {
    let (mut machine, mut ledger) = machine();
    for (purpose, permissions) in [
        (Purpose::Table(SPACE), Permissions::READ.and(Permissions::WRITE)),
        (Purpose::Private(SPACE), Permissions::READ.and(Permissions::WRITE)),
        (
            Purpose::Region { writer: None },
            Permissions::READ.and(Permissions::WRITE),
        ),
        (Purpose::Code, Permissions::READ.and(Permissions::EXECUTE_USER)),
    ] {
        let lent = machine.frame(3);
        ledger.deposit(&mut machine, lent).unwrap();
        let frame = ledger.take(&mut machine, purpose).unwrap();
        assert_eq!(machine.permissions(frame, Vmpl::TRUSTLETS), permissions);
        assert_eq!(machine.permissions(frame, Vmpl::Two), Permissions::NONE);
        assert_eq!(ledger.purpose(frame), Some(purpose));
        ledger.release(&mut machine, frame).unwrap();
        assert_eq!(machine.permissions(frame, Vmpl::TRUSTLETS), Permissions::NONE);
        assert_eq!(ledger.withdraw(&mut machine).unwrap(), Some(frame));
    }
    assert_eq!(ledger.take(&mut machine, Purpose::Code), Err(Refused::NoMemory));
}

#[test]
fn what_trustlets_wrote_does_not_get_out() {
    let (mut machine, mut ledger) = machine();
    let lent = machine.frame(1);
    ledger.deposit(&mut machine, lent).unwrap();
    let frame = ledger.take(&mut machine, Purpose::Private(SPACE)).unwrap();
    machine.write(frame, 5, 0x5ec2e7);
    ledger.release(&mut machine, frame).unwrap();
    assert!(machine.words(frame).iter().all(|&word| word == 0));
    assert_eq!(ledger.withdraw(&mut machine).unwrap(), Some(frame));
    assert_eq!(system().load(&machine, frame.address() + 40), Ok(0));
}

#[test]
fn a_page_in_use_is_nobodys_to_name() {
    let (mut machine, mut ledger) = machine();
    let lent = machine.frame(1);
    ledger.deposit(&mut machine, lent).unwrap();
    let taken = ledger.take(&mut machine, Purpose::Private(SPACE)).unwrap();
    ledger.mapped(taken, true).unwrap();
    assert_eq!(ledger.release(&mut machine, taken), Err(Refused::Mapped));
    let (own, systems) = (machine.frame(0), machine.frame(2));
    for frame in [own, taken] {
        assert_eq!(ledger.deposit(&mut machine, frame), Err(Refused::InUse));
        assert_eq!(ledger.accept(&mut machine, frame), Err(Refused::InUse));
        assert_eq!(ledger.rescind(&mut machine, frame), Err(Refused::InUse));
    }
    assert_eq!(ledger.release(&mut machine, own), Err(Refused::NotTaken));
    assert_eq!(ledger.release(&mut machine, systems), Err(Refused::NotTaken));
    assert_eq!(ledger.set_writer(taken, None), Err(Refused::NotTaken));
    assert_eq!(ledger.set_writer(systems, None), Err(Refused::NotTaken));
    let hole = machine.frame(7);
    for nothing in [Frame::at(8 * 4096).unwrap(), hole] {
        assert_eq!(ledger.accept(&mut machine, nothing), Err(Refused::NoSuchPage));
        assert_eq!(ledger.deposit(&mut machine, nothing), Err(Refused::NoSuchPage));
    }
    ledger.unmapped(taken, true);
    ledger.release(&mut machine, taken).unwrap();
}

#[test]
fn a_page_that_comes_new_is_empty_before_the_system_has_it() {
    let (mut machine, mut ledger) = machine();
    let (new, monitors) = (machine.frame(6), machine.frame(0));
    machine.write(monitors, 1, 0x5ec2e7);
    // The hypervisor puts the memory of a page of the monitor's in its place.
    machine.exchange(new, monitors);
    ledger.accept(&mut machine, new).unwrap();
    assert!(!machine.has_stopped());
    assert_eq!(system().load(&machine, new.address() + 8), Ok(0));
    // The monitor finds that its own page is not what it validated.
    machine.read(monitors, 1);
    assert!(machine.has_stopped());
}

#[test]
fn a_page_that_was_validated_already_is_not_taken_in() {
    let (mut machine, mut ledger) = machine();
    let frame = machine.frame(5);
    // As if somebody had validated it behind the ledger's back.
    machine.pvalidate(Vmpl::Zero, frame, true).unwrap().unwrap();
    assert_eq!(
        ledger.accept(&mut machine, frame),
        Err(Refused::Processor(RmpError::Unchanged))
    );
    assert_eq!(machine.permissions(frame, Vmpl::Two), Permissions::NONE);
    assert!(ledger.is_lost(frame));
    assert_eq!(ledger.accept(&mut machine, frame), Err(Refused::InUse));
}

/// A machine on which the operating system looks at a page whenever it may have been given something.
struct Watched {
    machine: Machine,
    system: Processor,
    seen: Vec<u64>,
    /// Adjustments until one is refused.
    refuses_in: usize,
    /// A page that is refused.
    refuses_at: Option<Frame>,
}

impl Watched {
    const fn new(machine: Machine, refuses_in: usize) -> Self {
        Self {
            machine,
            system: Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System),
            seen: Vec::new(),
            refuses_in,
            refuses_at: None,
        }
    }
}

impl Hardware for Watched {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        self.machine.validate(frame, valid)
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        if self.refuses_in == 0 || self.refuses_at == Some(frame) {
            return Err(RmpError::Permission);
        }
        self.refuses_in -= 1;
        let adjusted = self.machine.adjust(frame, adjustment);
        let word = self.system.load(&self.machine, frame.address() + 8);
        self.seen.extend(word);
        adjusted
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        self.machine.mark_state(frame, is_state)
    }

    fn park(&mut self, frame: Frame) -> bool {
        self.machine.park(frame)
    }

    fn zero(&mut self, frame: Frame) {
        self.machine.zero(frame);
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        self.machine.read(frame, index)
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        self.machine.write(frame, index, word);
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        self.machine.write_low(frame, index, bytes);
    }

    fn flush(&mut self) {
        self.machine.flush();
    }
}

#[test]
fn what_was_in_a_page_is_gone_before_it_is_given() {
    let (mut machine, mut ledger) = machine();
    let (new, monitors) = (machine.frame(6), machine.frame(0));
    machine.write(monitors, 1, 0x5ec2e7);
    machine.exchange(new, monitors);
    let mut watched = Watched::new(machine, usize::MAX);
    ledger.accept(&mut watched, new).unwrap();
    assert_eq!(watched.seen, [0], "read as soon as it was given, and empty");
}

#[test]
fn a_page_whose_change_the_processor_refuses_is_nobodys_for_ever() {
    for refuses_in in 0..4 {
        let (machine, mut ledger) = machine();
        let frame = machine.frame(3);
        let mut watched = Watched::new(machine, refuses_in);
        let refused = Refused::Processor(RmpError::Permission);
        assert_eq!(ledger.deposit(&mut watched, frame), Err(refused));
        assert!(ledger.is_lost(frame) && ledger.spare() == 0);
        watched.refuses_in = usize::MAX;
        assert_eq!(ledger.deposit(&mut watched, frame), Err(Refused::InUse));
        assert_eq!(ledger.rescind(&mut watched, frame), Err(Refused::InUse));
        assert_eq!(ledger.release(&mut watched, frame), Err(Refused::NotTaken));
    }
    let (mut machine, mut ledger) = machine();
    let frame = machine.frame(3);
    ledger.deposit(&mut machine, frame).unwrap();
    let mut watched = Watched::new(machine, 0);
    assert!(ledger.take(&mut watched, Purpose::Private(SPACE)).is_err());
    assert!(ledger.is_lost(frame) && ledger.spare() == 0 && ledger.purpose(frame).is_none());
    let (machine, mut ledger) = self::machine();
    let (frame, mut watched) = (machine.frame(6), Watched::new(machine, 0));
    assert!(ledger.accept(&mut watched, frame).is_err());
    assert!(ledger.is_lost(frame) && !ledger.is_of_system(frame));
}

#[test]
fn a_page_that_has_left_comes_back_empty() {
    let (mut machine, mut ledger) = machine();
    let frame = machine.frame(4);
    let mut system = system();
    system.store(&mut machine, frame.address(), 9).unwrap();
    ledger.rescind(&mut machine, frame).unwrap();
    assert_eq!(system.load(&machine, frame.address()), Err(Fault::NotValidated));
    assert_eq!(ledger.deposit(&mut machine, frame), Err(Refused::InUse));
    ledger.accept(&mut machine, frame).unwrap();
    assert_eq!(system.load(&machine, frame.address()), Ok(0));
}

/// A machine of 8 pages, of which the hypervisor lets nobody write to page 5 and 6; and of these the first is
/// known to be so.
fn with_firmware() -> (Machine, PageLedger) {
    let (mut machine, _) = machine();
    let ledger = PageLedger::new(0..8, |number| match number {
        0 => Boot::Monitor,
        1..5 => Boot::System,
        5 => Boot::ReadOnly,
        _ => Boot::NotValidated,
    });
    for number in [5, 6] {
        machine.forbid_writing(machine.frame(number));
    }
    (machine, ledger)
}

#[test]
fn memory_that_cannot_be_written_is_the_systems_to_read_and_it_may_validate_it() {
    let (mut machine, mut ledger) = with_firmware();
    let frame = machine.frame(5);
    assert_eq!(ledger.accept(&mut machine, frame), Err(Refused::NoSuchPage));
    let secret = machine.frame(0);
    ledger.adopt_read_only(&mut machine, [secret]).unwrap();
    for _ in 0..2 {
        ledger.accept(&mut machine, frame).unwrap();
    }
    let mut system = system();
    assert!(system.load(&machine, frame.address()).is_ok());
    assert!(system.fetch(&machine, frame.address()).is_ok());
    assert!(system.store(&mut machine, frame.address(), 1).is_err());
    assert!(!machine.has_stopped(), "nothing was written there");
    // It is nothing that the monitor would write to.
    assert!(!ledger.is_of_system(frame));
    assert_eq!(ledger.deposit(&mut machine, frame), Err(Refused::InUse));
    assert_eq!(ledger.lend_state(&mut machine, frame, 1), Err(Refused::InUse));
    // It may leave, and does not come back: it could not be emptied.
    ledger.rescind(&mut machine, frame).unwrap();
    assert!(system.load(&machine, frame.address()).is_err());
    assert_eq!(ledger.accept(&mut machine, frame), Err(Refused::NoSuchPage));
    assert!(!machine.has_stopped());
}

#[test]
fn the_simulated_machine_stops_a_monitor_that_empties_what_cannot_be_written() {
    let (mut machine, mut ledger) = with_firmware();
    let frame = machine.frame(6);
    let _ = ledger.accept(&mut machine, frame);
    assert!(machine.has_stopped());
}

#[test]
fn a_secret_behind_the_address_of_firmware_stays_one() {
    // Before the firmware is adopted: the page of the launch is missed.
    let (mut machine, mut ledger) = with_firmware();
    let (firmware, secret) = (machine.frame(5), machine.frame(0));
    machine.write(secret, 1, 0x5ec2e7);
    machine.exchange(firmware, secret);
    assert!(ledger.adopt_read_only(&mut machine, [secret]).is_err());
    assert!(machine.has_stopped());
    // Afterwards: the firmware is not validated again.
    let (mut machine, mut ledger) = with_firmware();
    ledger.adopt_read_only(&mut machine, []).unwrap();
    machine.write(secret, 1, 0x5ec2e7);
    machine.exchange(firmware, secret);
    ledger.accept(&mut machine, firmware).unwrap();
    let mut system = system();
    assert_eq!(
        system.load(&machine, firmware.address() + 8),
        Err(Fault::NotValidated)
    );
    // And once there may be secrets in the ledger's pages, none is adopted.
    let (mut machine, mut ledger) = with_firmware();
    let lent = machine.frame(2);
    ledger.deposit(&mut machine, lent).unwrap();
    assert_eq!(ledger.adopt_read_only(&mut machine, []), Err(Refused::InUse));
    assert!(system.reaches(&machine, firmware.address()).is_err());
}

#[test]
fn pages_are_shown_together_or_not_at_all() {
    let (mut machine, mut ledger) = machine();
    let mut taken = Vec::new();
    for number in 2..5 {
        let lent = machine.frame(number);
        ledger.deposit(&mut machine, lent).unwrap();
        let purpose = Purpose::Region { writer: None };
        taken.push(ledger.take(&mut machine, purpose).unwrap());
    }
    ledger.show(&mut machine, taken[0]).unwrap();
    // The third is refused; what the system had before, it keeps.
    let mut watched = Watched::new(machine, usize::MAX);
    watched.refuses_at = Some(taken[2]);
    assert!(ledger.show_all(&mut watched, &taken).is_err());
    let mut system = system();
    let reads = |system: &mut Processor, machine: &Machine| {
        let addresses = taken.iter().map(|frame| frame.address());
        addresses
            .map(|at| system.load(machine, at).is_ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(reads(&mut system, &watched.machine), [true, false, false]);
    assert_eq!(
        taken
            .iter()
            .map(|&frame| ledger.is_shown(frame))
            .collect::<Vec<_>>(),
        [true, false, false]
    );
    watched.refuses_at = None;
    ledger.show_all(&mut watched, &taken).unwrap();
    assert_eq!(reads(&mut system, &watched.machine), [true; 3]);
}
