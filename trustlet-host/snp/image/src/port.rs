//! Ports of the machine (`in`, `out`), and the one that ends it.
#![allow(unsafe_code, reason = "instructions")]

use core::arch::asm;

/// Where QEMU's `isa-debug-exit` is.
const EXIT: u16 = 0xf4;

/// Writes a byte to a port.
pub(crate) fn write(port: u16, byte: u8) {
    // SAFETY: ports of devices that the monitor owns; none of them writes memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte from a port.
pub(crate) fn read(port: u16) -> u8 {
    let byte;
    // SAFETY: as in `write`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack, preserves_flags)) }
    byte
}

/// Ends the machine: QEMU exits with twice the code plus one.
pub(crate) fn exit(code: u8) -> ! {
    write(EXIT, code);
    loop {
        // Where there is no such device.
        // SAFETY: interrupts are off, so nothing comes after.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}
