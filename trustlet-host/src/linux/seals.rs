//! Seals on memory files.

use rustix::fd::AsFd;
use rustix::fs::{SealFlags, fcntl_add_seals};
use rustix::io::Errno;

/// How often a busy file is tried again. The kernel itself waits a tenth of a second and more each time.
const TRIES: u32 = 8;

/// Adds `seals`.
///
/// Against writing (`F_SEAL_WRITE`) a file is sealed only while nothing in the kernel holds a page of it,
/// which whatever moves or counts pages may do for a moment. `EBUSY` then says nothing about the file, as
/// long as nobody has it mapped for writing.
pub(crate) fn add_seals(memfd: impl AsFd, seals: SealFlags) -> Result<(), Errno> {
    unless_busy(|| fcntl_add_seals(&memfd, seals))
}

fn unless_busy(mut add: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..TRIES {
        match add() {
            Err(Errno::BUSY) => {}
            other => return other,
        }
    }
    add()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of it if so many tries find the file busy, and how many tries were made.
    fn busy_for(tries: u32) -> (Result<(), Errno>, u32) {
        let mut made = 0;
        let result = unless_busy(|| {
            made += 1;
            if made > tries { Ok(()) } else { Err(Errno::BUSY) }
        });
        (result, made)
    }

    #[test]
    fn a_file_that_is_busy_for_a_moment_is_sealed_and_one_that_stays_so_is_an_error() {
        assert_eq!(busy_for(0), (Ok(()), 1));
        assert_eq!(busy_for(TRIES - 1), (Ok(()), TRIES));
        assert_eq!(busy_for(TRIES), (Err(Errno::BUSY), TRIES));
    }

    #[test]
    fn another_error_is_not_tried_again() {
        let mut made = 0;
        let refused = unless_busy(|| {
            made += 1;
            Err(Errno::PERM)
        });
        assert_eq!((refused, made), (Err(Errno::PERM), 1));
    }
}
