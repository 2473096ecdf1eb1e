//! Lends what a run borrows from the data path to objects of Python, which know no lifetimes: for the time of
//! the run, and to the thread that runs the handler alone. Whatever is asked later, or elsewhere, raises
//! `RuntimeError`.
#![allow(
    unsafe_code,
    reason = "Python's objects cannot carry the lifetimes of what a run borrows"
)]

use hacher_libos_net::{Input, Output};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread::ThreadId;

/// What is told of a call that comes too late.
pub(crate) const RUN_IS_OVER: &str = "the run is over: what a handler is given is valid until it returns";

/// Something that is lent, as long as it is.
struct Lent<T> {
    /// The thread that runs the handler. No other touches the rest.
    owner: ThreadId,
    /// `None` after the run, and while a call is using it.
    at: Cell<Option<NonNull<T>>>,
    over: Cell<bool>,
}

// SAFETY: each method compares the thread first, so the cells and what they point to are used by the owner
// alone; `owner` does not change.
unsafe impl<T> Send for Lent<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Lent<T> {}

impl<T> Lent<T> {
    fn new(at: NonNull<T>) -> Self {
        Self {
            owner: std::thread::current().id(),
            at: Cell::new(Some(at)),
            over: Cell::new(false),
        }
    }

    /// Takes it for one call.
    fn using(&self) -> PyResult<Using<'_, T>> {
        if std::thread::current().id() != self.owner {
            return Err(PyRuntimeError::new_err(
                "input and output belong to the thread that runs the handler",
            ));
        }
        let at = self.at.take().ok_or_else(|| {
            PyRuntimeError::new_err(if self.over.get() {
                RUN_IS_OVER
            } else {
                "input and output take one call at a time"
            })
        })?;
        Ok(Using { lent: self, at })
    }

    fn end(&self) {
        self.over.set(true);
        self.at.set(None);
    }
}

/// Puts a pointer back when a call is over, however it ends.
struct Using<'l, T> {
    lent: &'l Lent<T>,
    at: NonNull<T>,
}

impl<T> Drop for Using<'_, T> {
    fn drop(&mut self) {
        self.lent.at.set(Some(self.at));
    }
}

/// The input of a run, lent.
pub(crate) struct LentInput(Lent<Input<'static>>);

impl LentInput {
    /// Uses the input.
    ///
    /// # Errors
    /// `RuntimeError` after the run, from another thread, and within another use.
    pub(crate) fn with<R>(&self, f: impl for<'i, 'r> FnOnce(&'i mut Input<'r>) -> R) -> PyResult<R> {
        let mut using = self.0.using()?;
        // SAFETY: `lend` has the only reference to it and waits; the cell is empty, so there is no second one
        // from here. Not by its type, but by `f`'s, the reference lives no longer than this call.
        Ok(f(unsafe { using.at.as_mut() }))
    }
}

/// The output of a run, lent.
pub(crate) struct LentOutput(Lent<Output<'static>>);

impl LentOutput {
    /// Uses the output.
    ///
    /// # Errors
    /// As [`LentInput::with`].
    pub(crate) fn with<R>(&self, f: impl for<'o, 'r> FnOnce(&'o mut Output<'r>) -> R) -> PyResult<R> {
        let mut using = self.0.using()?;
        // SAFETY: as in `LentInput::with`.
        Ok(f(unsafe { using.at.as_mut() }))
    }
}

/// Ends the loan, however the run ends.
struct Loan(Arc<LentInput>, Arc<LentOutput>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.0.end();
        self.1.0.end();
    }
}

/// Lends `input` and `output` to `f`, and to nobody after it.
pub(crate) fn lend<R>(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    f: impl FnOnce(&Arc<LentInput>, &Arc<LentOutput>) -> R,
) -> R {
    let loan = Loan(
        Arc::new(LentInput(Lent::new(NonNull::from(input).cast()))),
        Arc::new(LentOutput(Lent::new(NonNull::from(output).cast()))),
    );
    f(&loan.0, &loan.1)
}

/// Runs `f` without the interpreter's lock, on this thread. `f` may hold what no other thread may have, as it
/// is no other thread that runs it; it must not touch objects of Python.
pub(crate) fn unlocked<R: Send>(py: Python<'_>, f: impl FnOnce() -> R) -> R {
    /// Says of what it holds that it may be used without the lock.
    struct SameThread<F>(F);

    // SAFETY: `detach` calls its closure on the thread that it is called on, so nothing is sent anywhere. The
    // bound keeps objects of Python out, and callers do.
    unsafe impl<F> Send for SameThread<F> {}

    impl<R, F: FnOnce() -> R> SameThread<F> {
        fn call(self) -> R {
            (self.0)()
        }
    }

    let f = SameThread(f);
    py.detach(move || f.call())
}
