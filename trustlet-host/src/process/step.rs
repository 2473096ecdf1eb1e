//! What happens between clone and exec, by name.

use std::fmt;

/// One thing that happens between clone and exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is said in words by its Display")]
#[non_exhaustive]
pub enum Step {
    Clone,
    ControlGroup,
    IdentityMaps,
    Handshake,
    Signals,
    Identity,
    HostName,
    Network,
    Libraries,
    Files,
    Root,
    Descriptors,
    Cpu,
    Capabilities,
    NoNewPrivileges,
    Landlock,
    Limits,
    ParentDeath,
    Seccomp,
    Execute,
}

impl Step {
    const ALL: [Self; 20] = [
        Self::Clone,
        Self::ControlGroup,
        Self::IdentityMaps,
        Self::Handshake,
        Self::Signals,
        Self::Identity,
        Self::HostName,
        Self::Network,
        Self::Libraries,
        Self::Files,
        Self::Root,
        Self::Descriptors,
        Self::Cpu,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Landlock,
        Self::Limits,
        Self::ParentDeath,
        Self::Seccomp,
        Self::Execute,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&step| step as u32 == number)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clone => "cloning into new namespaces",
            Self::ControlGroup => "moving it into its control group",
            Self::IdentityMaps => "mapping its user and group",
            Self::Handshake => "waiting for its monitor",
            Self::Signals => "resetting signals",
            Self::Identity => "changing to its user",
            Self::HostName => "setting its host name",
            Self::Network => "bringing up its loopback interface",
            Self::Libraries => "finding its libraries unchanged",
            Self::Files => "placing its files",
            Self::Root => "building its file system",
            Self::Descriptors => "placing its descriptors",
            Self::Cpu => "pinning it to its CPU",
            Self::Capabilities => "dropping capabilities",
            Self::NoNewPrivileges => "setting no_new_privs",
            Self::Landlock => "applying Landlock",
            Self::Limits => "setting resource limits",
            Self::ParentDeath => "tying its life to the monitor's",
            Self::Seccomp => "installing the seccomp filter",
            Self::Execute => "executing its image",
        })
    }
}
