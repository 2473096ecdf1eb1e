//! Bodies as `memoryview`s over the memory that they were opened into, without a copy. That memory is used
//! again for the next record, so a view ends with its run: it is released then, and reading it raises
//! `ValueError`. What was made of it (slices, arrays) cannot be taken back; a run that leaves any behind
//! fails, and the memory is never used again.
#![allow(
    unsafe_code,
    reason = "a memoryview over memory of ours is made by the C API alone"
)]

use crate::lent::RUN_IS_OVER;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A view that was given out, and what it shares with all that is made of it.
struct Given {
    view: Py<PyAny>,
    /// CPython's own keeper of the memory: each memoryview over it, slices too, holds a reference.
    keeper: Py<PyAny>,
}

/// The views that a run has given out.
#[derive(Default)]
pub(crate) struct Views(Mutex<State>);

#[derive(Default)]
struct State {
    given: Vec<Given>,
    /// Whether the run is over: no view is given out any more.
    closed: bool,
}

/// `PyBUF_READ`.
const READ: c_int = 0x100;
/// References to the keeper when nothing but the view itself is left: the view's, and ours.
const KEEPER_REFS: isize = 2;

impl Views {
    /// A view over `bytes`, which stay where they are until [`Self::end`]; or, if the interpreter does not
    /// tell who shares a view, over a copy.
    pub(crate) fn over<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if bytes.is_empty() {
            return self.over_object(&PyBytes::new(py, bytes));
        }
        let len = ffi::Py_ssize_t::try_from(bytes.len())?;
        let start = bytes.as_ptr().cast_mut().cast();
        // SAFETY: the memory is there until `end` has seen that nobody reads it any more, or is given up for
        // good. It is not written to in between: a view is made of a body that has arrived whole.
        let made = unsafe { ffi::PyMemoryView_FromMemory(start, len, READ) };
        // SAFETY: a new reference, or null with an exception set.
        let view = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
        match self.give(view)? {
            Some(view) => Ok(view),
            None => self.over_object(&PyBytes::new(py, bytes)),
        }
    }

    /// A view over an object, which it keeps.
    pub(crate) fn over_object<'py>(&self, object: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        // SAFETY: any object may be given.
        let made = unsafe { ffi::PyMemoryView_FromObject(object.as_ptr()) };
        // SAFETY: as above.
        let view = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
        let fallback = view.clone();
        Ok(self.give(view)?.unwrap_or(fallback))
    }

    /// Notes a view; `None` if its keeper is not to be had, and then nobody has seen the view.
    fn give<'py>(&self, view: Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let referents = view.py().import("gc")?.call_method1("get_referents", (&view,))?;
        let keeper = referents.cast_into::<PyList>().ok().and_then(|referents| {
            let own = referents.iter().filter(|found| is_keeper(found));
            let mut own = own.collect::<Vec<_>>();
            own.pop().filter(|_| own.is_empty())
        });
        let Some(keeper) = keeper else { return Ok(None) };
        let given = Given {
            view: view.clone().unbind(),
            keeper: keeper.unbind(),
        };
        let mut state = self.state();
        if state.closed {
            drop(state); // before what is dropped next, which may run code of the handler's
            return Err(PyRuntimeError::new_err(RUN_IS_OVER));
        }
        state.given.push(given);
        drop(state);
        Ok(Some(view))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases all views; an error if something made of one is still there, which may read its memory at any
    /// time.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        // Closed first: what is released below runs callbacks and finalizers of the handler's, which may ask
        // for another view.
        let mut given = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.given)
        };
        given.retain(|given| !given.release(py));
        if given.is_empty() {
            return Ok(());
        }
        // Circles of objects keep what they hold until they are looked for.
        py.import("gc")?.call_method0("collect")?;
        given.retain(|given| !given.release(py));
        if given.is_empty() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "a view of the body, or what was made of it, outlives its run: keep bytes(view) instead",
        ))
    }
}

impl Given {
    /// Whether nobody can read by it any more.
    fn release(&self, py: Python<'_>) -> bool {
        if self.view.call_method0(py, "release").is_err() {
            return false; // an array has the view's own buffer
        }
        // SAFETY: an object that is alive, as this holds a reference.
        let refs = unsafe { ffi::Py_REFCNT(self.keeper.as_ptr()) };
        refs <= KEEPER_REFS
    }
}

/// Whether it is what memoryviews share; other referents are what the view was made of.
fn is_keeper(object: &Bound<'_, PyAny>) -> bool {
    object.get_type().name().is_ok_and(|name| name == "managedbuffer")
}
