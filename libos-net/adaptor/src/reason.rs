//! Reasons of failures that are put together at run time, from numbers and short words, never from payload.

use std::sync::{Mutex, PoisonError};

/// Most different reasons of one process: each is kept for good.
const REASONS_MAX: usize = 256;
/// Longest one.
const REASON_MAX_BYTES: usize = 240;
const OTHER: &str = "the program failed in too many ways to name this one";

/// `reason` as text that stays, as a failure has it.
pub(crate) fn fixed(reason: &str) -> &'static str {
    static REASONS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    keep(&mut reasons, reason)
}

fn keep(reasons: &mut Vec<&'static str>, reason: &str) -> &'static str {
    let mut line = reason.replace(char::is_control, " ");
    line.truncate(line.floor_char_boundary(REASON_MAX_BYTES));
    if let Some(known) = reasons.iter().find(|known| **known == line) {
        return known;
    }
    if reasons.len() >= REASONS_MAX {
        return OTHER;
    }
    let kept: &'static str = Box::leak(line.into_boxed_str());
    reasons.push(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_kept_once_cut_to_its_bound_and_there_are_no_more_than_so_many() {
        let mut reasons = Vec::new();
        let first = keep(&mut reasons, "status 500\n");
        assert_eq!(first, "status 500 ");
        assert!(core::ptr::eq(first, keep(&mut reasons, "status 500\n")));
        assert_eq!(keep(&mut reasons, &"é".repeat(200)).len(), REASON_MAX_BYTES);
        for number in 0..REASONS_MAX {
            keep(&mut reasons, &number.to_string());
        }
        assert_eq!(reasons.len(), REASONS_MAX);
        assert_eq!(keep(&mut reasons, "one more"), OTHER);
        assert!(core::ptr::eq(first, keep(&mut reasons, "status 500\n")));
    }
}
