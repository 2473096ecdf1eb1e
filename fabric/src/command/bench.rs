//! `bench`: becomes `hacher-bench`, the executable that measures. Plots, other transports and certificates
//! for them are no part of this one, which is measured and trusted.

use super::Failed;
use crate::companion::Companion;
use core::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes `hacher-bench` with these arguments, `bench` first.
///
/// # Errors
/// When it is not there, or cannot be used; with what builds it.
pub fn bench(arguments: impl Iterator<Item = OsString>) -> Result<Infallible, Failed> {
    let Some(found) = Companion::Bench.built_beside(Companion::Fabric)? else {
        return Err(Failed::new(format!(
            "`bench` is done by {}, which is not installed beside this executable. In the source tree it is built by\n  \
             {}\nor, with this one, by\n  cargo run --release -- bench",
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
