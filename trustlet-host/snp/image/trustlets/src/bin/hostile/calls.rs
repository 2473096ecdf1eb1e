//! Calls that have to be refused.

use super::Given;
use super::memory::{ALL_MEMORY, MONITOR_CODE, MONITOR_DATA, NON_CANONICAL};
use hacher_snp::abi::{REFUSED, call};
use hacher_snp_trustlets::call::raw;
use hacher_snp_trustlets::start;

fn is_refused(number: u64, arguments: [u64; 3]) -> bool {
    // SAFETY: none: where a call that should be refused writes is found out by what becomes of it.
    unsafe { raw(number, arguments) == REFUSED }
}

/// Numbers that are no calls.
pub(crate) fn numbers() -> bool {
    let numbers = [
        8,
        9,
        10,
        255,
        1 << 16,
        1 << 31,
        1 << 32,
        (1 << 32) + 1,
        1 << 63,
        u64::MAX,
    ];
    numbers
        .into_iter()
        .all(|number| is_refused(number, [MONITOR_DATA, 8, 0]))
}

/// Pointers to what is not its own to write, and lengths that lead there.
pub(crate) fn pointers(given: &Given) -> bool {
    let (heap_at, heap_bytes) = start::heap();
    let heap_end = (heap_at + heap_bytes) as u64;
    let addresses = [
        0,
        8,
        MONITOR_CODE,
        MONITOR_DATA,
        ALL_MEMORY,
        NON_CANONICAL,
        NON_CANONICAL - 4,
        u64::MAX,
        u64::MAX - 7,
        heap_end,
        heap_end - 4,
        given.foreign.address,
        pointers as *const () as u64,
    ];
    let with_address = addresses.into_iter().all(|at| {
        [call::SAY, call::RANDOM, call::PRINT]
            .into_iter()
            .all(|number| is_refused(number, [at, 8, 0]))
    });
    let own = heap_at as u64;
    let lengths = [
        u64::MAX,
        u64::MAX - own,
        u64::MAX - own + 1,
        1 << 63,
        1 << 32,
        1 << 20,
    ];
    let with_length = lengths.into_iter().all(|len| {
        [call::SAY, call::RANDOM, call::PRINT]
            .into_iter()
            .all(|number| is_refused(number, [own, len, 0]))
    });
    // No message waits, so the answer may also be that there is none.
    let comes_to_nothing = |arguments| {
        // SAFETY: as in `is_refused`.
        let answer = unsafe { raw(call::RECEIVE, arguments) };
        answer == REFUSED || answer == 0
    };
    let receives = addresses
        .into_iter()
        .all(|at| comes_to_nothing([at, 1 << 20, own]) && comes_to_nothing([own, 1 << 20, at]));
    with_address && with_length && receives
}

/// Bells of others.
pub(crate) fn bells() -> bool {
    let numbers = [64, 1000, 1 << 32, 1 << 63, u64::MAX];
    numbers
        .into_iter()
        .all(|number| is_refused(call::RING, [number, 0, 0]))
}

/// What is no message. The monitor ends who says it.
pub(crate) fn messages() -> bool {
    let nonsense = [0xff_u8; 100];
    for len in [1, 7, 8, 100] {
        // SAFETY: the call reads these bytes.
        let _ = unsafe { raw(call::SAY, [nonsense.as_ptr() as u64, len, 0]) };
    }
    false
}

/// Calls without end.
pub(crate) fn spin() -> bool {
    loop {
        // SAFETY: the call has no arguments.
        let _ = unsafe { raw(call::NOW, [0; 3]) };
    }
}
