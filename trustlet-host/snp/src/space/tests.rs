//! What trustlets reach, through page tables and the reverse map.

use super::*;
use crate::ledger::Boot;
use crate::rmp::Vmpl;
use crate::simulated::{ENCRYPTED, Fault, Machine, Processor, Ring};

const HERE: u64 = 0x4000_0000;

/// A machine all of whose pages but the first are spare.
fn machine(pages: usize) -> (Machine, PageLedger) {
    let mut machine = Machine::new(pages);
    machine.launch(machine.frame(0), Vmpl::MONITOR);
    let mut ledger = PageLedger::new(0..pages as u64, |number| match number {
        0 => Boot::Monitor,
        _ => Boot::System,
    });
    for number in 1..pages {
        let frame = machine.frame(number);
        machine.launch(frame, Vmpl::OPERATING_SYSTEM);
        ledger.deposit(&mut machine, frame).unwrap();
    }
    (machine, ledger)
}

fn space(machine: &mut Machine, ledger: &mut PageLedger, id: u32) -> (Space, Processor) {
    let space = Space::new(machine, ledger, SpaceId(id), ENCRYPTED).unwrap();
    let ring = Ring::User { cr3: space.cr3() };
    (space, Processor::new(Vmpl::TRUSTLETS, ring))
}

#[test]
fn a_trustlet_reaches_what_was_mapped_as_it_was_mapped() {
    let (mut machine, mut ledger) = machine(16);
    let (mut space, mut processor) = space(&mut machine, &mut ledger, 1);
    let private = ledger.take(&mut machine, Purpose::Private(SpaceId(1))).unwrap();
    let code = ledger.take(&mut machine, Purpose::Code).unwrap();
    machine.write(code, 0, 0x90);
    let mut map = |address, frame, access| space.map(&mut machine, &mut ledger, address, frame, access);
    map(HERE, private, Access::Write).unwrap();
    map(HERE + 4096, code, Access::Execute).unwrap();
    processor.store(&mut machine, HERE + 16, 5).unwrap();
    assert_eq!(processor.load(&machine, HERE + 16), Ok(5));
    assert_eq!(machine.words(private)[2], 5);
    assert_eq!(processor.fetch(&machine, HERE + 4096), Ok(0x90));
    assert_eq!(processor.fetch(&machine, HERE), Err(Fault::PageTable));
    assert_eq!(
        processor.store(&mut machine, HERE + 4096, 0),
        Err(Fault::PageTable)
    );
    assert_eq!(processor.load(&machine, HERE + 8192), Err(Fault::PageTable));
    assert_eq!(processor.load(&machine, 0), Err(Fault::PageTable));
    assert_eq!(processor.load(&machine, 1 << 47), Err(Fault::Privilege));
}

#[test]
fn a_region_is_written_by_one_and_read_by_others() {
    let (mut machine, mut ledger) = machine(24);
    let (mut one, mut writes) = space(&mut machine, &mut ledger, 1);
    let (mut other, mut reads) = space(&mut machine, &mut ledger, 2);
    let writer = Some(SpaceId(1));
    let region = ledger.take(&mut machine, Purpose::Region { writer }).unwrap();
    let forbidden = other.map(&mut machine, &mut ledger, HERE, region, Access::Write);
    assert_eq!(forbidden, Err(NotMapped::Forbidden));
    let executed = one.map(&mut machine, &mut ledger, HERE, region, Access::Execute);
    assert_eq!(executed, Err(NotMapped::Forbidden));
    one.map(&mut machine, &mut ledger, HERE, region, Access::Write)
        .unwrap();
    other
        .map(&mut machine, &mut ledger, HERE, region, Access::Read)
        .unwrap();
    writes.store(&mut machine, HERE, 11).unwrap();
    assert_eq!(writes.load(&machine, HERE), Ok(11));
    assert_eq!(reads.load(&machine, HERE), Ok(11));
    assert_eq!(reads.store(&mut machine, HERE, 12), Err(Fault::PageTable));
    // The next writer gets it when the one before has it no more, whoever reads it.
    assert_eq!(ledger.set_writer(region, Some(SpaceId(2))), Err(Refused::Mapped));
    assert_eq!(one.unmap(&mut machine, &mut ledger, HERE), Some(region));
    assert_eq!(
        writes.store(&mut machine, HERE, 12),
        Err(Fault::PageTable),
        "remembered nowhere"
    );
    assert_eq!(other.unmap(&mut machine, &mut ledger, HERE), Some(region));
    ledger.set_writer(region, Some(SpaceId(2))).unwrap();
    other
        .map(&mut machine, &mut ledger, HERE, region, Access::Write)
        .unwrap();
    let forbidden = one.map(&mut machine, &mut ledger, HERE, region, Access::Write);
    assert_eq!(forbidden, Err(NotMapped::Forbidden));
}

