//! Text on the first serial port.

use crate::port;
use core::fmt::{self, Write};

const DATA: u16 = 0x3f8;
const LINE_CONTROL: u16 = DATA + 3;
const LINE_STATUS: u16 = DATA + 5;
const ROOM: u8 = 1 << 5;
/// Looks for room before a byte is dropped: nobody who does not read stops the monitor.
const LOOKS_MAX: u32 = 1_000_000;

/// Sets the port up: 115,200 baud, 8 bits, no parity, no interrupts.
pub(crate) fn begin() {
    for (at, byte) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7)] {
        port::write(DATA + at, byte);
    }
    debug_assert!(port::read(LINE_CONTROL) == 3);
}

/// The port.
pub(crate) struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let has_room = (0..LOOKS_MAX).any(|_| port::read(LINE_STATUS) & ROOM != 0);
            if has_room {
                port::write(DATA, byte);
            }
        }
        Ok(())
    }
}

/// Says a line.
macro_rules! say {
    ($($words:tt)*) => {{
        use core::fmt::Write;
        // The port takes everything.
        let _ = writeln!($crate::serial::Serial, $($words)*);
    }};
}
pub(crate) use say;

/// Text of a trustlet, of which everything but visible characters is shown as a dot: it forges no line.
pub(crate) fn visible(text: &[u8]) -> alloc::string::String {
    let visible = |&byte: &u8| {
        if byte == b' ' || byte.is_ascii_graphic() {
            char::from(byte)
        } else {
            '.'
        }
    };
    text.iter().map(visible).collect()
}
