//! What needs a scratch directory.

use super::calls::UNUSUAL_MODE;
use super::condition::{Rules, allow, allow_if, bits, masked};
use rustix::io::Errno;

/// What changes files by their name or their owner's right, where nothing keeps it from files that are not
/// the function's. A scratch directory is there only in a root of the function's own, where all else is
/// read-only: without one these calls would reach every file of the user, and the permissions of regions,
/// which Landlock does not look at.
pub(super) fn checked_with_scratch(rules: &mut Rules) -> Result<(), Errno> {
    // The kernel keeps one lock for each open file, so their number is bounded.
    allow(rules, &[libc::SYS_flock, libc::SYS_truncate, libc::SYS_utimensat]);
    // Callers also pass the kind of the file, which the kernel ignores.
    let unusual = UNUSUAL_MODE;
    allow_if(rules, libc::SYS_fchmod, vec![masked(1, unusual, 0)?])?;
    allow_if(rules, libc::SYS_fchmodat, vec![masked(2, unusual, 0)?])?;
    allow_if(
        rules,
        libc::SYS_fchmodat2,
        vec![
            masked(2, unusual, 0)?,
            masked(3, !bits(libc::AT_SYMLINK_NOFOLLOW), 0)?,
        ],
    )?;
    #[cfg(target_arch = "x86_64")]
    allow_if(rules, libc::SYS_chmod, vec![masked(1, unusual, 0)?])?;
    Ok(())
}
