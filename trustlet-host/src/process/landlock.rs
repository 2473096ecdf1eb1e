//! Landlock: what the file system, TCP and signals may be used for, decided once more and by other kernel
//! code than the namespaces. If one of the two has a hole, the other still stands.

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

/// Confines this process to using each path as it says and nothing else, and to its own signals and abstract
/// sockets; and to no TCP port at all, unless it has a `network` of its own, whose ports nobody else reaches.
pub(super) fn restrict(allowed: &[(&Path, BitFlags<AccessFs>)], network: bool) -> Result<(), Errno> {
    let mut opened = Vec::with_capacity(allowed.len());
    for &(path, access) in allowed {
        opened.push((open_path(path)?, access));
    }
    enforce(opened, network).map_err(|error| errno_of(&error))
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Of a scratch directory: everything but executing and making anything else than files and directories.
pub(super) fn scratch_access() -> BitFlags<AccessFs> {
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

/// What a function with programs of its own may do there besides: make symbolic links and sockets.
pub(super) fn scratch_access_of_programs() -> BitFlags<AccessFs> {
    scratch_access() | AccessFs::MakeSym | AccessFs::MakeSock
}

fn enforce(opened: Vec<(OwnedFd, BitFlags<AccessFs>)>, network: bool) -> Result<(), landlock::RulesetError> {
    let mut handled = Ruleset::default().handle_access(AccessFs::from_all(ABI_WANTED))?;
    if !network {
        handled = handled.handle_access(AccessNet::from_all(ABI_WANTED))?;
    }
    let mut rules = handled.scope(Scope::from_all(ABI_WANTED))?.create()?;
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
