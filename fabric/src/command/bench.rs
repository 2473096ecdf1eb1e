//! `bench` and `tcb`: become `hacher-bench`, the executable that measures and counts. Plots, other
//! transports, certificates for them and readers of debug information are no part of this one, which is
//! measured and trusted.

use super::Failed;
use crate::companion::Companion;
use core::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes `hacher-bench` with these arguments, of which the first is `command`.
///
/// # Errors
/// When it is not there, or cannot be used; with what builds it.
pub fn bench(command: &str, arguments: impl Iterator<Item = OsString>) -> Result<Infallible, Failed> {
    // What is measured must be of the same sources as what measures, so nothing is built beside it unasked.
    let found = match command {
        "tcb" => Companion::Bench.built_in_tree(Companion::Fabric),
        _ => Companion::Bench.built_beside(Companion::Fabric),
    };
    let Some(found) = found? else {
        return Err(Failed::new(format!(
            "`{command}` is done by {}, which is not installed beside this executable. In the source tree it is built by\n  \
             {}\nor, with this one, by\n  cargo run --release -- {command}",
            Companion::Bench.name(),
            Companion::Bench.build_command()
        )));
    };
    let error = Command::new(&found.path).args(arguments).exec();
    Err(Failed::new(format!(
        "cannot run {}: {error}",
        found.path.display()
    )))
}
