//! The native half of the Python package `hacher`: what a handler is given and what it fills, around the
//! Rust SDK. The other half (`python/hacher`) is what authors import.
//!
//! ```text
//! event loop, opening, sealing      without the interpreter's lock: the author's threads go on
//!   |  Input<'_>, Output<'_>
//! lent                              lends both for the time of one run; later uses raise RuntimeError
//!   |
//! input, part, output               the classes of Python
//! ```

mod body;
mod failure;
mod handler;
mod input;
mod lent;
mod output;
mod part;
mod run;
mod serve;
mod testing;
mod view;

use pyo3::prelude::*;

/// The module `hacher._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<input::Input>()?;
    module.add_class::<input::Chunks>()?;
    module.add_class::<part::Part>()?;
    module.add_class::<output::Output>()?;
    module.add_class::<output::Port>()?;
    module.add_class::<testing::Call>()?;
    module.add_class::<testing::Reply>()?;
    module.add_class::<testing::Record>()?;
    module.add_function(wrap_pyfunction!(serve::serve, module)?)?;
    module.add_function(wrap_pyfunction!(handler::current_run, module)?)
}
