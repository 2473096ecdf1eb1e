//! The control group of version 2 that this process was started in, where it was left to this process to
//! divide, and its parts: one for the service itself, one for the functions of each chain, and in that one
//! for each instance (cgroup-v2.rst, "Delegation").

use super::controllers::{Controllers, Undivided, write};
use super::instance_group::{Bounds, InstanceGroup};
use rustix::fs::getxattr;
use rustix::io::Errno;
use std::fs;
use std::io;
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
/// The part of an instance within that of its chain, before the function's name. No file of the kernel's
/// begins like this, so a function of any name has a part.
const INSTANCE: &str = "hacher-instance-";
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
    controllers: Controllers,
}

impl ControlGroup {
    /// That of this process.
    ///
    /// # Errors
    /// [`Undivided`] where it is not this process's to divide.
    pub fn delegated() -> Result<Self, Undivided> {
        let (path, is_root) = own().ok_or(Undivided::NotThere)?;
        let controllers = Controllers::of(&path);
        if controllers.change('+').is_empty() {
            return Err(Undivided::NoController(path));
        }
        // Where names and mounts are of two namespaces, this is another group, or none.
        let own = std::process::id().to_string();
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        if !members.lines().any(|member| member == own) || !is_delegated(&path, is_root) {
            return Err(Undivided::NotDelegated(path));
        }
        Ok(Self { path, controllers })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its parts can have.
    #[must_use]
    pub const fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Makes the part of the service, which this process and its children to come are in from now on, and has
    /// all parts share the processors.
    ///
    /// # Errors
    /// [`Undivided`]; everything is then as it was.
    pub fn divide(self) -> Result<Divided, Undivided> {
        let mut divided = Divided {
            path: self.path,
            controllers: self.controllers,
        };
        let own = divided.make(SERVICE)?;
        let control = divided.path.join("cgroup.subtree_control");
        if enter(&own, std::process::id()).is_err() {
            // A predecessor that was killed has left its group divided, and this process was put into it
            // besides.
            divided.remove_chains();
            write(&control, &self.controllers.change('-'))?;
            enter(&own, std::process::id())?;
        }
        // Refused while processes are left that are in no part.
        match write(&control, &self.controllers.change('+')) {
            Err(Undivided::Os { source, .. }) if Errno::from_io_error(&source) == Some(Errno::BUSY) => {
                return Err(Undivided::NotAlone(divided.path.clone()));
            }
            // All or none of them: one that cannot be had here, as in a threaded group, costs no shares.
            Err(_) if self.controllers.cpu => {
                divided.controllers = self.controllers.shares_alone();
                write(&control, &divided.controllers.change('+'))
            }
            done => done,
        }?;
        if self.controllers.cpu {
            write(&own.join("cpu.weight"), SERVICE_WEIGHT)?;
        }
        divided.try_instance()?;
        Ok(divided)
    }
}

/// The group of this process, divided. As it was again when this is dropped, as far as that goes: who ends
/// before it can do so leaves empty parts behind, which the next service finds and uses.
#[derive(Debug)]
pub struct Divided {
    path: PathBuf,
    controllers: Controllers,
}

impl Divided {
    /// What the parts have.
    #[must_use]
    pub const fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// The part of one instance of a function, with these bounds, in the part of its chain, which has the
    /// same weight as every other chain's. Processes of one instance come and go in the same part: what
    /// the regions that they share have in memory stays counted there.
    ///
    /// # Errors
    /// [`Undivided::Os`].
    pub fn instance(
        &self,
        chain: &str,
        function: &str,
        ordinal: u32,
        bounds: Bounds,
    ) -> Result<InstanceGroup, Undivided> {
        let chain = format!("{CHAIN}{chain}");
        let part = self.make(&chain)?;
        let handed_on = self.controllers.of_instances();
        let change = handed_on.change('+');
        if !change.is_empty() {
            write(&part.join("cgroup.subtree_control"), &change)?;
        }
        let path = self.make_within(&part, &format!("{INSTANCE}{function}-{ordinal}"))?;
        InstanceGroup::bounded(path, handed_on, bounds)
    }

    /// Makes the part of an instance that no chain has, and removes it: limits on depth and number of groups
    /// would otherwise first show when an instance is started, or started again.
    fn try_instance(&self) -> Result<(), Undivided> {
        let bounds = Bounds {
            memory_bytes: 1 << 40,
            threads: 1,
        };
        let tried = self.instance("", "", 0, bounds);
        self.remove_chains();
        tried.map(|_| ())
    }

    /// The part with this name, which may be there.
    fn make(&self, name: &str) -> Result<PathBuf, Undivided> {
        self.make_within(&self.path, name)
    }

    fn make_within(&self, around: &Path, name: &str) -> Result<PathBuf, Undivided> {
        let path = around.join(name);
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

    /// Removes the parts of chains, and of instances in them, as far as they are empty.
    fn remove_chains(&self) {
        // None of these matters to anybody: an empty group costs little, and one in use stays.
        for chain in parts(&self.path, CHAIN) {
            for instance in parts(&chain, INSTANCE) {
                let _ = fs::remove_dir(instance);
            }
            let _ = write(
                &chain.join("cgroup.subtree_control"),
                &self.controllers.of_instances().change('-'),
            );
            let _ = fs::remove_dir(chain);
        }
    }
}

impl Drop for Divided {
    fn drop(&mut self) {
        self.remove_chains();
        // As above.
        let _ = write(
            &self.path.join("cgroup.subtree_control"),
            &self.controllers.change('-'),
        );
        let _ = enter(&self.path, std::process::id());
        let _ = fs::remove_dir(self.path.join(SERVICE));
    }
}

/// The groups within `around` whose names begin like this.
fn parts(around: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(around).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(prefix))
    });
    named.map(|entry| entry.path()).collect()
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
