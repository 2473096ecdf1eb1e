//! `hacher.Part`: one record of the input, the only one or one of a join.

use crate::failure::raised;
use crate::run::Run;
use hacher_libos_net as sdk;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// One record of the input.
#[pyclass(frozen, module = "hacher")]
pub(crate) struct Part {
    pub(crate) run: Arc<Run>,
    pub(crate) index: usize,
}

impl Part {
    fn with<R>(&self, f: impl FnOnce(&sdk::Part) -> R) -> PyResult<R> {
        let found = self
            .run
            .input
            .with(|input| input.parts().get(self.index).map(f))?;
        found.ok_or_else(|| PyIndexError::new_err("there is no such part"))
    }
}

#[pymethods]
impl Part {
    /// The function that sent it.
    #[getter]
    fn upstream(&self) -> PyResult<String> {
        self.with(|part| part.upstream().to_owned())
    }

    /// The port that it was sent by.
    #[getter]
    fn port(&self) -> PyResult<String> {
        self.with(|part| part.port().to_owned())
    }

    /// What its sender says it is.
    #[getter]
    fn content_type(&self) -> PyResult<Option<String>> {
        self.with(|part| part.content_type().map(str::to_owned))
    }

    /// All headers, names in lower case.
    #[getter]
    fn headers(&self) -> PyResult<Vec<(String, String)>> {
        self.with(pairs)
    }

    /// The first value of a header.
    fn header(&self, name: &str) -> PyResult<Option<String>> {
        let name = name.to_ascii_lowercase();
        self.with(|part| part.header(&name).map(str::to_owned))
    }

    /// Its whole body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.arrived(py)?;
        self.with(|part| bytes_of(py, part))?
    }

    /// Its whole body where it was opened; as `Input.view`.
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.arrived(py)?;
        self.with(|part| view_of(py, &self.run, part))?
    }

    fn __repr__(&self) -> PyResult<String> {
        self.with(|part| format!("<hacher.Part from {}.{}>", part.upstream(), part.port()))
    }
}

impl Part {
    /// Waits for the body: parts of a join are whole, a single record may be arriving.
    fn arrived(&self, py: Python<'_>) -> PyResult<()> {
        let is_join = self.run.input.with(|input| input.is_join())?;
        if is_join { Ok(()) } else { self.run.arrived(py) }
    }
}

pub(crate) fn pairs(part: &sdk::Part) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    part.headers().map(owned).collect()
}

/// The body of a record that has arrived whole, copied once: from where its producer wrote it, over a mapped
/// edge.
pub(crate) fn bytes_of<'py>(py: Python<'py>, part: &sdk::Part) -> PyResult<Bound<'py, PyBytes>> {
    let Some(view) = part.view() else {
        return Ok(PyBytes::new(py, part.bytes()));
    };
    PyBytes::new_with(py, view.len_bytes(), |into| {
        if view.copy_to(0, into) == into.len() {
            return Ok(());
        }
        Err(raised(
            py,
            sdk::Failure::retry("the record is not where its producer said"),
        ))
    })
}

/// The body of a record that has arrived whole, where it was opened. Memory that its producer may still
/// change is copied once, and the view is over the copy: code that checks it must see what it uses.
pub(crate) fn view_of<'py>(py: Python<'py>, run: &Run, part: &sdk::Part) -> PyResult<Bound<'py, PyAny>> {
    if part.view().is_some() {
        return run.views.over_object(&bytes_of(py, part)?);
    }
    run.lends_memory();
    run.views.over(py, part.bytes())
}
