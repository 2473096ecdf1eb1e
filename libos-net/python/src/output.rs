//! `hacher.Output` and `hacher.Port`: what a handler fills.

use crate::body::Body;
use crate::failure::raised;
use crate::lent::unlocked;
use crate::part::Part;
use crate::run::Run;
use hacher_libos_net as sdk;
use hacher_libos_net::{DEFAULT_PORT, Failure, PortWriter};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::Write;
use std::sync::Arc;

/// The output of one run.
#[pyclass(frozen, module = "hacher")]
pub(crate) struct Output {
    run: Arc<Run>,
}

impl Output {
    pub(crate) fn new(run: Arc<Run>) -> Self {
        Self { run }
    }
}

/// What a record is sent with, besides its body.
#[derive(Default)]
pub(crate) struct Told<'a> {
    /// What it is, instead of what the body's own type says.
    content_type: Option<&'a str>,
    status: Option<u16>,
    headers: &'a [(String, String)],
}

/// Sends `body`, whole, to `port`.
pub(crate) fn send(py: Python<'_>, run: &Run, port: &str, body: &Body<'_>, told: &Told<'_>) -> PyResult<()> {
    let bytes = body.bytes.as_bytes();
    let sent = run.output.with(|output| {
        // Refuses a second record before anything of the first is changed.
        let mut writer = output.whole(port)?;
        for (name, value) in told.headers {
            writer.append_header(name, value)?;
        }
        if let Some(content_type) = told.content_type.or(body.content_type) {
            writer.set_content_type(content_type)?;
        }
        if let Some(status) = told.status {
            writer.set_status(status)?;
        }
        // Of a streamed record, this seals and waits for room.
        unlocked(py, || writer.append(bytes))
    })?;
    sent.map_err(|failure| raised(py, failure))
}

#[pymethods]
impl Output {
    /// Sends the one record of a port, whole. `str` is sent as UTF-8, with that content type.
    #[pyo3(signature = (body, port=DEFAULT_PORT, *, content_type=None, status=None, headers=None))]
    fn send(
        &self,
        py: Python<'_>,
        body: &Bound<'_, PyAny>,
        port: &str,
        content_type: Option<&str>,
        status: Option<u16>,
        headers: Option<Vec<(String, String)>>,
    ) -> PyResult<()> {
        let told = Told {
            content_type,
            status,
            headers: headers.as_deref().unwrap_or_default(),
        };
        send(py, &self.run, port, &Body::of(body)?, &told)
    }

    /// What writes the record of a port, piece by piece. Asking again goes on with the same record.
    #[pyo3(signature = (name=DEFAULT_PORT))]
    fn port(&self, py: Python<'_>, name: &str) -> PyResult<Port> {
        let port = Port::new(&self.run, name);
        // One that is not declared is an error here, and begins its record here.
        port.with(py, |_| Ok(()))?;
        Ok(port)
    }

    /// Chooses the status of the reply that the record on the port `out` makes, 200 to 599.
    fn set_status(&self, py: Python<'_>, status: u16) -> PyResult<()> {
        Port::new(&self.run, DEFAULT_PORT).set_status(py, status)
    }
}

/// Writes the record of one port.
#[pyclass(frozen, module = "hacher")]
pub(crate) struct Port {
    run: Arc<Run>,
    name: String,
}

impl Port {
    fn new(run: &Arc<Run>, name: &str) -> Self {
        Self {
            run: Arc::clone(run),
            name: name.to_owned(),
        }
    }

    fn with<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut PortWriter<'_>) -> Result<R, Failure>,
    ) -> PyResult<R> {
        let done = self.run.output.with(|output| f(&mut output.port(&self.name)?))?;
        done.map_err(|failure| raised(py, failure))
    }
}

#[pymethods]
impl Port {
    /// The port.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Sets a header, replacing all earlier values.
    fn set_header(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        self.with(py, |writer| writer.set_header(name, value))
    }

    /// Adds a header after earlier values of the name.
    fn append_header(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        self.with(py, |writer| writer.append_header(name, value))
    }

    /// Removes all values of a header, inherited ones too.
    fn remove_header(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.with(py, |writer| writer.remove_header(name))
    }

    /// Removes what an `error` port says of why a record was given up.
    fn remove_explanation(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |writer| writer.remove_explanation())
    }

    /// Says what the body is.
    fn set_content_type(&self, py: Python<'_>, content_type: &str) -> PyResult<()> {
        self.with(py, |writer| writer.set_content_type(content_type))
    }

    /// Chooses the status of the reply that this record makes, 200 to 599.
    fn set_status(&self, py: Python<'_>, status: u16) -> PyResult<()> {
        self.with(py, |writer| writer.set_status(status))
    }

    /// Says that the body is what the body of `part` is: takes over its type and coding.
    fn describe_as(&self, py: Python<'_>, part: &Part) -> PyResult<()> {
        let headers = self.run.input.with(|input| {
            let part = input.parts().get(part.index)?;
            let told = |(name, _): &(&str, &str)| sdk::headers::OF_THE_BODY.contains(name);
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            Some(part.headers().filter(told).map(owned).collect::<Vec<_>>())
        })?;
        self.with(py, |writer| {
            for name in sdk::headers::OF_THE_BODY {
                writer.remove_header(name)?;
            }
            let mut headers = headers.unwrap_or_default().into_iter();
            headers.try_for_each(|(name, value)| writer.append_header(&name, &value))
        })
    }

    /// Makes the record leave as it is written. Headers are set before.
    fn stream(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        this.with(this.py(), |writer| {
            writer.stream();
            Ok(())
        })?;
        Ok(this)
    }

    /// Appends to the body; how many bytes.
    fn write(&self, py: Python<'_>, body: &Bound<'_, PyAny>) -> PyResult<usize> {
        let body = Body::of(body)?;
        let bytes: &Bound<'_, PyBytes> = &body.bytes;
        let bytes = bytes.as_bytes();
        self.with(py, |writer| unlocked(py, || writer.append(bytes)))?;
        Ok(bytes.len())
    }

    /// Of a streamed record, passes on what was written so far.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |writer| {
            unlocked(py, || writer.flush().map_err(Failure::from))
        })
    }

    fn __repr__(&self) -> String {
        format!("<hacher.Port {}>", self.name)
    }
}
