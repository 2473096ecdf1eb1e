//! Lines on standard error, each written in one piece or not at all.
//!
//! Where standard error is the pipe to the [`crate::scribe`], its writing end does not block: a line that finds no room is
//! dropped and counted, so that a terminal that is stopped, or a reader that does not read, stops nobody. Elsewhere, in a
//! command that somebody waits for, a line waits as usual.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use rustix::io::{Errno, write};
use std::io::stderr;

/// The longest piece. Up to this size (`PIPE_BUF`, pipe(7)) a pipe takes all of a write or nothing, and nothing of another
/// writer comes in between.
pub const PIECE_MAX_BYTES: usize = 4096;

static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Those of [`DROPPED`] that no line has told of yet.
static UNTOLD: AtomicU64 = AtomicU64::new(0);

/// Writes a line, or several. Never fails: there is nobody else to tell.
pub fn say(message: fmt::Arguments<'_>) {
    let text = format!("{message}\n");
    let untold = UNTOLD.load(Ordering::Relaxed);
    if untold > 0 && !try_write(dropped_notice("", untold).as_bytes()) {
        return drop_lines(1);
    }
    UNTOLD.fetch_sub(untold, Ordering::Relaxed);
    for piece in pieces(&text, PIECE_MAX_BYTES) {
        if !try_write(piece.as_bytes()) {
            drop_lines(1);
        }
    }
}

/// A line that says that so many were dropped of what begins with `prefix`.
#[must_use]
pub fn dropped_notice(prefix: &str, count: u64) -> String {
    let lines = if count == 1 { "line was" } else { "lines were" };
    format!("{prefix}{count} {lines} dropped, because standard error was not read in time\n")
}

/// Messages of this process that were dropped.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_lines(count: u64) {
    DROPPED.fetch_add(count, Ordering::Relaxed);
    UNTOLD.fetch_add(count, Ordering::Relaxed);
}

/// Writes at most [`PIECE_MAX_BYTES`]; `false` if there is no room for them now. What can never be written, because nobody has
/// the other end, counts as written.
#[must_use]
pub fn try_write(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(stderr(), bytes) {
            Err(Errno::INTR) => {}
            Err(errno) => return errno != Errno::AGAIN,
            // Less than all only where standard error is no pipe.
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    true
}

/// The text in pieces of at most `max_bytes`, cut behind a newline where there is one.
pub fn pieces(mut text: &str, max_bytes: usize) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        let mut end = text.len().min(max_bytes);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if end < text.len()
            && let Some(newline) = text.get(..end)?.rfind('\n')
        {
            end = newline + 1;
        }
        let (piece, rest) = text.split_at_checked(end)?;
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text_and_end_with_lines() {
        let text = "first\nsecond is longer\nthird: öööööö\n";
        let found: Vec<&str> = pieces(text, 12).collect();
        assert_eq!(found.concat(), text);
        assert_eq!(found.first(), Some(&"first\n"));
        assert!(found.iter().all(|piece| piece.len() <= 12));
        assert_eq!(pieces("", 12).next(), None);
    }
}
