//! Mapping and protecting memory: what of it can become code.

use super::condition::{Rules, allow, allow_if, bits, masked, not_executable};
use rustix::io::Errno;

/// What memory can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Whatever is asked for.
    Any,
    /// What is mapped from a file, and was never writable where it is executed. Files that can be written lie
    /// on mounts that refuse this.
    OfFiles,
    /// None but what can be executed already.
    None,
}

/// Mapping and protecting memory. Anonymous memory is private and does not grow by itself: so all of it
/// counts against the memory limit.
pub(super) fn memory(rules: &mut Rules, code: Code) -> Result<(), Errno> {
    let anonymous = bits(libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN);
    let kind = bits(libc::MAP_TYPE | libc::MAP_GROWSDOWN);
    for (mask, value) in [(anonymous, 0), (kind, bits(libc::MAP_PRIVATE))] {
        let mut conditions = vec![masked(3, mask, value)?];
        if code != Code::Any {
            conditions.push(not_executable()?);
        }
        allow_if(rules, libc::SYS_mmap, conditions)?;
    }
    match code {
        Code::Any => allow(rules, &[libc::SYS_mprotect]),
        Code::OfFiles | Code::None => {
            allow_if(rules, libc::SYS_mprotect, vec![not_executable()?])?;
        }
    }
    if code == Code::OfFiles {
        let writable_code = bits(libc::PROT_EXEC | libc::PROT_WRITE);
        let file = bits(libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN | libc::MAP_TYPE);
        allow_if(
            rules,
            libc::SYS_mmap,
            vec![
                masked(3, file, bits(libc::MAP_PRIVATE))?,
                masked(2, writable_code, bits(libc::PROT_EXEC))?,
            ],
        )?;
    }
    Ok(())
}
