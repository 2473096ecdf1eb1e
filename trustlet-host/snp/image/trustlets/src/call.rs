//! The calls that a trustlet makes of the monitor (`hacher_snp::abi`).
#![allow(unsafe_code, reason = "the instruction that leads to the monitor")]

use core::arch::asm;
use hacher_snp::abi::{Handle, PRINT_MAX_BYTES, REFUSED, call};

/// Makes a call with these arguments.
///
/// # Safety
/// Where arguments are addresses, what the call writes there may be written.
pub unsafe fn raw(number: u64, [first, second, third]: [u64; 3]) -> u64 {
    let answer;
    // SAFETY: the caller's; the monitor gives all registers back as they were, but for RAX.
    unsafe {
        asm!(
            "int 0x80",
            inlateout("rax") number => answer,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            options(nostack),
        );
    }
    answer
}

/// A call that writes nothing to memory.
fn plain(number: u64, arguments: [u64; 3]) -> u64 {
    // SAFETY: whoever calls names calls that read memory or none.
    unsafe { raw(number, arguments) }
}

/// Ends the trustlet.
pub fn exit(code: u64) -> ! {
    loop {
        plain(call::EXIT, [code, 0, 0]);
    }
}

/// Text for people.
pub fn print(text: &str) {
    for chunk in text.as_bytes().chunks(PRINT_MAX_BYTES) {
        plain(call::PRINT, [chunk.as_ptr() as u64, chunk.len() as u64, 0]);
    }
}

/// Nanoseconds since the machine started.
#[must_use]
pub fn now_ns() -> u64 {
    plain(call::NOW, [0; 3])
}

/// Sleeps until the own bell rings, a message comes, or the time has come.
pub fn wait(until_ns: u64) {
    plain(call::WAIT, [until_ns, 0, 0]);
}

/// Rings a bell.
pub fn ring(number: u32) {
    plain(call::RING, [u64::from(number), 0, 0]);
}

/// Says something to the monitor; whether it was taken.
#[must_use]
pub fn say(message: &[u8]) -> bool {
    plain(call::SAY, [message.as_ptr() as u64, message.len() as u64, 0]) != REFUSED
}

/// Fills `bytes` at random; whether there was randomness.
#[must_use]
pub fn random(bytes: &mut [u8]) -> bool {
    // SAFETY: the call writes these bytes.
    let answer = unsafe { raw(call::RANDOM, [bytes.as_mut_ptr() as u64, bytes.len() as u64, 0]) };
    answer != REFUSED
}

/// Takes the next message; its bytes, and how many handles came beside it. `None` if there is none.
pub fn receive(message: &mut [u8], handles: &mut [Handle]) -> Option<(usize, usize)> {
    let (at, room, handles_at) = (message.as_mut_ptr(), message.len(), handles.as_mut_ptr());
    // SAFETY: the call writes no more than the longest message and the most handles, for which there is room.
    let answer = unsafe { raw(call::RECEIVE, [at as u64, room as u64, handles_at as u64]) };
    if answer == REFUSED || answer == 0 {
        return None;
    }
    let (len_bytes, count) = (answer & u64::from(u32::MAX), answer >> 32);
    Some((usize::try_from(len_bytes).ok()?, usize::try_from(count).ok()?))
}
