//! What proves that all hops have read a payload.

use crate::subject::checksum;
use hacher_fabric::failed::Failed;

/// What a process says of a payload that it has read. The receipts of all hops are added up, so that the
/// caller sees whether each of them has read all of it.
pub(super) fn receipt(payload: &[u8]) -> u64 {
    checksum(payload).wrapping_add(1)
}

/// What the receipts of `hops` hops add up to.
pub(super) fn receipts(payload: &[u8], hops: u32) -> u64 {
    receipt(payload).wrapping_mul(u64::from(hops))
}

/// Whether a chain of this many hops can be measured.
pub(super) fn check_hops(hops: u32, processes: usize) -> Result<(), Failed> {
    if hops == 0 || usize::try_from(hops).is_ok_and(|hops| hops > processes) {
        return Err(Failed::new(format!(
            "a chain of {processes} processes cannot have {hops} hops"
        )));
    }
    Ok(())
}

/// A reply that is not what it must be.
pub(super) fn wrong_receipt() -> Failed {
    Failed::new("a baseline has not delivered the payload: its receipt is wrong")
}
