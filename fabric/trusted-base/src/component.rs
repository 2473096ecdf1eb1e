//! One executable: what it is for, what it consists of, and what it may ask of the kernel.

use crate::linked::{CountError, Lines, LinkedLines};
use crate::origin::{Crate, Owner};
use hacher_trustlet_host::chosen::seccomp::{AllowedCall, Role, calls_of};
use object::{Object, ObjectSection, SectionFlags, SectionKind, elf};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What an executable is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The monitor as a process, with the scribe.
    Monitor,
    /// The monitor that boots at VMPL0, with the programs of the trustlets that it boots with as data.
    BootedMonitor,
    /// The gateway.
    Gateway,
    /// A function.
    Function,
    /// The command, which is also loader and daemon, and the verifier of whoever calls. It has no plaintext
    /// and no key.
    Fabric,
    /// Something else, to compare with.
    Other,
}

impl Part {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::BootedMonitor => "monitor that boots",
            Self::Gateway => "gateway",
            Self::Function => "function",
            Self::Fabric => "command, loader, daemon",
            Self::Other => "",
        }
    }

    /// What an executable with code of these crates is for.
    fn of(lines: &LinkedLines) -> Self {
        let has = |folder: &str| lines.by_crate.keys().any(|of| of.is_in(folder));
        if has("trustlet-host/snp/image") {
            Self::BootedMonitor
        } else if has("fabric") {
            Self::Fabric
        } else if has("fabric/gateway") {
            Self::Gateway
        } else if has("trustlet-host") {
            Self::Monitor
        } else if has("libos-net") {
            Self::Function
        } else {
            Self::Other
        }
    }

    /// What the filters of the product leave to it while it serves.
    fn calls(self) -> io::Result<Calls> {
        let role = match self {
            Self::Monitor => return Ok(Calls::Unfiltered),
            Self::BootedMonitor => return Ok(Calls::NoKernel),
            Self::Other => return Ok(Calls::Unknown),
            Self::Gateway => Role::Gateway,
            Self::Function => Role::Function,
            Self::Fabric => Role::Daemon,
        };
        Ok(Calls::Filtered(calls_of(role)?))
    }
}

/// The system calls that an executable may make.
#[derive(Debug)]
pub enum Calls {
    /// These.
    Filtered(Vec<AllowedCall>),
    /// All that the kernel lets a user have: it puts the filters on others.
    Unfiltered,
    /// There is no kernel below it.
    NoKernel,
    /// Whatever its own users let it.
    Unknown,
}

/// An executable, counted.
#[derive(Debug)]
pub struct Component {
    /// Its file's name.
    pub name: String,
    /// What it is for.
    pub part: Part,
    /// What it consists of.
    pub lines: LinkedLines,
    /// Bytes of it that are loaded: no debug information, no symbols.
    pub loaded_bytes: u64,
    /// What it may ask of the kernel.
    pub calls: Calls,
}

/// Why an executable is not counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// It cannot be read, or this architecture has no filters.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its lines cannot be counted.
    #[error(transparent)]
    Count(#[from] CountError),
}

impl Component {
    /// Counts the executable at `path`.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub fn read(path: &Path) -> Result<Self, ComponentError> {
        let file = std::fs::read(path)?;
        let lines = LinkedLines::count(&file)?;
        let part = Part::of(&lines);
        Ok(Self {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            part,
            loaded_bytes: loaded_bytes(&file)?,
            calls: part.calls()?,
            lines,
        })
    }

    /// Its lines, by whose they are.
    #[must_use]
    pub fn by_owner(&self) -> BTreeMap<Owner, Lines> {
        let mut owners: BTreeMap<Owner, Lines> = BTreeMap::new();
        for (of, lines) in &self.lines.by_crate {
            *owners.entry(of.owner).or_default() += *lines;
        }
        owners
    }

    /// How many crates it has code of.
    #[must_use]
    pub fn crates(&self) -> usize {
        let named = self.lines.by_crate.keys().filter(|of| of.owner != Owner::Other);
        named.count()
    }

    /// Its crates, those with most lines first.
    #[must_use]
    pub fn largest_first(&self) -> Vec<(&Crate, Lines)> {
        let mut crates: Vec<_> = self
            .lines
            .by_crate
            .iter()
            .map(|(of, lines)| (of, *lines))
            .collect();
        crates.sort_by_key(|&(of, lines)| (core::cmp::Reverse(lines), of));
        crates
    }
}

fn loaded_bytes(file: &[u8]) -> Result<u64, CountError> {
    let object = object::File::parse(file)?;
    let loaded = object.sections().filter(|section| {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            return false;
        };
        sh_flags & u64::from(elf::SHF_ALLOC) != 0 && section.kind() != SectionKind::UninitializedData
    });
    Ok(loaded.map(|section| section.size()).sum())
}
