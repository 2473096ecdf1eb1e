//! Pages on their way round.

use super::*;
use crate::rmp::RmpError;
use crate::simulated::{Fault, Machine, Processor, Ring};

const SPACE: SpaceId = SpaceId(7);

/// A machine of 8 pages: the monitor has the first, the operating system the next four, the rest was not validated.
fn machine() -> (Machine, PageLedger) {
    let mut machine = Machine::new(8);
    machine.launch(machine.frame(0), Vmpl::MONITOR);
    for number in 1..5 {
        machine.launch(machine.frame(number), Vmpl::OPERATING_SYSTEM);
    }
    let ledger = PageLedger::new(0..8, &(0..1), |number| number < 5);
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
        (Purpose::Table(SPACE), Permissions::READ),
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
    let beyond = Frame::at(8 * 4096).unwrap();
    assert_eq!(ledger.accept(&mut machine, beyond), Err(Refused::NoSuchPage));
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
