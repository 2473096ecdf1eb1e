//! `run`: calls the handler; a panic in it becomes a failed attempt.

use super::failure::Failure;
use super::input::Input;
use super::output::Output;
use crate::own_process::last_words;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic in a handler becomes.
pub(crate) const PANICKED: Failure = Failure::retry("the handler panicked");

/// Runs `handler` once.
pub(crate) fn run_caught<H>(handler: &mut H, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    // Unwind safety: input and output are cleared before their next use. What a handler has half-changed of
    // its own state when it panics, its next run finds so: `serve` says that to authors.
    catch_unwind(AssertUnwindSafe(|| handler(input, output))).unwrap_or_else(|_| {
        last_words::caught();
        Err(PANICKED)
    })
}
