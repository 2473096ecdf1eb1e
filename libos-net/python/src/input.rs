//! `hacher.Input`: what a handler is given.

use crate::failure::raised;
use crate::lent::unlocked;
use crate::part::{Part, bytes_of, pairs, view_of};
use crate::run::Run;
use hacher_libos_net as sdk;
use hacher_libos_net::Failure;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use std::io::BufRead;
use std::sync::Arc;

/// The input of one run.
#[pyclass(frozen, module = "hacher")]
pub(crate) struct Input {
    run: Arc<Run>,
    /// The body, once it was asked for.
    body: PyOnceLock<Py<PyBytes>>,
}

impl Input {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            body: PyOnceLock::new(),
        }
    }

    fn with<R>(&self, f: impl for<'i, 'r> FnOnce(&'i mut sdk::Input<'r>) -> R) -> PyResult<R> {
        self.run.input.with(f)
    }

    fn text(
        &self,
        f: impl for<'i> FnOnce(&'i sdk::Input<'_>) -> Option<&'i str>,
    ) -> PyResult<Option<String>> {
        self.with(|input| f(input).map(str::to_owned))
    }

    /// The part for which `is_it` says so, if it is the only one.
    fn find(&self, is_it: impl Fn(&sdk::Part) -> bool) -> PyResult<Option<Part>> {
        let index = self.with(|input| {
            let mut found = (0..).zip(input.parts()).filter(|(_, part)| is_it(part));
            let (index, _) = found.next().filter(|_| found.next().is_none())?;
            Some(index)
        })?;
        Ok(index.map(|index: usize| Part {
            run: Arc::clone(&self.run),
            index,
        }))
    }
}

/// The body of the one record.
pub(crate) fn body<'py>(py: Python<'py>, run: &Run) -> PyResult<Bound<'py, PyBytes>> {
    run.arrived(py)?;
    let found = run
        .input
        .with(|input| input.parts().first().map(|part| bytes_of(py, part)))?;
    found.unwrap_or_else(|| Ok(PyBytes::new(py, &[])))
}

/// The body of the one record where it lies.
pub(crate) fn view<'py>(py: Python<'py>, run: &Run) -> PyResult<Bound<'py, PyAny>> {
    run.arrived(py)?;
    let found = run
        .input
        .with(|input| input.parts().first().map(|part| view_of(py, run, part)))?;
    found.unwrap_or_else(|| run.views.over_object(&PyBytes::new(py, &[])))
}

