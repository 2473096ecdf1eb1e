//! Serves a handler as the function of a chain.

use crate::handler::{Form, Handler};
use crate::lent::unlocked;
use hacher_libos_net as sdk;
use hacher_libos_net::{Failure, INITIALISATION_FAILED, Start};
use pyo3::prelude::*;
use std::process::ExitCode;

/// Serves `function` until the service stops; the exit code of the process.
#[pyfunction]
pub(crate) fn serve(py: Python<'_>, function: Py<PyAny>, form: Form) -> u8 {
    let handler = Handler { function, form };
    let handler = move |input: sdk::Input<'_>, output: &mut sdk::Output<'_>| handler.run(input, output).0;
    let code = unlocked(py, || sdk::serve_with(|_: &Start<'_>| Ok::<_, Failure>(handler)));
    // The standard library does not say which number a code is.
    [0, 2, INITIALISATION_FAILED]
        .into_iter()
        .find(|number| code == ExitCode::from(*number))
        .unwrap_or(1)
}
