//! An area that others write to while the monitor does.

use super::*;
use crate::ledger::Boot;
use crate::rmp::{Adjustment, RmpError, Vmpl};
use crate::simulated::Machine;
use core::cell::RefCell;

/// What another processor of the caller's writes into bytes 2 to 7, each time after the monitor has read.
const WRITTEN: u64 = 0x0807_0605_0403_0000;

struct Shared(RefCell<Machine>);

impl Hardware for Shared {
    fn validate(&mut self, frame: Frame, valid: bool) -> Result<(), RmpError> {
        self.0.get_mut().validate(frame, valid)
    }

    fn adjust(&mut self, frame: Frame, adjustment: Adjustment) -> Result<(), RmpError> {
        self.0.get_mut().adjust(frame, adjustment)
    }

    fn mark_state(&mut self, frame: Frame, is_state: bool) -> Result<(), RmpError> {
        self.0.get_mut().mark_state(frame, is_state)
    }

    fn park(&mut self, frame: Frame) -> bool {
        self.0.get_mut().park(frame)
    }

    fn zero(&mut self, frame: Frame) {
        self.0.get_mut().zero(frame);
    }

    fn read(&self, frame: Frame, index: usize) -> u64 {
        let word = self.0.borrow().read(frame, index);
        self.0.borrow_mut().write(frame, index, word & 0xffff | WRITTEN);
        word
    }

    fn write(&mut self, frame: Frame, index: usize, word: u64) {
        self.0.get_mut().write(frame, index, word);
    }

    fn write_low(&mut self, frame: Frame, index: usize, bytes: u16) {
        self.0.get_mut().write_low(frame, index, bytes);
    }

    fn flush(&mut self) {
        self.0.get_mut().flush();
    }
}

#[test]
fn bytes_that_are_written_meanwhile_stay() {
    let mut machine = Machine::new(2);
    let frame = machine.frame(1);
    machine.launch(frame, Vmpl::OPERATING_SYSTEM);
    let ledger = PageLedger::new(0..2, |number| match number {
        0 => Boot::NoMemory,
        _ => Boot::System,
    });
    let area = CallingArea::at(&ledger, frame.address() + 16).unwrap();
    machine.write(frame, 2, 0xaaaa_aaaa_aaaa_ff01);
    let mut hardware = Shared(RefCell::new(machine));
    assert!(area.take(&mut hardware, &ledger));
    assert_eq!(hardware.0.get_mut().words(frame)[2], WRITTEN);
}
