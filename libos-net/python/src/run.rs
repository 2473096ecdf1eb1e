//! One run: the handler is called in the form that its author chose, and what it returns or raises becomes
//! the run's end.

use crate::body::Body;
use crate::failure::{of_exception, raised};
use crate::input::{self, Input};
use crate::lent::{LentInput, LentOutput, lend, unlocked};
use crate::output::{self, Output};
use crate::view::Views;
use hacher_libos_net as sdk;
use hacher_libos_net::{DEFAULT_PORT, Failure};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

    /// Takes back what views read. What still reads keeps the memory for good.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let ended = self.views.end(py);
        if ended.is_err() && self.lends.load(Ordering::Relaxed) {
            self.input
                .with(|input| std::mem::forget(input.replace_buffers()))?;
        }
        ended
    }
}

/// How a handler is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// With the body as `bytes`.
    Body,
    /// With the body as `memoryview`.
    View,
    /// With the body as `str`.
    Text,
    /// With the input.
    Input,
    /// With input and output; returns nothing.
    Both,
}

impl<'py> FromPyObject<'_, 'py> for Form {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(match object.extract::<String>()?.as_str() {
            "body" => Self::Body,
            "view" => Self::View,
            "text" => Self::Text,
            "input" => Self::Input,
            "both" => Self::Both,
            other => return Err(PyValueError::new_err(format!("no form of a handler: {other}"))),
        })
    }
}

/// A function of Python, and how it is called.
pub(crate) struct Handler {
    pub(crate) function: Py<PyAny>,
    pub(crate) form: Form,
}

impl Handler {
    /// One run. Has the interpreter's lock while the handler runs, and hands out what it raised, if anything.
    pub(crate) fn run(
        &self,
        mut input: sdk::Input<'_>,
        output: &mut sdk::Output<'_>,
    ) -> (Result<(), Failure>, Option<PyErr>) {
        let _current = Current::begin(&input);
        lend(&mut input, output, |input, output| {
            Python::attach(|py| {
                let run = Arc::new(Run {
                    input: Arc::clone(input),
                    output: Arc::clone(output),
                    views: Views::default(),
                    in_chunks: AtomicBool::new(false),
                    lends: AtomicBool::new(false),
                });
                let ran = self.call(py, &run);
                let failure = ran.as_ref().err().map(|error| of_exception(py, error));
                if failure.is_some() {
                    // The frames of the traceback hold what the handler had.
                    if let Some(error) = ran.as_ref().err() {
                        clear_frames(py, error);
                    }
                }
                match (run.end(py), failure) {
                    (_, Some(failure)) => (Err(failure), ran.err()),
                    (Ok(()), None) => (Ok(()), None),
                    (Err(error), None) => {
                        of_exception(py, &error);
                        let failure = Failure::permanent("a view of the body outlives its run");
                        (Err(failure), Some(error))
                    }
                }
            })
        })
    }

    fn call(&self, py: Python<'_>, run: &Arc<Run>) -> PyResult<()> {
        let function = self.function.bind(py);
        let returned = match self.form {
            Form::Body => function.call1((input::body(py, run)?,))?,
            Form::View => function.call1((input::view(py, run)?,))?,
            Form::Text => {
                let body = input::body(py, run)?;
                function.call1((body.call_method1("decode", ("utf-8",))?,))?
            }
            Form::Input => function.call1((Input::new(Arc::clone(run)),))?,
            Form::Both => {
                let returned = function.call1((Input::new(Arc::clone(run)), Output::new(Arc::clone(run))))?;
                if returned.is_none() {
                    return Ok(());
                }
                return Err(PyTypeError::new_err(
                    "a handler of input and output returns nothing: it sends by output",
                ));
            }
        };
        output::send(py, run, DEFAULT_PORT, &Body::of(&returned)?)
    }
}

fn clear_frames(py: Python<'_>, error: &PyErr) {
    if let Some(traceback) = error.traceback(py) {
        // Of a generator that runs on, frames stay as they are.
        let _ = py
            .import("traceback")
            .and_then(|module| module.call_method1("clear_frames", (traceback,)));
    }
}

/// The run that the thread of the handler is in: the last 16 digits of the request, as the service names it,
/// and the attempt.
static CURRENT: Mutex<Option<(u64, u32)>> = Mutex::new(None);

/// Notes the run, for logs, as long as it takes.
struct Current;

impl Current {
    fn begin(input: &sdk::Input<'_>) -> Self {
        set_current(Some((input.invocation().halves().0, input.attempt())));
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        set_current(None);
    }
}

fn set_current(run: Option<(u64, u32)>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = run;
}

/// The request and the attempt that are run, for logs; `None` between two runs.
#[pyfunction]
pub(crate) fn current_run() -> Option<(String, u32)> {
    let current = *CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.map(|(request, attempt)| (format!("{request:016x}"), attempt))
}
