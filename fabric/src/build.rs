//! `--build`: runs the `build` commands of a chain file, each once.

use crate::companion::cargo::without_package;
use hacher_loader::file::ChainFile;
use hacher_trustlet_host::tell;
use std::collections::BTreeSet;
use std::io;
use std::process::{Command, ExitStatus};

/// A build command that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It could not be started.
    #[error("cannot run the build command `{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// It failed.
    #[error("the build command `{command}` of function `{function}` failed: {status}")]
    Failed {
        /// The command.
        command: String,
        /// The function whose command it is.
        function: String,
        /// How.
        status: ExitStatus,
    },
}

/// Builds what the functions of `file` need. The commands run in the chain file's folder and print where we
/// print.
///
/// # Errors
/// [`BuildError`] of the first command that does not succeed.
pub fn build(file: &ChainFile) -> Result<(), BuildError> {
    let mut done = BTreeSet::new();
    for function in file.chain().functions() {
        let Some(command) = function.build() else { continue };
        if !done.insert(command) {
            continue;
        }
        tell!(Info: "build   {command}");
        let mut shell = Command::new("/bin/sh");
        // Most commands are cargo's.
        without_package(&mut shell);
        let status = shell
            .args(["-c", command])
            .current_dir(file.folder())
            // Standard output is for results.
            .stdout(io::stderr())
            .status()
            .map_err(|source| BuildError::Start {
                command: command.to_owned(),
                source,
            })?;
        if !status.success() {
            let function = function.name().to_owned();
            return Err(BuildError::Failed {
                command: command.to_owned(),
                function,
                status,
            });
        }
    }
    Ok(())
}
