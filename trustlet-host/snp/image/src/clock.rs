//! Time since the machine started, by the time-stamp counter; and the timer that takes the processor from a
//! trustlet.

use crate::{port, processor};

/// The frequency of the timer (Intel 8254) in Hz.
const TIMER_HZ: u64 = 1_193_182;
/// Ticks of the timer between two interrupts: about a millisecond.
const TICKS_A_TURN: u16 = 1193;
/// Ticks of the timer that the counter is compared over: about 20 ms.
const TICKS_COMPARED: u16 = 23_864;
/// Looks at the timer before it counts as broken.
const LOOKS_MAX: u32 = 100_000_000;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const MODE: u16 = 0x43;
const GATE: u16 = 0x61;
const PIC: [u16; 2] = [0x20, 0xa0];

/// Where interrupts of devices are in the interrupt table.
pub(crate) const INTERRUPTS_AT: u64 = 0x20;

/// Tells the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: u64,
    counts_a_second: u64,
}

impl Clock {
    /// Compares the counter with the timer; `None` if one of them does not run.
    pub(crate) fn begin() -> Option<Self> {
        // Channel 2 counts down once when its gate opens; bit 5 of the gate's port says that it is through.
        port::write(GATE, port::read(GATE) & 0b1111_1100);
        port::write(MODE, 0b1011_0000);
        let [low, high] = TICKS_COMPARED.to_le_bytes();
        port::write(CHANNEL_2, low);
        port::write(CHANNEL_2, high);
        let began = processor::time_stamp();
        port::write(GATE, port::read(GATE) | 1);
        let mut looks = 0..LOOKS_MAX;
        looks.find(|_| port::read(GATE) & 1 << 5 != 0)?;
        let counts = processor::time_stamp().checked_sub(began)?;
        let counts_a_second = counts.checked_mul(TIMER_HZ)? / u64::from(TICKS_COMPARED);
        (counts_a_second > 0).then_some(Self {
            began,
            counts_a_second,
        })
    }

    /// Nanoseconds since the clock began.
    pub(crate) fn now_ns(self) -> u64 {
        let counts = processor::time_stamp().saturating_sub(self.began);
        let ns = u128::from(counts) * 1_000_000_000 / u128::from(self.counts_a_second);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Lets the timer interrupt every millisecond, and nothing else.
pub(crate) fn begin_turns() {
    for (pic, (at, line)) in PIC.into_iter().zip([(0x20, 4), (0x28, 2)]) {
        port::write(pic, 0x11);
        port::write(pic + 1, at);
        port::write(pic + 1, line);
        port::write(pic + 1, 1);
    }
    // All lines are masked but the timer's.
    port::write(PIC[0] + 1, 0xfe);
    port::write(PIC[1] + 1, 0xff);
    let [low, high] = TICKS_A_TURN.to_le_bytes();
    port::write(MODE, 0b0011_0100);
    port::write(CHANNEL_0, low);
    port::write(CHANNEL_0, high);
}

/// Says that the timer's interrupt was taken.
pub(crate) fn end_turn() {
    port::write(PIC[0], 0x20);
}
