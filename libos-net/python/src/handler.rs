//! A handler: called in the form that its author chose; what it returns or raises becomes the end of its run.

use crate::body::Body;
use crate::failure::of_exception;
use crate::input::{self, Input};
use crate::lent::lend;
use crate::output::{self, Output, Told};
use crate::run::Run;
use hacher_libos_net as sdk;
use hacher_libos_net::{DEFAULT_PORT, Failure};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

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
                let run = Arc::new(Run::new(Arc::clone(input), Arc::clone(output)));
                // A panic of a native function comes back as one: PyO3 raises it as an exception below the
                // handler, and goes on with it here. The run ends all the same.
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    let ran = self.call(py, &run);
                    let failure = ran.as_ref().err().map(|error| {
                        let failure = of_exception(py, error);
                        clear_frames(py, error);
                        failure
                    });
                    (ran, failure)
                }));
                let ended = run.end(py);
                if let Err(error) = &ended {
                    of_exception(py, error); // logged, also where the handler has failed, too
                }
                let (ran, failure) = ran.unwrap_or_else(|panic| resume_unwind(panic));
                match (ended, failure) {
                    (_, Some(failure)) => (Err(failure), ran.err()),
                    (Ok(()), None) => (Ok(()), None),
                    (Err(error), None) => {
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
        output::send(py, run, DEFAULT_PORT, &Body::of(&returned)?, &Told::default())
    }
}

/// Has the frames that an exception and its causes passed through let go of what the handler had.
fn clear_frames(py: Python<'_>, error: &PyErr) {
    static CLEAR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let _ = CLEAR
        .import(py, "hacher._failure", "clear_frames")
        .and_then(|clear: &Bound<'_, PyAny>| clear.call1((error.value(py),)));
}

/// The run that the thread of the handler is in: the last 16 digits of the request, as the service names it,
/// and the attempt.
static CURRENT: Mutex<Option<(u64, u32)>> = Mutex::new(None);

/// Notes the run, for logs, as long as it takes; then the one that it is within, as tests run one in another.
struct Current(Option<(u64, u32)>);

impl Current {
    fn begin(input: &sdk::Input<'_>) -> Self {
        Self(set_current(Some((
            input.invocation().halves().0,
            input.attempt(),
        ))))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        set_current(self.0);
    }
}

fn set_current(run: Option<(u64, u32)>) -> Option<(u64, u32)> {
    std::mem::replace(&mut *CURRENT.lock().unwrap_or_else(PoisonError::into_inner), run)
}

/// The request and the attempt that are run, for logs; `None` between two runs.
#[pyfunction]
pub(crate) fn current_run() -> Option<(String, u32)> {
    let current = *CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.map(|(request, attempt)| (format!("{request:016x}"), attempt))
}
