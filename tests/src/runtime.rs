//! What tests run their own clients on.

use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread: the caller's.
///
/// # Panics
///
/// When descriptors are short.
#[must_use]
pub fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("there are descriptors for a runtime")
}
