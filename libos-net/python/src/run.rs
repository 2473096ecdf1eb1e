//! What objects of Python hold of one run: its input and output, as long as they are lent, and the views that
//! were given out.

use crate::failure::raised;
use crate::lent::{LentInput, LentOutput, unlocked};
use crate::view::Views;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What objects of Python hold of a run.
pub(crate) struct Run {
    pub(crate) input: Arc<LentInput>,
    pub(crate) output: Arc<LentOutput>,
    pub(crate) views: Views,
    /// Whether the body is read, or has been read, in pieces.
    in_chunks: AtomicBool,
    /// Whether views read the memory of the SDK itself.
    lends: AtomicBool,
}

impl Run {
    pub(crate) fn new(input: Arc<LentInput>, output: Arc<LentOutput>) -> Self {
        Self {
            input,
            output,
            views: Views::default(),
            in_chunks: AtomicBool::new(false),
            lends: AtomicBool::new(false),
        }
    }

    /// Waits until the body of the one record has arrived.
    pub(crate) fn arrived(&self, py: Python<'_>) -> PyResult<()> {
        if self.in_chunks.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err(
                "the body was read in chunks, and what was read is held nowhere",
            ));
        }
        let arrived = self.input.with(|input| {
            if input.is_join() {
                // Says that a part has to be chosen.
                return input.bytes().map(drop);
            }
            unlocked(py, || match input.view()? {
                Some(_) => Ok(()),
                None => input.bytes().map(drop),
            })
        })?;
        arrived.map_err(|failure| raised(py, failure))
    }

    /// The body is read in pieces from now on; once in a run.
    pub(crate) fn begin_chunks(&self) -> PyResult<()> {
        if self.in_chunks.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err(
                "the body is read in chunks once: what was read is held nowhere",
            ));
        }
        Ok(())
    }

    pub(crate) fn lends_memory(&self) {
        self.lends.store(true, Ordering::Relaxed);
    }

    /// Takes back what views read. What still reads keeps the memory for good, also where this panics.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        let ended = catch_unwind(AssertUnwindSafe(|| self.views.end(py)));
        if !matches!(ended, Ok(Ok(()))) && self.lends.load(Ordering::Relaxed) {
            self.input
                .with(|input| std::mem::forget(input.replace_buffers()))?;
        }
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
