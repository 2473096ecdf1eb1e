//! Landlock: what the file system, TCP and signals may be used for, decided once more and by other kernel
//! code than the namespaces. If one of the two has a hole, the other still stands.

use super::library::Library;
use super::provisions::Provision;
use super::root::SCRATCH;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::error::Error;
use std::path::Path;

/// The newest rules that are asked for; an older kernel enforces those that it knows.
const ABI_WANTED: ABI = ABI::V7;

/// Confines this process to reading `libraries` (executing the loader among them), to `provisions`, to its
/// scratch directory if it has one, to no TCP port at all, and to its own signals and abstract sockets.
pub(super) fn restrict(libraries: &[Library], provisions: &[Provision], scratch: bool) -> Result<(), Errno> {
    let mut opened = Vec::with_capacity(libraries.len() + provisions.len() + 1);
    for library in libraries {
        let execute = if library.is_interpreter() {
            BitFlags::from(AccessFs::Execute)
        } else {
            BitFlags::empty()
        };
        opened.push((open_path(library.path())?, execute | AccessFs::ReadFile));
    }
    for provision in provisions {
        opened.push((open_path(provision.path())?, provision.access()));
    }
    if scratch {
        opened.push((open_path(Path::new(SCRATCH))?, scratch_access()));
    }
    enforce(opened).map_err(|error| errno_of(&error))
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Everything but executing and making anything else than files and directories.
fn scratch_access() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::ReadDir
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::Refer
        | AccessFs::Truncate
}

fn enforce(opened: Vec<(OwnedFd, BitFlags<AccessFs>)>) -> Result<(), landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_WANTED))?
        .handle_access(AccessNet::from_all(ABI_WANTED))?
        .scope(Scope::from_all(ABI_WANTED))?
        .create()?;
    for (path, access) in opened {
        rules = rules.add_rule(PathBeneath::new(path, access))?;
    }
    let status = rules.restrict_self()?;
    // `restrict` is called only after the probe found Landlock here.
    assert!(
        status.ruleset != RulesetStatus::NotEnforced,
        "landlock was there when it was probed"
    );
    Ok(())
}

/// What the kernel said, out of the crate's chain of causes.
fn errno_of(error: &(dyn Error + 'static)) -> Errno {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error
            .downcast_ref::<std::io::Error>()
            .and_then(Errno::from_io_error)
        {
            return errno;
        }
        cause = error.source();
    }
    Errno::INVAL
}
