//! `run`: calls the handler; a panic in it becomes a failed attempt.

use super::failure::Failure;
use super::input::Input;
use super::output::Output;
use crate::own_process::last_words;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic in a handler becomes.
pub(crate) const PANICKED: Failure = Failure::retry("the handler panicked");

/// Runs `handler` once.
pub(crate) fn run_caught<H>(handler: &H, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure>
where
    H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    // Unwind safety: input and output are cleared before their next use, and `handler` is `Fn`, so what it
    // leaves half-changed behind a panic is behind its own interior mutability.
    catch_unwind(AssertUnwindSafe(|| handler(input, output))).unwrap_or_else(|_| {
        last_words::caught();
        Err(PANICKED)
    })
}
