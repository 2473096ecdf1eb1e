//! Failures on their way through Python: those of the SDK become exceptions, and exceptions become failures.

use hacher_libos_net::Failure;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::sync::{Mutex, PoisonError};

/// Longest reason that travels.
const REASON_MAX_BYTES: usize = 240;
/// Most different reasons of one process: each is kept for good.
const REASONS_MAX: usize = 256;
const OTHER: &str = "the handler raised an exception";

/// `hacher.Retry` or `hacher.Permanent`, with a reason of the SDK, which may travel.
pub(crate) fn raised(py: Python<'_>, failure: Failure) -> PyErr {
    static RETRY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static PERMANENT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = if failure.is_transient() {
        RETRY.import(py, "hacher._failure", "Retry")
    } else {
        PERMANENT.import(py, "hacher._failure", "Permanent")
    };
    let made = class.and_then(|class| {
        let exception = class.call1((failure.reason(),))?;
        exception.setattr("_is_fixed", true)?;
        Ok(PyErr::from_value(exception))
    });
    made.unwrap_or_else(|error| error)
}

/// Logs what a handler raised, and says what becomes of the run.
pub(crate) fn of_exception(py: Python<'_>, error: &PyErr) -> Failure {
    static JUDGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Before Python 3.12 the traceback stands apart from the exception until somebody catches it.
    if let Some(traceback) = error.traceback(py) {
        let _ = error.value(py).setattr("__traceback__", traceback);
    }
    let judged = JUDGE
        .import(py, "hacher._failure", "judge")
        .and_then(|judge: &Bound<'_, PyAny>| judge.call1((error.value(py),)))
        .and_then(|judged| judged.extract::<(bool, Bound<'_, PyAny>)>());
    // A name that is no UTF-8, of a class that was made at run time, says nothing of the run.
    let text = |reason: Bound<'_, PyAny>| reason.extract::<String>().map_or(OTHER, |text| fixed(&text));
    match judged {
        Ok((true, reason)) => Failure::retry(text(reason)),
        Ok((false, reason)) => Failure::permanent(text(reason)),
        // As when there is no memory left for it.
        Err(_) => Failure::retry(OTHER),
    }
}

/// `reason` as text that stays. What comes here is a name of a class, a literal of the author's, or the
/// SDK's, so there are few.
fn fixed(reason: &str) -> &'static str {
    static REASONS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
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
