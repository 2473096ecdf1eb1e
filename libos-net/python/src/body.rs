//! Bodies that a handler gives: `bytes` as they are, `str` as UTF-8, and whatever has the buffer protocol.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

/// What `str` is as a record.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A body, as `bytes` that nobody can change, and its type if the object says it.
pub(crate) struct Body<'py> {
    pub(crate) bytes: Bound<'py, PyBytes>,
    pub(crate) content_type: Option<&'static str>,
}

impl<'py> Body<'py> {
    /// The body that `object` is; `None` is an empty one.
    ///
    /// # Errors
    /// `TypeError` for anything else; `BufferError` for memory that is not in one piece.
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(bytes.clone().into());
        }
        if object.is_none() {
            return Ok(PyBytes::new(py, &[]).into());
        }
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self {
                bytes: text.encode_utf8()?,
                content_type: Some(TEXT),
            });
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return Ok(PyBytes::new(py, &bytes.to_vec()).into());
        }
        // Not `bytes(object)`, which makes zeros of a number.
        let view = PyMemoryView::from(object).map_err(|_| {
            let kind = object.get_type().name();
            let kind = kind.map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!(
                "a body is bytes, str, None, or has the buffer protocol, and this is {kind}"
            ))
        })?;
        let bytes = view.call_method0("tobytes")?;
        Ok(bytes.cast_into::<PyBytes>()?.into())
    }
}

impl<'py> From<Bound<'py, PyBytes>> for Body<'py> {
    fn from(bytes: Bound<'py, PyBytes>) -> Self {
        Self {
            bytes,
            content_type: None,
        }
    }
}
