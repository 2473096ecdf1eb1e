//! A way of calling a function.

use super::call::Call;
use crate::subject::Identity;
use hacher_fabric::failed::Failed;

/// A function that was started so that it can be called in one way. Its processes end when it is dropped.
pub trait Way {
    /// What it is.
    fn identity(&self) -> Identity;

    /// Calls it `samples` times, one after another; the checksum of its answer, which is the same each time.
    ///
    /// # Errors
    /// When a call fails, or answers something else than the one before it.
    fn call(&mut self, samples: u32, record: &mut dyn FnMut(Call)) -> Result<u64, Failed>;
}

/// The checksum of all answers of a series, which have to be the same.
#[derive(Debug, Default)]
pub(super) struct Answers(Option<u64>);

impl Answers {
    /// Notes one.
    pub(super) fn note(&mut self, checksum: u64) -> Result<(), Failed> {
        match self.0.replace(checksum) {
            Some(before) if before != checksum => {
                Err(Failed::new("a function does not always answer the same"))
            }
            _ => Ok(()),
        }
    }

    /// What they all were; 0 if there was none.
    pub(super) fn checksum(&self) -> u64 {
        self.0.unwrap_or(0)
    }
}

/// What a call was answered with that has no times behind it.
pub(super) fn no_times() -> Failed {
    Failed::new("the answer of a function does not say how long its handler took")
}
