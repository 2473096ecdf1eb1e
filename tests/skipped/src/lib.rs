//! How a test says that it did not run, and why.

use std::fmt::Arguments;
use std::io::Write;

/// Says that the test did not run, or a part of it, because this machine lacks what it needs: takes what
/// [`println!`] takes, and tells the reason with the test's name on the standard error output.
#[macro_export]
macro_rules! skipped {
    ($($reason:tt)+) => {
        $crate::say(::core::format_args!($($reason)+))
    };
}

/// What [`skipped!`] calls. A test that passes is not shown with what it printed: `println!` and `eprintln!`
/// are kept by the test runner, what is written to the output itself is not.
pub fn say(reason: Arguments<'_>) {
    let thread = std::thread::current();
    let line = format!("{}: skipped: {reason}\n", thread.name().unwrap_or("a test"));
    // Nobody may be reading; then there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