#[test]
fn nothing_is_mapped_that_was_taken_for_something_else() {
    let (mut machine, mut ledger) = machine(16);
    let (mut space, _) = space(&mut machine, &mut ledger, 1);
    let code = ledger.take(&mut machine, Purpose::Code).unwrap();
    let others = ledger.take(&mut machine, Purpose::Private(SpaceId(2))).unwrap();
    let table = ledger.take(&mut machine, Purpose::Table(SpaceId(1))).unwrap();
    let (monitors, spare) = (machine.frame(0), machine.frame(1));
    for frame in [others, table, monitors, spare] {
        for access in [Access::Read, Access::Write, Access::Execute] {
            let mapped = space.map(&mut machine, &mut ledger, HERE, frame, access);
            assert_eq!(mapped, Err(NotMapped::Forbidden), "{frame:?} {access:?}");
        }
    }
    let written = space.map(&mut machine, &mut ledger, HERE, code, Access::Write);
    assert_eq!(written, Err(NotMapped::Forbidden));
    for address in [0, HERE + 8, ADDRESS_END, !0xfff] {
        let mapped = space.map(&mut machine, &mut ledger, address, code, Access::Read);
        assert_eq!(mapped, Err(NotMapped::Address(address)));
    }
    space
        .map(&mut machine, &mut ledger, HERE, code, Access::Read)
        .unwrap();
    let again = space.map(&mut machine, &mut ledger, HERE, code, Access::Read);
    assert_eq!(again, Err(NotMapped::Occupied(HERE)));
}

#[test]
fn the_end_of_a_space_gives_its_pages_back_and_leaves_those_of_others() {
    let (mut machine, mut ledger) = machine(24);
    let before = ledger.spare();
    let (mut one, mut processor) = space(&mut machine, &mut ledger, 1);
    let region = ledger
        .take(&mut machine, Purpose::Region { writer: None })
        .unwrap();
    for (place, access) in [
        (0, Access::Write),
        (1 << 39, Access::Read),
        (1 << 21, Access::Write),
    ] {
        let frame = ledger.take(&mut machine, Purpose::Private(SpaceId(1))).unwrap();
        one.map(&mut machine, &mut ledger, HERE + place, frame, access)
            .unwrap();
    }
    one.map(&mut machine, &mut ledger, HERE + 4096, region, Access::Read)
        .unwrap();
    processor.store(&mut machine, HERE, 3).unwrap();
    one.end(&mut machine, &mut ledger).unwrap();
    assert!(processor.load(&machine, HERE).is_err());
    assert_eq!(ledger.spare(), before - 1, "all but the region");
    ledger.release(&mut machine, region).unwrap();
    assert_eq!(ledger.spare(), before);
}

#[test]
fn a_space_without_memory_for_its_tables_is_left_as_it_was() {
    let (mut machine, mut ledger) = machine(6);
    let (mut one, _) = space(&mut machine, &mut ledger, 1);
    let code = ledger.take(&mut machine, Purpose::Code).unwrap();
    one.map(&mut machine, &mut ledger, HERE, code, Access::Read)
        .unwrap();
    assert_eq!(ledger.spare(), 0);
    let mapped = one.map(&mut machine, &mut ledger, 1 << 40, code, Access::Read);
    assert_eq!(mapped, Err(NotMapped::Refused(Refused::NoMemory)));
    assert_eq!(one.at(1 << 40), None);
    one.end(&mut machine, &mut ledger).unwrap();
    ledger.release(&mut machine, code).unwrap();
    assert_eq!(ledger.spare(), 5);
}
