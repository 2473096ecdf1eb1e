//! `hacher.testing`: runs a handler without any fabric, by the harness of the Rust SDK and its rules.

use crate::handler::{Form, Handler};
use crate::lent::unlocked;
use hacher_libos_net::{Cause, Failure, harness};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Mutex;
use std::time::Duration;

/// One call of a handler, in the making.
#[pyclass(frozen, subclass, module = "hacher.testing")]
pub(crate) struct Call(Mutex<Option<harness::Call>>);

impl Call {
    fn take(&self) -> PyResult<harness::Call> {
        let taken = self.0.lock().ok().and_then(|mut call| call.take());
        taken.ok_or_else(|| PyRuntimeError::new_err("a call is run once"))
    }

    fn change(
        this: PyRef<'_, Self>,
        f: impl FnOnce(harness::Call) -> harness::Call,
    ) -> PyResult<PyRef<'_, Self>> {
        let changed = f(this.take()?);
        if let Ok(mut call) = this.0.lock() {
            *call = Some(changed);
        }
        Ok(this)
    }
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A name that a chain file could have.
fn name(text: &str) -> PyResult<&str> {
    if (1..=63).contains(&text.len()) {
        return Ok(text);
    }
    Err(PyValueError::new_err("a name has 1 to 63 bytes"))
}