#[pymethods]
impl Input {
    /// The whole body of the record, waited for. Raises `Permanent` of a join, whose parts have bodies.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let made = self
            .body
            .get_or_try_init(py, || body(py, &self.run).map(Bound::unbind));
        // Also what is kept is not given after the run.
        self.with(|_| ())?;
        Ok(made?.bind(py).clone())
    }

    /// The whole body where it was opened, without a copy of it; over a mapped edge, a copy that is made
    /// once.
    ///
    /// It is released when the handler returns, and reading it then raises `ValueError`. A run fails for good
    /// if anything that was made of a view (a slice, an array) outlives it.
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        view(py, &self.run)
    }

    /// The body as it arrives, in pieces of up to 64 KiB, once in a run. What was read is held nowhere.
    fn chunks(&self) -> PyResult<Chunks> {
        self.run.begin_chunks()?;
        let position = self.with(|input| input.reader().position())?;
        Ok(Chunks {
            run: Arc::clone(&self.run),
            position: std::sync::Mutex::new(position),
        })
    }

    /// As `chunks()`.
    fn __iter__(&self) -> PyResult<Chunks> {
        self.chunks()
    }

    /// The method of the request, in upper case.
    #[getter]
    fn method(&self) -> PyResult<String> {
        self.with(|input| input.method().to_owned())
    }

    /// The path of the request behind the chain's name, `""` if there is nothing; percent-encoded.
    #[getter]
    fn path(&self) -> PyResult<String> {
        self.with(|input| input.path().to_owned())
    }

    /// The query of the request, as the client encoded it.
    #[getter]
    fn query(&self) -> PyResult<Option<String>> {
        self.text(|input| input.query())
    }

    /// What the sender says the record is; `None` of a join.
    #[getter]
    fn content_type(&self) -> PyResult<Option<String>> {
        self.text(|input| input.content_type())
    }

    /// The address that the request came from, as the gateway saw it; the first functions of a chain alone
    /// have it.
    #[getter]
    fn client_address(&self) -> PyResult<Option<String>> {
        self.text(|input| input.client_address())
    }

    /// The function that sent the record, `ingress` for the client's request; `None` of a join.
    #[getter]
    fn upstream(&self) -> PyResult<Option<String>> {
        self.text(|input| input.upstream())
    }

    /// The first value of a header of the record. Of a join, one that speaks of the whole request.
    fn header(&self, name: &str) -> PyResult<Option<String>> {
        let name = name.to_ascii_lowercase();
        self.with(|input| input.header(&name).map(str::to_owned))
    }

    /// All headers of the record, names in lower case; empty of a join, whose parts have theirs.
    #[getter]
    fn headers(&self) -> PyResult<Vec<(String, String)>> {
        self.with(|input| match input.parts() {
            [part] => pairs(part),
            _ => Vec::new(),
        })
    }

    /// What the chain's route has captured as `{name}`.
    fn capture(&self, name: &str) -> PyResult<Option<String>> {
        self.with(|input| input.capture(name).map(str::to_owned))
    }

    /// Whether this run joins several records.
    #[getter]
    fn is_join(&self) -> PyResult<bool> {
        self.with(|input| input.is_join())
    }

    /// All records, in the order in which the chain file names their functions.
    #[getter]
    fn parts(&self) -> PyResult<Vec<Part>> {
        let count = self.with(|input| input.parts().len())?;
        let part = |index| Part {
            run: Arc::clone(&self.run),
            index,
        };
        Ok((0..count).map(part).collect())
    }

    /// The record that came from `function`, by `port` if several of its ports lead here.
    #[pyo3(signature = (function, port=None))]
    fn part(&self, function: &str, port: Option<&str>) -> PyResult<Option<Part>> {
        self.find(|part| part.upstream() == function && port.is_none_or(|port| part.port() == port))
    }

    /// 1 for the first attempt on this record.
    #[getter]
    fn attempt(&self) -> PyResult<u32> {
        self.with(|input| input.attempt())
    }

    /// Which request this run belongs to: 32 digits, the same in every function and attempt.
    #[getter]
    fn invocation(&self) -> PyResult<String> {
        self.with(|input| format!("{:032x}", input.invocation().as_u128()))
    }

    /// Seconds until the process is ended, because of `timeout` or the request's deadline.
    fn remaining(&self) -> PyResult<f64> {
        self.with(|input| input.remaining().as_secs_f64())
    }

    /// Whether nobody waits for the result any more.
    fn is_cancelled(&self) -> PyResult<bool> {
        self.with(|input| input.is_cancelled())
    }

    /// A secret that the chain file gives to this function.
    fn secret<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.with(|input| input.secret(name).map(|secret| PyBytes::new(py, secret)))
    }

    /// A variable of the function's environment; in a test, of the call.
    fn env(&self, name: &str) -> PyResult<Option<String>> {
        self.with(|input| input.env(name))
    }

    fn __repr__(&self) -> PyResult<String> {
        self.with(|input| {
            let (attempt, parts) = (input.attempt(), input.parts().len());
            format!("<hacher.Input attempt={attempt} parts={parts}>")
        })
    }
}

/// Iterates over the body as it arrives.
#[pyclass(frozen, module = "hacher")]
pub(crate) struct Chunks {
    run: Arc<Run>,
    position: std::sync::Mutex<sdk::Position>,
}

#[pymethods]
impl Chunks {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let busy = |_| PyRuntimeError::new_err("chunks are read by one thread");
        let mut position = self.position.try_lock().map_err(busy)?;
        let chunk = self.run.input.with(|input| {
            let mut reader = input.reader_at(*position);
            // What waits, and opens, is the first look at the next segment.
            unlocked(py, || reader.fill_buf().map(drop)).map_err(Failure::from)?;
            let chunk = reader.fill_buf().map_err(Failure::from)?;
            let (made, len) = (PyBytes::new(py, chunk), chunk.len());
            reader.consume(len);
            *position = reader.position();
            Ok::<_, Failure>((len > 0).then_some(made))
        })?;
        chunk.map_err(|failure| raised(py, failure))
    }
}
