//! The layers of isolation, by name: which of them this machine has, found out by using each.
//!
//! A missing layer is never skipped in silence: every [`super::jail::Child`] names what it runs without, and
//! so does whoever reports on isolation. Whether that is good enough is for the caller to decide.

use std::fmt;

/// One way in which a jailed process is kept from something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// Its own users and groups: it owns nothing outside, and has no capability over anything.
    UserNamespace,
    /// Its own file system, with nothing in it but its libraries and its scratch directory.
    MountNamespace,
    /// It sees no other process and can signal none.
    PidNamespace,
    /// It has no network interface.
    NetNamespace,
    /// It sees no System V or POSIX message queue, semaphore or shared memory of others.
    IpcNamespace,
    /// Its own host name.
    UtsNamespace,
    /// Files, TCP and signals, confined once more.
    Landlock,
    /// An allow-list of system calls.
    Seccomp,
    /// It can never gain rights by executing something.
    NoNewPrivileges,
    /// No other jailed process can trace it or read its memory, even with the same user on the host. Under a
    /// monitor that is root, or whose user has a supplementary group, no process at all without privilege
    /// can; else those of the monitor's own user that are outside of any jail still can, since that user
    /// owns the namespaces.
    NonDumpable,
    /// It is killed when the monitor ends.
    ParentDeath,
    /// Bounds on memory, threads, descriptors and file sizes.
    ResourceLimits,
    /// What was measured cannot change before it runs.
    SealedImage,
    /// What is shared for reading cannot be written.
    ReadOnlyDescriptors,
}

impl Layer {
    /// All, in the order in which reports list them.
    pub const ALL: [Self; 14] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::Landlock,
        Self::Seccomp,
        Self::NoNewPrivileges,
        Self::NonDumpable,
        Self::ParentDeath,
        Self::ResourceLimits,
        Self::SealedImage,
        Self::ReadOnlyDescriptors,
    ];

    /// The flag of clone(2), for a namespace.
    pub(super) fn clone_flag(self) -> Option<u64> {
        let flag = match self {
            Self::UserNamespace => libc::CLONE_NEWUSER,
            Self::MountNamespace => libc::CLONE_NEWNS,
            Self::PidNamespace => libc::CLONE_NEWPID,
            Self::NetNamespace => libc::CLONE_NEWNET,
            Self::IpcNamespace => libc::CLONE_NEWIPC,
            Self::UtsNamespace => libc::CLONE_NEWUTS,
            _ => return None,
        };
        Some(u64::from(flag.cast_unsigned()))
    }

    /// What an operator can do about its absence.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::UserNamespace
            | Self::MountNamespace
            | Self::PidNamespace
            | Self::NetNamespace
            | Self::IpcNamespace
            | Self::UtsNamespace => {
                "run as root, or allow user namespaces to ordinary users: user.max_user_namespaces above 0, \
                 kernel.unprivileged_userns_clone = 1 (Debian), kernel.apparmor_restrict_unprivileged_userns = 0 \
                 (Ubuntu); in a container, its runtime must allow clone with namespaces"
            }
            Self::Landlock => {
                "a kernel of 5.13 or later with landlock in CONFIG_LSM or in lsm= on its command line"
            }
            Self::Seccomp => "a kernel with CONFIG_SECCOMP_FILTER",
            Self::NonDumpable => "fs.suid_dumpable must not be 1",
            Self::SealedImage => "vm.memfd_noexec must not be 2",
            Self::ReadOnlyDescriptors => "/proc must be mounted for the monitor",
            Self::NoNewPrivileges | Self::ParentDeath | Self::ResourceLimits => {
                "a Linux kernel of 5.14 or later"
            }
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::UserNamespace => "user namespace",
            Self::MountNamespace => "mount namespace",
            Self::PidNamespace => "pid namespace",
            Self::NetNamespace => "net namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::UtsNamespace => "uts namespace",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::NoNewPrivileges => "no new privileges",
            Self::NonDumpable => "not dumpable",
            Self::ParentDeath => "parent-death signal",
            Self::ResourceLimits => "resource limits",
            Self::SealedImage => "sealed image",
            Self::ReadOnlyDescriptors => "read-only descriptors",
        })
    }
}

/// A layer that is not there, and what the kernel said when it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub layer: Layer,
    /// Why, in plain words.
    pub reason: String,
    /// It was not found out whether it is there, because something else was short. Whoever starts a service
    /// does not go on then: shortness must not weaken isolation.
    pub untried: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.reason)
    }
}

/// What this machine can enforce for the user who runs the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    pub(super) missing: Vec<Missing>,
    /// Why the monitor cannot hear of calls that are refused to programs, if it cannot. Other functions
    /// count theirs themselves.
    pub(super) no_notices: Option<Missing>,
    pub(super) landlock_abi: u32,
}

impl Layers {
    /// The same with `layer` marked as missing, to see what becomes of a machine without it.
    #[must_use]
    pub fn without(mut self, layer: Layer, reason: &str) -> Self {
        if self.has(layer) {
            self.missing.push(Missing {
                layer,
                reason: reason.to_owned(),
                untried: false,
            });
        }
        self
    }

    /// Whether `layer` can be enforced.
    #[must_use]
    pub fn has(&self, layer: Layer) -> bool {
        self.missing.iter().all(|missing| missing.layer != layer)
    }

    /// What cannot be enforced, and why.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Why the monitor cannot hear of calls that are refused to programs (seccomp_unotify(2)), if it cannot.
    #[must_use]
    pub const fn no_notices(&self) -> Option<&Missing> {
        self.no_notices.as_ref()
    }

    /// The first layer of which it was not found out whether it is there.
    #[must_use]
    pub fn untried(&self) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.untried)
    }

    /// Nothing is missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.missing.is_empty()
    }

    /// Version of Landlock's interface; 0 if there is none. Below 4 it has no rules for TCP, below 6 none for
    /// signals and abstract sockets, which the net and pid namespaces refuse as well.
    #[must_use]
    pub fn landlock_abi(&self) -> u32 {
        self.landlock_abi
    }

    /// The `CLONE_NEW*` bits of the namespaces that are there.
    pub(super) fn namespaces(&self) -> u64 {
        let there = Layer::ALL.into_iter().filter(|&layer| self.has(layer));
        there
            .filter_map(Layer::clone_flag)
            .fold(0, |bits, flag| bits | flag)
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_full() {
            return write!(f, "process isolation, all {} layers", Layer::ALL.len());
        }
        let there = Layer::ALL.len() - self.missing.len();
        write!(
            f,
            "process isolation, {there} of {} layers; missing: ",
            Layer::ALL.len()
        )?;
        for (index, missing) in self.missing.iter().enumerate() {
            write!(f, "{}{missing}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}