#[pymethods]
impl Call {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Some(harness::Call::new())))
    }

    /// The body of a single record, from `ingress`.
    fn body<'p>(this: PyRef<'p, Self>, body: &[u8]) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.body(body))
    }

    /// A record from a port of `function`; several make a join.
    #[pyo3(signature = (function, body, port="out"))]
    fn input<'p>(
        this: PyRef<'p, Self>,
        function: &str,
        body: &[u8],
        port: &str,
    ) -> PyResult<PyRef<'p, Self>> {
        let (function, port) = (name(function)?, name(port)?);
        Self::change(this, |call| call.input_on(function, port, body))
    }

    /// A record that `function` gave up, from its port `error`, with the headers that say so.
    #[pyo3(signature = (function, body, reason="", attempts=1))]
    fn error_input<'p>(
        this: PyRef<'p, Self>,
        function: &str,
        body: &[u8],
        reason: &str,
        attempts: u32,
    ) -> PyResult<PyRef<'p, Self>> {
        let function = name(function)?;
        Self::change(this, |call| {
            call.error_input(function, Cause::Failed, reason, attempts, body)
        })
    }

    /// Has the record that was added last arrive in pieces of this size.
    fn segment_bytes(this: PyRef<'_, Self>, len_bytes: usize) -> PyResult<PyRef<'_, Self>> {
        if len_bytes == 0 {
            return Err(PyValueError::new_err("a segment of a body has at least one byte"));
        }
        Self::change(this, |call| call.segment_bytes(len_bytes))
    }

    /// Has the sender of the record that was added last give up before its end.
    fn breaks_off(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        Self::change(this, harness::Call::breaks_off)
    }

    /// Adds a header to the record that was added last.
    fn header<'p>(this: PyRef<'p, Self>, name: &str, value: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.header(name, value))
    }

    /// Says what the record that was added last is.
    fn content_type<'p>(this: PyRef<'p, Self>, value: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.content_type(value))
    }

    /// The method of the client's request; `POST` unless said otherwise.
    fn method<'p>(this: PyRef<'p, Self>, method: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.method(method))
    }

    /// The path of the client's request, below `/chains/NAME`.
    fn path<'p>(this: PyRef<'p, Self>, path: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.path(path))
    }

    /// The query of the client's request, encoded.
    fn query<'p>(this: PyRef<'p, Self>, query: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.query(query))
    }

    /// What the chain's route has captured.
    fn capture<'p>(this: PyRef<'p, Self>, name: &str, value: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.capture(name, value))
    }

    /// The output ports, instead of the one port `out`.
    #[pyo3(signature = (*names))]
    fn ports<'p>(this: PyRef<'p, Self>, names: Vec<String>) -> PyResult<PyRef<'p, Self>> {
        let names = names
            .iter()
            .map(|text| name(text))
            .collect::<PyResult<Vec<_>>>()?;
        Self::change(this, |call| call.ports(&names))
    }

    /// Says that a reader of this port does not stream.
    fn held<'p>(this: PyRef<'p, Self>, port: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.held(port))
    }

    /// Bounds the records that leave at once.
    fn outbox_bytes(this: PyRef<'_, Self>, len_bytes: u64) -> PyResult<PyRef<'_, Self>> {
        Self::change(this, |call| call.outbox_bytes(len_bytes))
    }

    /// Gives the handler a secret.
    fn secret<'p>(this: PyRef<'p, Self>, key: &str, value: &[u8]) -> PyResult<PyRef<'p, Self>> {
        let key = name(key)?;
        Self::change(this, |call| call.secret(key, value))
    }

    /// Sets a variable that `Input.env` reads; `os.environ` does not have it.
    fn env<'p>(this: PyRef<'p, Self>, name: &str, value: &str) -> PyResult<PyRef<'p, Self>> {
        Self::change(this, |call| call.env(name, value))
    }

    /// Which attempt this is.
    fn attempt(this: PyRef<'_, Self>, attempt: u32) -> PyResult<PyRef<'_, Self>> {
        Self::change(this, |call| call.attempt(attempt))
    }

    /// How long the request may still take.
    fn deadline(this: PyRef<'_, Self>, seconds: f64) -> PyResult<PyRef<'_, Self>> {
        let deadline = duration(seconds)?;
        Self::change(this, |call| call.deadline(deadline))
    }

    /// How long this attempt may take.
    fn timeout(this: PyRef<'_, Self>, seconds: f64) -> PyResult<PyRef<'_, Self>> {
        let timeout = duration(seconds)?;
        Self::change(this, |call| call.timeout(timeout))
    }

    /// Makes `is_cancelled` answer `True`, once the handler has asked `looks` times.
    #[pyo3(signature = (looks=0))]
    fn cancelled(this: PyRef<'_, Self>, looks: u32) -> PyResult<PyRef<'_, Self>> {
        Self::change(this, |call| call.cancelled_after(looks))
    }

    /// Runs `function` in its form; `hacher.testing` finds out which that is.
    fn _run(&self, py: Python<'_>, function: Py<PyAny>, form: Form) -> PyResult<Reply> {
        let call = self.take()?;
        let handler = Handler { function, form };
        let mut exception = None;
        let reply = unlocked(py, || {
            call.run(|input, output| {
                let (result, raised) = handler.run(input, output);
                exception = raised;
                result
            })
        });
        Ok(Reply { reply, exception })
    }
}

/// What a handler did.
#[pyclass(frozen, module = "hacher.testing")]
pub(crate) struct Reply {
    reply: harness::Reply,
    exception: Option<PyErr>,
}

#[pymethods]
impl Reply {
    #[getter]
    fn reason(&self) -> Option<&'static str> {
        self.reply.failure().map(|failure| failure.reason())
    }

    #[getter]
    fn is_transient(&self) -> Option<bool> {
        self.reply
            .failure()
            .map(|failure: Failure| failure.is_transient())
    }

    #[getter]
    fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let exception = self.exception.as_ref()?;
        Some(exception.value(py).clone().into_any().unbind())
    }

    #[pyo3(signature = (name="out"))]
    fn port(&self, name: &str) -> Option<Record> {
        self.reply.port(name).map(Record::of)
    }

    #[pyo3(signature = (name="out"))]
    fn partial(&self, name: &str) -> Option<Record> {
        self.reply.partial(name).map(Record::of)
    }
}

/// A record that a handler wrote.
#[pyclass(frozen, module = "hacher.testing")]
pub(crate) struct Record {
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    status: u16,
    segments: usize,
}

impl Record {
    fn of(record: &harness::Record) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            body: record.body().to_vec(),
            headers: record.headers().map(owned).collect(),
            status: record.status(),
            segments: record.segments(),
        }
    }
}

#[pymethods]
impl Record {
    /// The body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.body)
    }

    /// All headers, names in lower case.
    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.headers.clone()
    }

    /// The first value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        let found = self.headers.iter().find(|(found, _)| *found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What the handler says the body is.
    #[getter]
    fn content_type(&self) -> Option<&str> {
        self.header("content-type")
    }

    /// The status of the reply that the record makes.
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    /// How many segments it left in.
    #[getter]
    fn segments(&self) -> usize {
        self.segments
    }
}
