//! Which build an executable is of.

use std::io::Write;
use std::process::ExitCode;

/// Version and build of an executable. Executables of one build agree on every call, message and layout
/// between processes; those of different builds must not be mixed.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("HACHER_BUILD"), ")");

/// Says the version of the executable `name`, if this process, which is it, was asked for that.
#[must_use]
pub fn version_asked(name: &str) -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != "--version" {
        return None;
    }
    let said = writeln!(std::io::stdout(), "{name} {VERSION}");
    Some(said.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}
