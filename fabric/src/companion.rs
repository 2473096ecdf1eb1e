//! The executables that are installed together: `hacher-fabric`, and beside it `hacher-monitor`,
//! `hacher-gateway`, `hacher-adaptor` and `hacher-bench`.
//!
//! One is known by its file name, in which one word differs: beside `hacher-fabric-1.2` lies
//! `hacher-monitor-1.2`. It takes part in what this executable trusts, so it is used only if nobody else
//! could have put it there, and if both were built of the same interfaces; otherwise the command fails and
//! says why, as whoever has installed it expects it to be used.

pub(crate) mod cargo;

use hacher_trustlet_host::VERSION;
use rustix::process::geteuid;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files that anybody may replace.
const WRITABLE_BY_ALL: u32 = 0o002;
const ROOT: u32 = 0;

/// One of the executables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companion {
    /// The command, loader and daemon.
    Fabric,
    /// The monitor, with the scribe.
    Monitor,
    /// The gateway.
    Gateway,
    /// The adaptor before programs that know nothing of chains.
    Adaptor,
    /// The benchmark.
    Bench,
}

/// A companion that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompanionError {
    /// It cannot be opened.
    #[error("cannot use {}: {source}", .path.display())]
    Open {
        /// Where it lies.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else may have put it there.
    #[error(
        "{} is not used: {why}, so another user may have put it there; remove it, or install all executables \
         as one user", .path.display()
    )]
    Doubtful {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with the file.
        why: &'static str,
    },
    /// It was built of other interfaces.
    #[error(
        "{} is not of this build: this is {VERSION}, and it says `{says}`; install or build all executables \
         together (`{command}`), or remove it", .path.display()
    )]
    OtherBuild {
        /// Where it lies.
        path: PathBuf,
        /// What it says of itself.
        says: String,
        /// What builds it.
        command: String,
    },
    /// Cargo could not build it.
    #[error(transparent)]
    NotBuilt(#[from] cargo::NotBuilt),
}

/// A companion that may be used. It is the opened file that was judged, whatever becomes of its path.
#[derive(Debug)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// The file.
    pub file: File,
}

impl Companion {
    const fn word(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Monitor => "monitor",
            Self::Gateway => "gateway",
            Self::Adaptor => "adaptor",
            Self::Bench => "bench",
        }
    }

    /// The package that it is built of.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Fabric => "hacher-fabric",
            Self::Gateway => "hacher-gateway",
            Self::Monitor => "hacher-trustlet-host",
            Self::Adaptor => "hacher-adaptor",
            Self::Bench => "hacher-benches",
        }
    }

    /// Its name, unless it was installed under another.
    #[must_use]
    pub fn name(self) -> String {
        format!("hacher-{}", self.word())
    }

    /// What builds it, for a message.
    #[must_use]
    pub fn build_command(self) -> String {
        format!(
            "cargo build --release -p {} --bin {}",
            self.package(),
            self.name()
        )
    }

    /// Looks for `self` beside this executable, which is `own`. `None` if nothing is there.
    ///
    /// # Errors
    /// [`CompanionError`] if what is there cannot be used.
    pub fn beside(self, own: Self) -> Result<Option<Found>, CompanionError> {
        let Some(path) = std::env::current_exe()
            .ok()
            .and_then(|this| self.path_beside(own, &this))
        else {
            return Ok(None);
        };
        let owner = fs::metadata("/proc/self/exe").map_or_else(|_| geteuid().as_raw(), |this| this.uid());
        self.judged(path, owner)
    }

    /// As [`Companion::beside`], and if cargo runs this executable (`cargo run`), has it build the other
    /// first.
    ///
    /// # Errors
    /// As [`Companion::beside`], or [`CompanionError::NotBuilt`].
    pub fn built_beside(self, own: Self) -> Result<Option<Found>, CompanionError> {
        if let Ok(this) = std::env::current_exe() {
            cargo::build(self.package(), &self.name(), &this)?;
        }
        self.beside(own)
    }

    /// As [`Companion::beside`], and has cargo build the other first, if this executable lies where cargo has
    /// built it in its source tree.
    ///
    /// # Errors
    /// As [`Companion::built_beside`].
    pub fn built_in_tree(self, own: Self) -> Result<Option<Found>, CompanionError> {
        if let Ok(this) = std::env::current_exe() {
            cargo::build_in_tree(self.package(), &self.name(), &this)?;
        }
        self.beside(own)
    }

    fn path_beside(self, own: Self, this: &Path) -> Option<PathBuf> {
        let name = this.file_name()?.to_str()?;
        let (before, after) = name.rsplit_once(own.word())?;
        Some(this.with_file_name(format!("{before}{}{after}", self.word())))
    }

    fn judged(self, path: PathBuf, owner: u32) -> Result<Option<Found>, CompanionError> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CompanionError::Open { path, source }),
        };
        match file.metadata() {
            Err(source) => return Err(CompanionError::Open { path, source }),
            Ok(found) => {
                if let Some(why) = doubt(&found, owner) {
                    return Err(CompanionError::Doubtful { path, why });
                }
            }
        }
        // It is a function like others: when it starts, it says itself whether monitor and it agree.
        if self == Self::Adaptor {
            return Ok(Some(Found { path, file }));
        }
        match says(&file) {
            Err(source) => Err(CompanionError::Open { path, source }),
            Ok(says) if says == format!("{} {VERSION}", self.name()) => Ok(Some(Found { path, file })),
            Ok(says) => Err(CompanionError::OtherBuild {
                path,
                says,
                command: self.build_command(),
            }),
        }
    }
}

/// What makes it doubtful that this file was put there by `owner`, or by root.
fn doubt(found: &Metadata, owner: u32) -> Option<&'static str> {
    if !found.is_file() {
        Some("it is no file")
    } else if found.uid() != owner && found.uid() != ROOT {
        Some("it belongs to another user than this executable")
    } else if found.mode() & WRITABLE_BY_ALL != 0 {
        Some("everybody may write to it")
    } else {
        None
    }
}

/// The first line that the executable prints when it is asked for its version.
fn says(file: &File) -> io::Result<String> {
    // The file itself: what its path names may be another one by now.
    let output = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    Ok(line.chars().take(SAID_MAX_CHARS).collect())
}

/// What is shown of what another executable says.
const SAID_MAX_CHARS: usize = 100;

#[cfg(test)]
mod tests;
