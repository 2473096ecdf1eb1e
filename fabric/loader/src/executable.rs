//! The executable of a function: opened, and found to be one.

use super::linked::{ElfError, LinkedFiles, Loadable, linked_with};
use super::magic;
use super::progress::asking;
use hacher_chain_dsl::{Code, Diagnostic, Span};
use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An executable that is named.
pub(super) struct Executable<'a> {
    pub(super) path: PathBuf,
    /// The file, where it was opened already.
    pub(super) opened: Option<&'a File>,
    /// Where it is named.
    pub(super) span: Span,
    /// Whether there is a command that builds it.
    pub(super) can_build: bool,
}

impl Executable<'_> {
    /// Opens it, with what it links, and with what is missing of that.
    pub(super) fn open(
        &self,
        library_path: Option<&str>,
        loadable: Loadable<'_>,
    ) -> Result<(File, LinkedFiles, Vec<ElfError>), Box<Diagnostic>> {
        let shown = self.path.display();
        let _going = asking(&self.path);
        let opened = match self.opened {
            Some(file) => file.try_clone(),
            None => open(&self.path),
        };
        let found = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = found.map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::NotFound => format!("there is no executable `{shown}`"),
                _ => format!("cannot open the executable `{shown}`: {error}"),
            };
            let missing = self.problem(Code::ExecMissing, message, "named here, relative to this file");
            Box::new(with_build(missing, self.can_build))
        })?;
        check_mode(&self.path, &metadata, self.span)?;
        if let Some(misfit) = magic::misfit(&file) {
            let message = format!("cannot run `{shown}`: {}", misfit.what);
            let not = self.problem(Code::ExecNotUsable, message, "named here");
            return Err(Box::new(not.with_help(misfit.help)));
        }
        let found = linked_with(&file, &self.path, library_path, loadable).map_err(|error| {
            let message = format!("cannot run `{shown}`: {error}");
            Box::new(self.problem(Code::ExecNotUsable, message, "named here"))
        })?;
        Ok((file, found.0, found.1))
    }

    fn problem(&self, code: Code, message: String, label: &str) -> Diagnostic {
        Diagnostic::new(code, self.span, message, label)
    }
}

/// Opens it without waiting for the writer of a pipe.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

pub(super) fn with_build(missing: Diagnostic, can_build: bool) -> Diagnostic {
    if can_build {
        missing.with_help("this function has a `build` command: add `--build`")
    } else {
        missing
    }
}

/// Refuses what is no file that may be executed.
pub(super) fn check_mode(path: &Path, metadata: &Metadata, span: Span) -> Result<(), Box<Diagnostic>> {
    let (shown, is_file) = (path.display(), metadata.is_file());
    if is_file && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    let what = if is_file {
        "is not executable"
    } else {
        "is not a file"
    };
    let not = Diagnostic::new(
        Code::ExecNotExecutable,
        span,
        format!("`{shown}` {what}"),
        "named here",
    );
    Err(Box::new(if is_file {
        not.with_help(format!("chmod +x {shown}"))
    } else {
        not
    }))
}
