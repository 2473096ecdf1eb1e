//! The files of control groups of version 2: which controllers a group has, and how something is written to
//! one (cgroup-v2.rst, "Core Interface Files").

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The controllers that this service has a use for, and which of them a group can hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controllers {
    /// Shares of the processors.
    pub cpu: bool,
    /// Memory, that of the kernel among it.
    pub memory: bool,
    /// How many processes and threads there are.
    pub pids: bool,
}

impl Controllers {
    /// Those that `group` can hand on to its parts.
    pub(super) fn of(group: &Path) -> Self {
        let text = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
        let has = |wanted: &str| text.split_whitespace().any(|name| name == wanted);
        Self {
            cpu: has("cpu"),
            memory: has("memory"),
            pids: has("pids"),
        }
    }

    /// Those that an instance has of its own. Processors are shared between chains: a group of tasks for each
    /// instance would make each switch between two of them cost more.
    pub(super) const fn of_instances(self) -> Self {
        Self { cpu: false, ..self }
    }

    /// Shares of the processors, and no bounds.
    pub(super) const fn shares_alone(self) -> Self {
        Self {
            memory: false,
            pids: false,
            ..self
        }
    }

    /// What `cgroup.subtree_control` takes to hand them on (`+`) or to keep them (`-`).
    pub(super) fn change(self, sign: char) -> String {
        let names = [(self.cpu, "cpu"), (self.memory, "memory"), (self.pids, "pids")];
        let named = names.into_iter().filter(|(is_there, _)| *is_there);
        let words: Vec<String> = named.map(|(_, name)| format!("{sign}{name}")).collect();
        words.join(" ")
    }
}

/// Why there are no control groups for chains and instances.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Undivided {
    /// There is no hierarchy of version 2, or this process is in none of it.
    #[error("no control groups of version 2 here")]
    NotThere,
    /// The controllers are those of version 1, or stay above.
    #[error("{0} has none of the controllers cpu, memory and pids")]
    NoController(PathBuf),
    /// It belongs to whoever started this process.
    #[error("{0} is not delegated to this service")]
    NotDelegated(PathBuf),
    /// Processes that are none of the service would be left without a part.
    #[error("other processes are in {0}")]
    NotAlone(PathBuf),
    /// Something could not be written.
    #[error("{path}: {source}")]
    Os {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes to a file of a control group.
///
/// # Errors
/// [`Undivided::Os`].
pub(super) fn write(path: &Path, text: &str) -> Result<(), Undivided> {
    // Not made where it is not there: such a folder is no control group.
    let file = fs::File::options().write(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Undivided::Os {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_cannot_hand_on_is_not_asked_of_it() {
        let all = Controllers {
            cpu: true,
            memory: true,
            pids: true,
        };
        assert_eq!(all.change('+'), "+cpu +memory +pids");
        assert_eq!(all.of_instances().change('-'), "-memory -pids");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io pids\n").unwrap();
        let some = Controllers::of(folder.path());
        assert_eq!(some.change('+'), "+cpu +pids");
        let none = Controllers::of(&folder.path().join("none"));
        assert_eq!(none.change('+'), "");
    }
}
