//! What an embedded database does with its files: locks on bytes of them, a mapping that it writes, a
//! journal.
#![allow(
    unsafe_code,
    reason = "takes locks and maps a file as a C library does, for which there is no safe interface"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// The byte that SQLite locks first (`PENDING_BYTE`), behind which it has 511 others.
const PENDING_BYTE: i64 = 0x4000_0000;
const PAGE_BYTES: usize = 4096;

/// Commits one page, with a rollback journal beside it, and reads it in a shared mapping as its index of a
/// write-ahead log would be.
///
/// # Errors
/// What the system refuses, or a page that is not what was written.
pub fn commit() -> io::Result<()> {
    let open = |path: &str| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
    };
    let file = open("/tmp/database")?;
    for (kind, start, len) in [
        (libc::F_RDLCK, PENDING_BYTE, 1),
        (libc::F_RDLCK, PENDING_BYTE + 2, 510),
        (libc::F_WRLCK, PENDING_BYTE + 1, 1),
        (libc::F_WRLCK, PENDING_BYTE, 512),
    ] {
        lock(&file, kind, start, len)?;
    }
    let mut journal = open("/tmp/database-journal")?;
    journal.write_all(&[0; PAGE_BYTES])?;
    journal.sync_data()?;
    file.write_all_at(&[7; PAGE_BYTES], 0)?;
    file.sync_data()?;
    drop(journal);
    fs::remove_file("/tmp/database-journal")?;
    lock(&file, libc::F_UNLCK, 0, 0)?;
    let index = open("/tmp/database-shm")?;
    index.set_len(PAGE_BYTES as u64)?;
    write_mapped(&index)?;
    let mut first = [0];
    index.read_exact_at(&mut first, 0)?;
    if first != [9] {
        return Err(io::Error::other("a mapping is not the file"));
    }
    Ok(())
}

fn lock(file: &File, kind: i32, start: i64, len: i64) -> io::Result<()> {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    (lock.l_start, lock.l_len) = (start, len);
    // SAFETY: reads one lock, which outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn write_mapped(file: &File) -> io::Result<()> {
    // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
    let mapped = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just mapped, for writing, and the file is a page long.
    unsafe { mapped.cast::<u8>().write_volatile(9) };
    // SAFETY: exactly what was mapped, which nobody refers to.
    let result = unsafe { libc::munmap(mapped, PAGE_BYTES) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
