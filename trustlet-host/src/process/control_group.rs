//! The control group of version 2 that this process was started in, where it was left to this process to
//! divide, and its parts: one for the service itself, one for the functions of each chain (cgroup-v2.rst,
//! "Delegation").

use rustix::fs::getxattr;
use rustix::io::Errno;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the hierarchy of version 2 is mounted.
pub(super) const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Set by systemd on a group whose unit says `Delegate=`: for its user, and for root alone.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// The part of the monitor, the daemon and the gateways.
const SERVICE: &str = "hacher-service";
/// The part of a chain, before its name.
const CHAIN: &str = "hacher-chain-";
/// What the service itself gets before any one chain, whose parts have 100: all chains wait for it, and it
/// takes little.
const SERVICE_WEIGHT: &str = "1000";

/// The group that this process is in, whoever divides it, and whether that is the root of all that it sees.
pub(super) fn own() -> Option<(PathBuf, bool)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let name = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut mounts = MOUNTS.into_iter().map(Path::new);
    let mount = mounts.find(|mount| mount.join("cgroup.controllers").exists())?;
    Some((mount.join(name.trim_start_matches('/')), name == "/"))
}

/// The group of this process, which is its own to divide.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
}

/// Why the processors are not shared by control groups.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Undivided {
    /// There is no hierarchy of version 2, or this process is in none of it.
    #[error("no control groups of version 2 here")]
    NotThere,
    /// The controller is that of version 1, or stays above.
    #[error("{0} does not have the cpu controller")]
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

impl ControlGroup {
    /// That of this process.
    ///
    /// # Errors
    /// [`Undivided`] where it is not this process's to divide.
    pub fn delegated() -> Result<Self, Undivided> {
        let (path, is_root) = own().ok_or(Undivided::NotThere)?;
        let controllers = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|name| name == "cpu") {
            return Err(Undivided::NoController(path));
        }
        // Where names and mounts are of two namespaces, this is another group, or none.
        let own = std::process::id().to_string();
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        if !members.lines().any(|member| member == own) || !is_delegated(&path, is_root) {
            return Err(Undivided::NotDelegated(path));
        }
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the part of the service, which this process and its children to come are in from now on, and has
    /// all parts share the processors.
    ///
    /// # Errors
    /// [`Undivided`]; everything is then as it was.
    pub fn divide(self) -> Result<Divided, Undivided> {
        let divided = Divided { path: self.path };
        let own = divided.make(SERVICE)?;
        let control = divided.path.join("cgroup.subtree_control");
        if enter(&own, std::process::id()).is_err() {
            // A predecessor that was killed has left its group divided, and this process was put into it
            // besides.
            write(&control, "-cpu")?;
            enter(&own, std::process::id())?;
        }
        // Refused while processes are left that are in no part.
        match write(&control, "+cpu") {
            Err(Undivided::Os { source, .. }) if Errno::from_io_error(&source) == Some(Errno::BUSY) => {
                Err(Undivided::NotAlone(divided.path.clone()))
            }
            done => done,
        }?;
        write(&own.join("cpu.weight"), SERVICE_WEIGHT)?;
        Ok(divided)
    }
}

/// The group of this process, divided. As it was again when this is dropped, as far as that goes: who ends
/// before it can do so leaves empty parts behind, which the next service finds and uses.
#[derive(Debug)]
pub struct Divided {
    path: PathBuf,
}

impl Divided {
    /// Moves a process into the part of a chain, with the same weight as every other chain's.
    ///
    /// # Errors
    /// [`Undivided::Os`], also for a process that has ended.
    pub fn give(&self, chain: &str, process: i32) -> Result<(), Undivided> {
        let part = self.make(&format!("{CHAIN}{chain}"))?;
        write(&part.join("cgroup.procs"), &process.to_string())
    }

    /// The part with this name, which may be there.
    fn make(&self, name: &str) -> Result<PathBuf, Undivided> {
        let path = self.path.join(name);
        // The loader has seen to that, and a loader that was taken over has not.
        if name.contains('/') {
            let source = io::ErrorKind::InvalidFilename.into();
            return Err(Undivided::Os { path, source });
        }
        match fs::create_dir(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(Undivided::Os { path, source })
            }
            _ => Ok(path),
        }
    }
}

impl Drop for Divided {
    fn drop(&mut self) {
        // None of these matters to anybody: an empty group costs little, and one in use stays.
        let _ = write(&self.path.join("cgroup.subtree_control"), "-cpu");
        let _ = enter(&self.path, std::process::id());
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_part = name
                .to_str()
                .is_some_and(|name| name == SERVICE || name.starts_with(CHAIN));
            if is_part {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Whether whoever made a group has left it to this process: by systemd's mark, by giving it to this user, or
/// as all that a container sees.
fn is_delegated(path: &Path, is_root: bool) -> bool {
    let mut value = [0; 1];
    let is_marked = DELEGATED
        .iter()
        .any(|name| getxattr(path, *name, &mut value[..]).is_ok_and(|length| length == 1) && value == *b"1");
    let user = rustix::process::geteuid();
    // A user's own service manager owns the groups of all its units, and marks those that it delegates.
    let is_unit = ["service", "scope"]
        .iter()
        .any(|kind| path.extension().is_some_and(|found| found == *kind));
    let is_given =
        !user.is_root() && !is_unit && fs::metadata(path).is_ok_and(|found| found.uid() == user.as_raw());
    // The machine's own root, unlike that of a namespace, has no events.
    let is_all = is_root && path.join("cgroup.events").exists();
    is_marked || is_given || is_all
}

fn enter(group: &Path, process: u32) -> Result<(), Undivided> {
    write(&group.join("cgroup.procs"), &process.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), Undivided> {
    // Not made where it is not there: such a folder is no control group.
    let file = fs::File::options().write(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Undivided::Os {
        path: path.to_owned(),
        source,
    })
}
